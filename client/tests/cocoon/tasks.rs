//! The happy paths: submit, wait, list, fetch, cancel.

use std::io::Write;
use std::process::Stdio;

use protocol::problem::ProblemCode;
use protocol::task::TaskState;

use crate::fake::{Fake, Mischief};

const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Submits `abc` and gives the task's id.
fn submitted(fake: &Fake) -> String {
    fake.write("a", b"abc");
    let ran = fake.cocoon(&["submit", "sha256_batch", "a"]).expect(0);
    ran.says(&["`cocoon explain 01"]).output.trim().to_owned()
}

#[test]
fn digests_are_printed_as_sha256sum_prints_them() {
    let fake = Fake::honest();
    fake.write("a", b"abc");
    fake.write("b", b"");
    let ran = fake
        .cocoon(&["submit", "sha256_batch", "a", "b", "--wait"])
        .expect(0);
    assert_eq!(ran.output, format!("{ABC}  a\n{EMPTY}  b\n"));
    assert!(
        ran.errors
            .contains("receipt: signature, inclusion, task, inputs and output hold"),
        "{}",
        ran.errors
    );
    let quiet = fake
        .cocoon(&["submit", "sha256_batch", "a", "--wait", "--quiet"])
        .expect(0);
    assert_eq!(
        (quiet.output, quiet.errors),
        (format!("{ABC}  a\n"), String::new())
    );
}

#[test]
fn without_waiting_the_id_is_the_answer() {
    let fake = Fake::honest();
    let id = submitted(&fake);
    assert_eq!(id.len(), 26);
    fake.cocoon(&["status", &id]).expect(0).says(&[
        "state",
        "succeeded",
        "worker-1",
        "sha256_batch version 1",
    ]);
}

#[test]
fn standard_input_is_an_input() {
    let fake = Fake::honest();
    let mut child = fake
        .command()
        .args(["submit", "sha256_batch", "-", "--wait", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"abc").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        format!("{ABC}  -\n")
    );
}

#[test]
fn large_inputs_are_uploaded_once() {
    let fake = Fake::honest();
    fake.write("large", &vec![7; 200_000]);
    fake.cocoon(&["submit", "sha256_batch", "large", "large", "--wait"])
        .expect(0);
    fake.cocoon(&["submit", "sha256_batch", "large", "--wait"])
        .expect(0);
    let uploads = fake
        .requests()
        .iter()
        .filter(|request| request.starts_with("PUT /v1/blobs/"))
        .count();
    assert_eq!(uploads, 1);
}

#[test]
fn an_output_goes_to_a_file() {
    let fake = Fake::honest();
    let id = submitted(&fake);
    let ran = fake.cocoon(&["output", &id, "-o", "out.bin"]).expect(0);
    assert!(
        ran.errors.contains("32 bytes with digest"),
        "{}",
        ran.errors
    );
    assert_eq!(hex::encode(fake.read("out.bin")), ABC);
    let json = fake
        .cocoon(&["output", &id, "-o", "out.bin", "--json"])
        .expect(0)
        .json();
    assert_eq!(
        (&json["path"], &json["output"]["bytes"]),
        (&"out.bin".into(), &32.into())
    );
}

#[test]
fn an_output_goes_to_a_pipe_as_it_is() {
    let fake = Fake::honest();
    let id = submitted(&fake);
    let output = fake.command().args(["output", &id]).output().unwrap();
    assert_eq!(hex::encode(output.stdout), ABC);
}

#[test]
fn submitting_with_an_output_file_waits() {
    let fake = Fake::honest();
    fake.write("a", b"abc");
    fake.cocoon(&["submit", "sha256_batch", "a", "--output", "out.bin"])
        .expect(0);
    assert_eq!(hex::encode(fake.read("out.bin")), ABC);
}

