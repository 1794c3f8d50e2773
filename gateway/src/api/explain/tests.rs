//! Which sentences follow from what is the case.

use protocol::api::RefusalView;

use super::*;

const NOW_MS: u64 = 1_700_000_000_000;

fn task(state: TaskState) -> TaskView {
    TaskView {
        id: TaskId::from_parts(NOW_MS, 1),
        user: "ada".parse().unwrap(),
        operation: "embed".to_owned(),
        version: 1,
        digest: protocol::Sha256Digest::of(b""),
        state,
        requirements: protocol::requirements::Requirements::default(),
        priority: 4,
        attempts: 0,
        max_attempts: 3,
        submitted_ms: NOW_MS,
        started_ms: None,
        finished_ms: None,
        deadline_ms: None,
        worker: None,
        fault: None,
        output: None,
    }
}

fn standing() -> TaskStanding {
    TaskStanding {
        task: task(TaskState::Queued),
        ahead: 0,
        flows: 0,
        avoided_until_ms: None,
        lease_expires_ms: None,
    }
}

fn codes(reasons: &[Reason]) -> Vec<ReasonCode> {
    reasons.iter().map(|reason| reason.code).collect()
}

#[test]
fn a_task_that_nobody_can_compute_waits_for_that_above_all() {
    let nobody = queued(&standing(), &Crowd::default(), NOW_MS);
    assert_eq!(codes(&nobody), [ReasonCode::NoWorkerConnected]);
    let crowd = Crowd {
        connected: 3,
        ..Crowd::default()
    };
    let reasons = queued(&standing(), &crowd, NOW_MS);
    assert_eq!(codes(&reasons), [ReasonCode::NotOffered]);
    let text = &reasons[0].text;
    assert!(
        text.starts_with("of 3 connected workers none offers embed version 1"),
        "{text}"
    );
    assert!(text.ends_with("`[model]`"), "{text}");
    let mut other = standing();
    other.task.operation = "gemm".to_owned();
    assert!(!queued(&other, &crowd, NOW_MS)[0].text.contains("model"));
}

#[test]
fn workers_that_take_nothing_are_told_apart() {
    let crowd = Crowd {
        connected: 5,
        offering: 4,
        unmet: 0,
        stale: 1,
        draining: 2,
        quarantined: 1,
        able: 0,
    };
    let reasons = queued(&standing(), &crowd, NOW_MS);
    assert_eq!(
        codes(&reasons),
        [
            ReasonCode::WorkersUnable,
            ReasonCode::Stale,
            ReasonCode::Draining,
            ReasonCode::Quarantined
        ]
    );
    assert!(
        reasons[0]
            .text
            .starts_with("4 workers offer embed version 1"),
        "{}",
        reasons[0].text
    );
    let crowd = Crowd {
        connected: 1,
        offering: 1,
        able: 1,
        ..Crowd::default()
    };
    let reasons = queued(&standing(), &crowd, NOW_MS);
    assert_eq!(codes(&reasons), [ReasonCode::WorkersBusy]);
    assert!(
        reasons[0]
            .text
            .starts_with("1 worker offers embed version 1, and 1 of them")
    );
}

#[test]
fn what_a_task_demands_and_nobody_has_is_said_first() {
    let mut standing = standing();
    standing.task.requirements.gpu_attested = true;
    let mut crowd = Crowd {
        connected: 3,
        offering: 2,
        unmet: 2,
        ..Crowd::default()
    };
    let reasons = queued(&standing, &crowd, NOW_MS);
    assert_eq!(codes(&reasons), [ReasonCode::RequirementsUnmet]);
    let text = "it demands an attested GPU: 2 workers that offer the operation do not have that";
    assert_eq!(reasons[0].text, text);
    (crowd.unmet, crowd.able) = (1, 1);
    let reasons = queued(&standing, &crowd, NOW_MS);
    assert_eq!(
        codes(&reasons),
        [ReasonCode::RequirementsUnmet, ReasonCode::WorkersBusy]
    );
}

