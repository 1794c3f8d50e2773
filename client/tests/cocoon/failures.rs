//! Every way in which a command fails: its exit code, what it says, and that nothing wrong is handed on.

use protocol::problem::ProblemCode;

use crate::fake::{Fake, Mischief};
use crate::support::{Ran, Server, bare, run};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cocoon");
const SOME_TASK: &str = "01KB0000000000000000000000";

fn with_task(then: Mischief) -> (Fake, String) {
    let fake = Fake::honest();
    fake.write("a", b"abc");
    let ran = fake.cocoon(&["submit", "sha256_batch", "a"]).expect(0);
    fake.turns(then);
    (fake, ran.output.trim().to_owned())
}

fn refused(code: ProblemCode) -> Ran {
    Fake::with(Mischief::Refuses(code)).cocoon(&["status", SOME_TASK])
}

#[test]
fn nobody_listens() {
    let home = tempfile::tempdir().unwrap();
    let mut command = bare(PROGRAM, home.path());
    command
        .env("COCOON_ACCESS_TOKEN", "ccn_x")
        .args(["list", "--gateway", "https://localhost:1"]);
    run(&mut command).expect(3).says(&[
        "the gateway at https://localhost:1 cannot be reached",
        "because:",
        "try: see that the address is right",
    ]);
}

#[test]
fn a_certificate_for_another_name_is_not_trusted() {
    let server = Server::start_as("elsewhere.example", axum::Router::new());
    run(server.command(PROGRAM).arg("list")).expect(3).says(&[
        "is not trusted: its certificate does not hold",
        "elsewhere.example",
        "--ca-file",
    ]);
}

#[test]
fn a_certificate_of_an_unknown_ca_is_not_trusted() {
    let (fake, other) = (Fake::honest(), Fake::honest());
    let ran = run(fake
        .command()
        .arg("list")
        .arg("--ca-file")
        .arg(other.server.ca_file()));
    ran.expect(3)
        .says(&["is not trusted: its certificate does not hold"]);
    assert!(fake.requests().is_empty());
}

#[test]
fn refusals_have_their_exit_codes() {
    refused(ProblemCode::AccessTokenInvalid).expect(4).says(&[
        "The access token is not valid",
        "ask the operator for a new access token",
    ]);
    refused(ProblemCode::AccessTokenMissing).expect(4);
    refused(ProblemCode::RoleInsufficient)
        .expect(4)
        .says(&["this needs another role"]);
    refused(ProblemCode::NotFound).expect(1).says(&[
        "refused to show the task: There is no such thing: the fake's reason (field `the.field`)",
    ]);
    refused(ProblemCode::LimitExceeded).expect(1);
    refused(ProblemCode::InvalidTask).expect(1);
    refused(ProblemCode::WrongState).expect(1);
    refused(ProblemCode::Internal)
        .expect(1)
        .says(&["tell the operator"]);
}

/// A proxy before the gateway says it in its own words.
#[test]
fn a_denial_without_problem_details_is_one_too() {
    Fake::with(Mischief::Status(403))
        .cocoon(&["list"])
        .expect(4);
}

#[test]
fn a_wrong_access_token_is_denied() {
    let fake = Fake::honest();
    run(fake
        .command()
        .env("COCOON_ACCESS_TOKEN", "ccn_wrong")
        .arg("list"))
    .expect(4);
}

#[test]
fn errors_are_json_too() {
    let fake = Fake::with(Mischief::Refuses(ProblemCode::NotFound));
    let ran = fake.cocoon(&["status", SOME_TASK, "--json"]).expect(1);
    let json: serde_json::Value = serde_json::from_str(&ran.errors).unwrap();
    assert_eq!(json["error"]["exit"], 1);
    assert_eq!(json["error"]["problem"]["code"], "not-found");
    assert!(ran.output.is_empty());
}

#[test]
fn answers_that_are_none_are_bad_answers() {
    for (mischief, part) in [
        (
            Mischief::Says("not json"),
            "the body is not the JSON it should be",
        ),
        (Mischief::Says("{}"), "missing field `id`"),
        (
            Mischief::Status(404),
            "status 404 without problem details: (empty)",
        ),
        (Mischief::Status(302), "status 302 without problem details"),
    ] {
        Fake::with(mischief)
            .cocoon(&["status", SOME_TASK])
            .expect(1)
            .says(&["is not the pool's", part]);
    }
}

