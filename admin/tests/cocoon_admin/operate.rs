//! Commands, their answers and their refusals.

use std::os::unix::fs::PermissionsExt;

use crate::fake::{Fake, NOW_MS, SECRET};
use crate::support::run;

const SIMULATED: &str =
    "SIMULATED pool: nothing here is attested by Intel (root: SIMULATED Root CA)\n";

#[test]
fn the_pools_state_is_a_page() {
    let fake = Fake::start();
    let ran = fake.admin(&["status"]).expect(0);
    let expected = "\
version            0.1.0
running            2h 5m, since 2026-11-18T09:01:40Z
trust anchor       Intel SGX Root CA
appraisal policy   abababababababababababababababababababababababababababababababab
collateral         to be renewed by 2026-11-19T11:06:40Z (in 1d)
workers            1 live, 0 stale, 1 offline (2 enrolled, 0 draining)
tasks              3 queued, 2 running, 40 succeeded
tasks that failed  1 dead letter, 0 expired, 0 cancelled
";
    assert_eq!(ran.output, expected);
    assert_eq!(ran.errors, "");
    assert_eq!(
        fake.admin(&["status", "--json"]).expect(0).json()["workers"]["live"],
        1
    );
}

#[test]
fn overdue_collateral_is_a_finding() {
    let fake = Fake::start();
    fake.pool.lock().unwrap().collateral_next_update_ms = Some(NOW_MS);
    fake.admin(&["status"]).expect(2).says(&["OVERDUE since"]);
}

#[test]
fn without_collateral_nobody_is_admitted() {
    let fake = Fake::start();
    fake.pool.lock().unwrap().collateral_next_update_ms = None;
    fake.admin(&["status"])
        .expect(0)
        .says(&["no worker can be admitted: no collateral"]);
}

#[test]
fn a_policy_is_put_in_force_without_a_shell_on_the_gateway() {
    let fake = Fake::start();
    let sha256 = "cd".repeat(32);
    let ran = fake.admin(&["policy", "reload"]).expect(0);
    assert_eq!(ran.output, format!("appraisal policy in force: {sha256}\n"));
    assert_eq!(fake.requests(), ["POST /v1/appraisal-policy:reload"]);
    let json = fake.admin(&["policy", "reload", "--json"]).expect(0).json();
    assert_eq!(json["sha256"], sha256);
}

#[test]
fn a_worker_that_is_not_there_is_not_deleted() {
    let fake = Fake::start();
    fake.admin(&["worker", "delete", "--id", "gpu-0", "--yes"])
        .expect(1)
        .says(&["refused to delete the worker"]);
}

#[test]
fn a_simulated_pool_says_so_first_whatever_is_asked() {
    let fake = Fake::start();
    fake.pool.lock().unwrap().simulated = true;
    for arguments in [
        &["status", "--quiet"][..],
        &["worker", "list", "--json"],
        &["task", "list"],
        &["worker", "drain", "--id", "gpu-7"],
    ] {
        let ran = fake.admin(arguments).expect(0);
        assert!(
            ran.errors.starts_with(SIMULATED),
            "{arguments:?}: {}",
            ran.errors
        );
    }
}

#[test]
fn a_workers_secret_is_shown_once_with_what_to_do_next() {
    let fake = Fake::start();
    let ran = fake
        .admin(&["worker", "create", "--id", "worker_new_001"])
        .expect(0);
    assert_eq!(
        ran.output,
        format!("worker worker_new_001 is enrolled\nenrolment secret, shown this once: {SECRET}\n")
    );
    ran.says(&[
        "Next, on the GPU owner's machine:",
        "In /etc/cocoon/worker_new_001/worker.toml",
        "systemctl enable --now cocoon-quote.socket cocoon-worker@worker_new_001",
    ]);
    let json = fake
        .admin(&["worker", "create", "--id", "gpu-9", "--json"])
        .expect(0)
        .json();
    assert_eq!(json["enrolment_secret"], SECRET);
}

#[test]
fn a_workers_secret_goes_to_a_private_file() {
    let fake = Fake::start();
    let create = [
        "worker",
        "create",
        "--id",
        "gpu-9",
        "--secret-file",
        "gpu-9.secret",
    ];
    let ran = fake.admin(&create).expect(0);
    assert!(!ran.output.contains(SECRET) && !ran.errors.contains(SECRET));
    let path = fake.server.home.path().join("gpu-9.secret");
    assert_eq!(
        std::fs::read_to_string(&path).unwrap(),
        format!("{SECRET}\n")
    );
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    // A second worker must not take the first one's file, and nothing is asked of the gateway for it.
    let before = fake.requests().len();
    fake.admin(&create)
        .expect(1)
        .says(&["is there already", "name a new file"]);
    assert_eq!(fake.requests().len(), before);
}

#[test]
fn a_secret_that_cannot_be_written_says_how_to_go_on() {
    let fake = Fake::start();
    let create = [
        "worker",
        "create",
        "--id",
        "gpu-9",
        "--secret-file",
        "absent/secret",
    ];
    fake.admin(&create).expect(1).says(&[
        "writing absent/secret failed",
        "cocoon-admin worker delete --id gpu-9",
    ]);
}