#[test]
fn what_else_keeps_a_task_waiting_is_said_behind_that() {
    let mut standing = standing();
    standing.ahead = 1;
    standing.flows = 2;
    standing.avoided_until_ms = Some(NOW_MS + 1_500);
    standing.task.worker = Some("worker-1".parse().unwrap());
    standing.task.attempts = 1;
    standing.task.fault = Some("no memory".to_owned());
    standing.task.deadline_ms = Some(NOW_MS + 60_000);
    let reasons = queued(&standing, &Crowd::default(), NOW_MS);
    let texts: Vec<_> = reasons[1..]
        .iter()
        .map(|reason| reason.text.as_str())
        .collect();
    assert_eq!(
        texts,
        [
            "it failed on worker-1, which does not get it again for 2 s",
            "attempt 1 of 3 failed: no memory",
            "1 task goes before it, by priority and age, of the same user and operation",
            "2 other users have tasks of this operation, and they take turns",
            "it expires in 60 s unless a worker takes it",
        ]
    );
    // That is over.
    standing.avoided_until_ms = Some(NOW_MS);
    let reasons = queued(&standing, &Crowd::default(), NOW_MS);
    assert!(!codes(&reasons).contains(&ReasonCode::KeptFromWorker));
}

#[test]
fn a_finished_task_says_how_it_ended() {
    let mut dead = task(TaskState::DeadLetter);
    dead.attempts = 3;
    dead.fault = Some("no memory".to_owned());
    assert_eq!(
        finished(&dead).text,
        "attempt 3 of 3 failed, so it is a dead letter: no memory"
    );
    for state in TaskState::ALL {
        assert!(!finished(&task(state)).text.is_empty());
    }
}

fn worker(state: WorkerState) -> WorkerView {
    WorkerView {
        id: "worker-1".parse().unwrap(),
        created_ms: NOW_MS,
        state,
        draining: false,
        tasks_running: 0,
        tasks_succeeded: 0,
        session: None,
        refusal: None,
    }
}

fn offers(asked_ms: Option<u64>, queued: u64) -> Offers {
    Offers {
        operations: vec![OperationId {
            name: "gemm".to_owned(),
            version: 1,
        }],
        asked_ms,
        queued,
    }
}

#[test]
fn a_worker_that_is_away_says_what_it_was_refused_for() {
    let mut away = worker(WorkerState::Offline);
    let reasons = idle(&away, &offers(None, 0), NOW_MS);
    assert_eq!(codes(&reasons), [ReasonCode::Offline]);
    let code = ErrorCode::GpuDebugEnabled;
    away.refusal = Some(RefusalView {
        code: code.to_string(),
        title: code.title().to_owned(),
        at_ms: NOW_MS,
    });
    let reasons = idle(&away, &offers(None, 0), NOW_MS);
    assert_eq!(codes(&reasons), [ReasonCode::Offline, ReasonCode::Refused]);
    assert!(
        reasons[1].text.ends_with(code.remedy()),
        "{}",
        reasons[1].text
    );
}

#[test]
fn a_worker_that_gets_nothing_says_why() {
    let mut both = worker(WorkerState::Stale);
    both.draining = true;
    let reasons = idle(&both, &offers(Some(NOW_MS), 9), NOW_MS);
    assert_eq!(codes(&reasons), [ReasonCode::Stale, ReasonCode::Draining]);

    let live = worker(WorkerState::Live);
    let reasons = idle(&live, &offers(None, 0), NOW_MS);
    assert_eq!(codes(&reasons), [ReasonCode::NotAsking]);
    let reasons = idle(&live, &offers(Some(NOW_MS - 60_000), 0), NOW_MS);
    assert_eq!(codes(&reasons), [ReasonCode::NotAsking]);
    let reasons = idle(&live, &offers(Some(NOW_MS), 0), NOW_MS);
    assert_eq!(
        reasons[0].text,
        "it is well: nothing is queued that it offers, gemm version 1"
    );

    let mut busy = worker(WorkerState::Live);
    busy.tasks_running = 2;
    let reasons = idle(&busy, &offers(Some(NOW_MS), 0), NOW_MS);
    assert_eq!(
        reasons[0].text,
        "it is well: it has 2 tasks, and offers gemm version 1"
    );
}