#[test]
fn an_answer_about_another_task_is_a_finding() {
    let (fake, id) = with_task(Mischief::OtherTask);
    fake.cocoon(&["status", &id])
        .expect(2)
        .says(&["it is about 00000000010000000000000001, not about"]);
}

#[test]
fn a_swapped_task_is_found_at_once() {
    let fake = Fake::with(Mischief::SwapsTask);
    fake.write("a", b"abc");
    let ran = fake
        .cocoon(&["submit", "sha256_batch", "a", "--wait"])
        .expect(2);
    assert!(ran.output.is_empty());
    ran.says(&["the gateway took another task", "do not use its output"]);
}

/// A gateway that forgot which task it confirmed is found by what this machine remembers.
#[test]
fn a_task_swapped_later_is_found_too() {
    let (fake, id) = with_task(Mischief::None);
    let ledger = fake
        .server
        .home
        .path()
        .join(format!(".local/state/cocoon/tasks/{id}.json"));
    let mut entry: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&ledger).unwrap()).unwrap();
    entry["digest"] = "00".repeat(32).into();
    std::fs::write(&ledger, entry.to_string()).unwrap();
    fake.cocoon(&["status", &id])
        .expect(2)
        .says(&["the gateway shows another task"]);
    fake.cocoon(&["output", &id, "-o", "out.bin"]).expect(2);
    assert!(!fake.exists("out.bin"));
}

#[test]
fn a_gateway_cannot_have_an_earlier_task_forgotten() {
    let (fake, id) = with_task(Mischief::ReusesId);
    fake.write("b", b"another");
    fake.cocoon(&["submit", "sha256_batch", "b"])
        .expect(2)
        .says(&["the id of an earlier one", &id]);
    fake.cocoon(&["status", &id])
        .expect(2)
        .says(&["the gateway shows another task"]);
}

/// Without it, a gateway could fill the disk by announcing what no operation gives.
#[test]
fn an_output_of_another_size_is_not_fetched() {
    let fake = Fake::with(Mischief::WrongSize);
    fake.write("a", b"abc");
    let ran = fake.cocoon(&["submit", "sha256_batch", "a"]).expect(0);
    let id = ran.output.trim();
    fake.cocoon(&["output", id, "-o", "out.bin"])
        .expect(2)
        .says(&["has 33 bytes, and the operation gives 32"]);
    assert!(!fake.exists("out.bin"));
    assert!(!fake.requests().iter().any(|call| call.ends_with("/output")));
}

#[test]
fn an_output_with_another_digest_is_not_handed_on() {
    for (mischief, part) in [
        (Mischief::WrongOutput, "the content has the digest"),
        (
            Mischief::LongOutput,
            "the content goes on after the 32 bytes that were announced",
        ),
        (Mischief::ShortOutput, "the content has 31 bytes, not 32"),
    ] {
        let (fake, id) = with_task(mischief);
        fake.cocoon(&["output", &id, "-o", "out.bin"])
            .expect(2)
            .says(&[part]);
        assert!(!fake.exists("out.bin"));
        let piped = fake.command().args(["output", &id]).output().unwrap();
        assert!(piped.stdout.is_empty());
        let left = std::fs::read_dir(fake.server.home.path())
            .unwrap()
            .filter_map(Result::ok);
        assert!(
            left.into_iter()
                .all(|entry| !entry.file_name().to_string_lossy().starts_with(".tmp"))
        );
    }
}

/// The catalogue says how large an output is, and the digests of the inputs are known here.
#[test]
fn an_output_that_cannot_be_right_is_found() {
    for (mischief, part) in [
        (Mischief::WrongArithmetic, "the pool's digest of a is"),
        (
            Mischief::WrongSize,
            "has 33 bytes, and the operation gives 32",
        ),
    ] {
        let fake = Fake::with(mischief);
        fake.write("a", b"abc");
        let ran = fake
            .cocoon(&["submit", "sha256_batch", "a", "--wait"])
            .expect(2);
        assert!(ran.output.is_empty());
        ran.says(&[part]);
    }
}