#[test]
fn workers_are_columns() {
    let fake = Fake::start();
    let ran = fake.admin(&["worker", "list"]).expect(0);
    let lines: Vec<Vec<&str>> = ran
        .output
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        [
            "WORKER",
            "STATE",
            "RUNNING",
            "SUCCEEDED",
            "EXECUTOR",
            "TCB",
            "ATTESTED",
            "REFUSAL"
        ]
    );
    assert_eq!(
        lines[1][..6],
        ["gpu-7", "live", "2", "41", "cuda", "UpToDate"]
    );
    assert_eq!(lines[1].last(), Some(&"E401"));
    assert_eq!(
        lines[2],
        ["gpu-8", "offline", "2", "41", "-", "-", "-", "-"]
    );
}

#[test]
fn one_worker_is_shown_whole_and_plain() {
    let fake = Fake::start();
    let ran = fake.admin(&["worker", "status", "--id", "gpu-7"]).expect(0);
    assert!(!ran.output.contains('\u{1b}'));
    ran.says(&[
        "192.0.2.7:4711",
        "E401 The TD is a \u{fffd}[2Jdebug TD at",
        "H100",
        "93 %",
        "1.00 GiB of 80.00 GiB",
        "300 W",
    ]);
    fake.admin(&["worker", "status", "--id", "gpu-0"])
        .expect(1)
        .says(&["There is no such thing"]);
}

#[test]
fn draining_waits_until_nothing_runs() {
    let fake = Fake::start();
    fake.admin(&["worker", "drain", "--id", "gpu-7"])
        .expect(0)
        .says(&["worker gpu-7 drains, 2 tasks running"]);
    fake.admin(&["worker", "status", "--id", "gpu-7"])
        .expect(0)
        .says(&["live, draining"]);
    fake.admin(&["worker", "drain", "--id", "gpu-7", "--wait"])
        .expect(0)
        .says(&["worker gpu-7 is drained"]);
    fake.admin(&["worker", "list"])
        .expect(0)
        .says(&["live, drained"]);
    fake.admin(&["worker", "undrain", "--id", "gpu-7"])
        .expect(0)
        .says(&["worker gpu-7 takes work again"]);
}

#[test]
fn deleting_asks_first() {
    let fake = Fake::start();
    fake.admin(&["worker", "delete", "--id", "gpu-7"])
        .expect(1)
        .says(&["say --yes"]);
    assert!(
        fake.requests()
            .iter()
            .all(|request| !request.starts_with("DELETE"))
    );
    fake.admin(&["worker", "delete", "--id", "gpu-7", "--yes"])
        .expect(0)
        .says(&["worker gpu-7 is deleted"]);
    assert_eq!(fake.requests().last().unwrap(), "DELETE /v1/workers/gpu-7");
}

#[test]
fn an_attestation_record_is_handed_out() {
    let fake = Fake::start();
    let ran = fake
        .admin(&["worker", "attestation", "--id", "gpu-7"])
        .expect(0);
    assert_eq!(ran.output, r#"{"schema": "a record"}"#);
    fake.admin(&[
        "worker",
        "attestation",
        "--id",
        "gpu-7",
        "-o",
        "record.json",
    ])
    .expect(0)
    .says(&["cocoon-attest verify --record record.json"]);
    assert!(fake.server.home.path().join("record.json").exists());
}

#[test]
fn tasks_are_listed_shown_cancelled_and_redriven() {
    let fake = Fake::start();
    let listed = fake
        .admin(&[
            "task",
            "list",
            "--all",
            "--state",
            "dead-letter",
            "--limit",
            "5",
        ])
        .expect(0);
    assert_eq!(listed.output.split_whitespace().nth(1), Some("USER"));
    assert_eq!(
        fake.requests(),
        ["GET /v1/tasks?state=dead-letter&limit=5&all=true"]
    );
    let id = listed
        .output
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned();
    fake.admin(&["task", "show", &id])
        .expect(0)
        .says(&["alice", "out of memory"]);
    fake.admin(&["task", "redrive", &id])
        .expect(0)
        .says(&["queued"]);
    fake.admin(&["task", "cancel", &id])
        .expect(1)
        .says(&["say --yes"]);
    assert_eq!(
        fake.admin(&["task", "cancel", &id, "--yes"])
            .expect(0)
            .output,
        format!("{id} cancelled\n")
    );
    assert_eq!(
        fake.admin(&["task", "show", &id, "--json"])
            .expect(0)
            .json()["task"]["state"],
        "cancelled"
    );
}

#[test]
fn a_name_that_is_taken_is_refused() {
    let fake = Fake::start();
    fake.admin(&["worker", "create", "--id", "gpu-7"])
        .expect(1)
        .says(&["refused to enrol the worker: It exists already"]);
}

#[test]
fn a_clients_access_token_is_denied() {
    let fake = Fake::start();
    run(fake
        .command()
        .env("COCOON_ACCESS_TOKEN", "ccn_client")
        .arg("status"))
    .expect(4)
    .says(&["this needs another role"]);
}

#[test]
fn an_unreachable_gateway_has_its_exit_code() {
    let fake = Fake::start();
    run(fake
        .command()
        .args(["status", "--gateway", "https://localhost:1"]))
    .expect(3);
}

#[test]
fn workers_and_tasks_say_why_they_are_as_they_are() {
    let fake = Fake::start();
    let worker = fake
        .admin(&["worker", "explain", "--id", "worker-1"])
        .expect(0);
    assert!(
        worker
            .output
            .starts_with("worker-1: it waits for a free place\n  and"),
        "{}",
        worker.output
    );
    let task = fake.pool.lock().unwrap().task.id.to_string();
    let json = fake
        .admin(&["task", "explain", &task, "--json"])
        .expect(0)
        .json();
    assert_eq!(json["reasons"][0]["code"], "workers-busy");
}