#[test]
fn an_operation_without_text_names_the_output() {
    let fake = Fake::honest();
    fake.write("x", &[0; 8]);
    let arguments = [
        "submit",
        "transpose",
        "-p",
        "rows=1",
        "-p",
        "columns=2",
        "x",
        "--wait",
    ];
    fake.cocoon(&arguments)
        .expect(0)
        .says(&[" 8 bytes", "cocoon output"]);
}

#[test]
fn the_same_idempotency_key_is_the_same_task() {
    let fake = Fake::honest();
    fake.write("a", b"abc");
    fake.write("b", b"b");
    let submit = |file| {
        fake.cocoon(&[
            "submit",
            "sha256_batch",
            file,
            "--idempotency-key",
            "order-17",
        ])
    };
    assert_eq!(submit("a").expect(0).output, submit("a").expect(0).output);
    submit("b").expect(1).says(&[
        "idempotency key was used for another task",
        "use another --idempotency-key",
    ]);
}

#[test]
fn json_has_stable_shapes() {
    let fake = Fake::honest();
    fake.write("a", b"abc");
    let json = fake
        .cocoon(&["submit", "sha256_batch", "a", "--wait", "--json"])
        .expect(0)
        .json();
    assert_eq!(json["task"]["state"], "succeeded");
    assert_eq!(json["output"]["sums"][0]["sha256"], ABC);
    assert_eq!(json["output"]["sums"][0]["file"], "a");
    assert_eq!(json["receipt"]["holds"], true);
    let id = json["task"]["id"].as_str().unwrap().to_owned();
    let submitted = fake
        .cocoon(&["submit", "sha256_batch", "a", "--json"])
        .expect(0)
        .json();
    assert_eq!(submitted["task"]["state"], "queued");
    assert!(submitted["output"].is_null() && submitted["receipt"].is_null());
    let status = fake.cocoon(&["status", &id, "--json"]).expect(0).json();
    assert_eq!(status["tasks"][0]["id"], *id);
    let list = fake.cocoon(&["list", "--json"]).expect(0).json();
    assert_eq!(list["tasks"].as_array().unwrap().len(), 2);
    let cancelled = fake.cocoon(&["cancel", &id, "--json"]).expect(0).json();
    assert_eq!(cancelled["task"]["state"], "cancelled");
    let operations = fake.cocoon(&["operations", "--json"]).expect(0).json();
    assert_eq!(operations["operations"][0]["name"], "sha256_batch");
}

#[test]
fn lists_are_columns() {
    let fake = Fake::honest();
    let first = submitted(&fake);
    let second = submitted(&fake);
    let ran = fake.cocoon(&["list"]).expect(0);
    let lines: Vec<Vec<&str>> = ran
        .output
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        [
            "TASK",
            "OPERATION",
            "STATE",
            "AGE",
            "ATTEMPTS",
            "WORKER",
            "OUTPUT"
        ]
    );
    assert_eq!(
        (lines[1][0], lines[2][0]),
        (second.as_str(), first.as_str())
    );
    assert_eq!(lines[1][1..3], ["sha256_batch", "succeeded"]);
    assert_eq!(
        lines[1][lines[1].len() - 4..],
        ["1/3", "worker-1", "32", "B"]
    );
    assert!(!ran.output.contains('\u{1b}'));
    fake.cocoon(&["list", "--limit", "1"])
        .expect(0)
        .says(&["There are more: cocoon list --limit 1 --cursor=next-page"]);
    let none = fake.cocoon(&["list", "--state", "dead-letter"]).expect(0);
    assert_eq!(none.output.lines().count(), 1);
}

#[test]
fn several_tasks_are_shown_together() {
    let fake = Fake::honest();
    let (first, second) = (submitted(&fake), submitted(&fake));
    let ran = fake
        .cocoon(&["status", &first, &second, "--wait"])
        .expect(0);
    assert_eq!(ran.output.lines().count(), 3);
}

#[test]
fn a_cancelled_task_is_cancelled() {
    let fake = Fake::honest();
    let id = submitted(&fake);
    assert_eq!(
        fake.cocoon(&["cancel", &id]).expect(0).output,
        format!("{id} cancelled\n")
    );
}