#[test]
fn a_failed_task_is_a_finding_with_its_fault() {
    let fake = Fake::with(Mischief::TasksFail);
    fake.write("a", b"abc");
    let ran = fake
        .cocoon(&["submit", "sha256_batch", "a", "--wait"])
        .expect(2);
    // The fault comes from elsewhere: it must not colour the terminal.
    assert!(!ran.errors.contains('\u{1b}'));
    ran.says(&["is dead-letter after 3 attempts: the executor \u{fffd}[31mfell over"]);
    let list = fake.cocoon(&["list", "--json"]).expect(0).json();
    let id = list["tasks"][0]["id"].as_str().unwrap();
    fake.cocoon(&["status", id])
        .expect(2)
        .says(&["dead-letter", "fell over"]);
    fake.cocoon(&["output", id, "-o", "out"])
        .expect(2)
        .says(&["has no output: it is dead-letter"]);
    // Every command that names it says so with the same exit code.
    let hint = format!("`cocoon explain {id}` says how it ended");
    for command in ["status", "cancel", "receipt", "attestation"] {
        fake.cocoon(&[command, id]).expect(2).says(&[&hint]);
    }
    fake.cocoon(&["explain", id]).expect(2);
}

#[test]
fn a_task_that_does_not_fit_never_reaches_the_network() {
    let fake = Fake::honest();
    fake.write("x", &[0; 4]);
    fake.write("y", b"ab\xff");
    let cases: [(&[&str], &str); 9] = [
        (
            &["submit", "sha256"],
            "there is no operation `sha256`; the catalogue has",
        ),
        (
            &["submit", "softmax", "x", "-p", "rows=1"],
            "the parameter `columns` is missing",
        ),
        (
            &["submit", "softmax", "x", "-p", "rows"],
            "`rows` is not a parameter: expected NAME=VALUE",
        ),
        (
            &["submit", "softmax", "x", "-p", "rows=1", "-p", "columns=9"],
            "input `x` must have 36 bytes",
        ),
        (
            &["submit", "sha256_batch", "absent"],
            "the input absent cannot be read",
        ),
        (
            &["submit", "sha256_batch", "."],
            "the input . is a directory",
        ),
        (
            &["submit", "sha256_batch", "-", "-"],
            "standard input (`-`) can be one input alone",
        ),
        (
            &["submit", "sha256_batch", "x", "--priority", "10"],
            "10 is not in 0..=9",
        ),
        (
            &["submit", "embed", "-p", "model=all-MiniLM-L6-v2", "x", "y"],
            "the input y is no text in UTF-8: byte 2 is none of it",
        ),
    ];
    for (arguments, part) in cases {
        fake.cocoon(arguments).expect(1).says(&[part]);
    }
    assert!(fake.requests().is_empty());
}

#[test]
fn json_and_bytes_do_not_share_standard_output() {
    let (fake, id) = with_task(Mischief::None);
    fake.cocoon(&["submit", "sha256_batch", "a", "--json", "-o", "-"])
        .expect(1);
    fake.cocoon(&["output", &id, "--json"])
        .expect(1)
        .says(&["name a file with -o"]);
}

#[test]
fn a_file_that_cannot_be_written_is_named() {
    let (fake, id) = with_task(Mischief::None);
    fake.cocoon(&["output", &id, "-o", "absent/out"])
        .expect(1)
        .says(&["there is no folder absent"]);
    // Found only when it is written: what was computed is not lost.
    fake.write("a", b"abc");
    let long = "x".repeat(300);
    fake.cocoon(&["submit", "sha256_batch", "a", "-o", &long])
        .expect(1)
        .says(&["writing xxx", "the output is kept: `cocoon output 01"]);
    fake.cocoon(&["receipt", &id, "-o", "absent/out"])
        .expect(1)
        .says(&["writing absent/out failed"]);
}

#[test]
fn a_ledger_that_cannot_be_written_costs_no_task() {
    let fake = Fake::honest();
    fake.write("a", b"abc");
    fake.write("no-folder", b"");
    let ran = run(fake.command().env("COCOON_STATE_DIR", "no-folder").args([
        "submit",
        "sha256_batch",
        "a",
    ]));
    ran.expect(0).says(&["cannot be written", "--task-digest"]);
}