#[test]
fn an_overloaded_gateway_is_asked_again() {
    let fake = Fake::honest();
    fake.turns(Mischief::Overloaded { times: 2 });
    let id = submitted(&fake);
    assert_eq!(fake.requests().len(), 3);
    fake.turns(Mischief::Overloaded { times: 2 });
    fake.cocoon(&["status", &id]).expect(0);
}

#[test]
fn a_user_who_asked_too_much_waits_as_told() {
    let fake = Fake::honest();
    fake.turns(Mischief::Limited);
    submitted(&fake);
    assert_eq!(fake.requests().len(), 2);
    fake.turns(Mischief::Refuses(ProblemCode::TooManyRequests));
    fake.cocoon(&["list"])
        .expect(1)
        .says(&["submit tasks in batches"]);
}

/// A restart of the gateway takes longer than a single call is patient.
#[test]
fn a_wait_rides_out_an_outage() {
    let fake = Fake::honest();
    let id = submitted(&fake);
    fake.turns(Mischief::Overloaded { times: 6 });
    fake.cocoon(&["status", &id, "--wait"]).expect(0);
}

#[test]
fn an_output_path_that_cannot_be_written_is_found_before_the_task_is_submitted() {
    let fake = Fake::honest();
    fake.write("a", b"abc");
    for (path, said) in [
        ("absent/out.bin", "there is no folder absent"),
        (".", "is a folder"),
    ] {
        fake.cocoon(&["submit", "sha256_batch", "a", "-o", path])
            .expect(1)
            .says(&[said]);
    }
    assert_eq!(fake.requests(), [""; 0]);
}

#[test]
fn a_queued_task_shows_no_worker_and_a_running_one_no_fault() {
    let fake = Fake::honest();
    let id = submitted(&fake);
    fake.turns(Mischief::Shows(TaskState::Queued));
    let queued = fake
        .cocoon(&["status", &id])
        .expect(0)
        .says(&[&format!("`cocoon explain {id}` says what it waits for")]);
    assert!(!queued.output.contains("worker-1"), "{}", queued.output);
    fake.turns(Mischief::Shows(TaskState::Running));
    let running = fake.cocoon(&["status", &id]).expect(0).says(&["worker-1"]);
    assert!(!running.output.contains("fault"), "{}", running.output);
}

#[test]
fn an_interrupted_wait_says_that_the_task_goes_on() {
    let fake = Fake::honest();
    let id = submitted(&fake);
    fake.turns(Mischief::Shows(TaskState::Running));
    let before = fake.requests().len();
    let child = fake
        .command()
        .args(["status", "--wait", &id])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while fake.requests().len() == before {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let kill = format!("kill -INT {}", child.id());
    let killed = std::process::Command::new("sh")
        .args(["-c", &kill])
        .status();
    assert!(killed.unwrap().success());
    let ended = child.wait_with_output().unwrap();
    let errors = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(130), "{errors}");
    let remedy = format!("the task goes on: `cocoon status --wait {id}` or `cocoon cancel {id}`");
    assert!(errors.contains(&remedy), "{errors}");
}

#[test]
fn why_a_task_waits_is_said_in_lines() {
    let fake = Fake::honest();
    let id = submitted(&fake);
    let ran = fake.cocoon(&["explain", &id]).expect(0);
    let lines: Vec<_> = ran.output.lines().collect();
    assert_eq!(lines[0], format!("{id}: it waits for a free place"));
    assert!(
        lines[1].starts_with("  and") && !lines[1].contains('\u{1b}'),
        "{lines:?}"
    );
    let json = fake.cocoon(&["explain", &id, "--json"]).expect(0);
    let json: serde_json::Value = serde_json::from_str(&json.output).unwrap();
    assert_eq!(json["reasons"][0]["code"], "workers-busy");
    assert_eq!(json["reasons"][1]["code"], "other");
}
