//! The appraisal policy is replaced while the pool works: who no longer fits is cut at once, everybody else works on without
//! a new quote.

use protocol::api::{SessionView, WorkerState};
use protocol::task::TaskState;
use protocol::{Sha256Digest, WorkerId};
use rustix::process::Signal;
use simulator::SimulatedPlatform;
use tests::fleet::{START_LIMIT, wait_until_async};

use crate::pool::Pool;

/// What a lost worker held moves on after this.
const LEASE_S: u32 = 3;
/// The first worker cannot take so many before the second one asks.
const TASKS_MAX: usize = 64;
/// The seed of every fleet here; a fleet's workers stand on its machines in order.
const SEED: u64 = 1;

async fn session(pool: &Pool, id: &WorkerId) -> SessionView {
    let view = pool.fleet.operator().unwrap().worker(id).await.unwrap();
    view.session.expect("the worker has a session")
}

/// The session once its evidence was appraised under this policy.
async fn session_under(pool: &Pool, id: &WorkerId, policy: &str) -> SessionView {
    let sha256 = Sha256Digest::of(policy.as_bytes());
    wait_until_async(
        START_LIMIT,
        "the session to be appraised again",
        async || Ok(session(pool, id).await.appraisal_policy_sha256 == sha256),
    )
    .await
    .unwrap();
    session(pool, id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_platform_is_cut_at_once_and_no_task_is_lost() {
    let mut pool = Pool::with_leases(2, LEASE_S).await;
    let (stays, goes) = (pool.workers[0].clone(), pool.workers[1].clone());
    let before = session(&pool, &stays).await;
    let operator = pool.fleet.operator().unwrap();
    let mut tasks = Vec::new();
    while operator.worker(&goes).await.unwrap().tasks_running == 0 {
        assert!(tasks.len() < TASKS_MAX, "the second worker gets no task");
        tasks.push(pool.submit_slow().await.id);
    }

    let ppid = SimulatedPlatform::machine(SEED, 1).ppid();
    let revoked = format!("revoked = [\"{}\"]", hex::encode(ppid));
    let policy = pool.fleet.platform().policy_toml();
    let policy = policy.replace("revoked = []", &revoked);
    pool.fleet.write_policy(&policy).unwrap();
    pool.fleet.gateway().signal(Signal::HUP).unwrap();

    let mut refusal = None;
    wait_until_async(START_LIMIT, "the revoked platform to be cut", async || {
        let view = operator.worker(&goes).await?;
        refusal = view.refusal;
        Ok(view.state == WorkerState::Offline && refusal.is_some())
    })
    .await
    .unwrap();
    assert_eq!(refusal.unwrap().code, "E602");
    let process = pool.fleet.worker(&goes).unwrap();
    process.wait_for_log("E602", START_LIMIT).unwrap();
    process.expect_alive().unwrap();

    for task in tasks {
        let finished = pool.wait_state(task, TaskState::Succeeded).await;
        pool.leaf(&finished).await;
    }
    let after = session_under(&pool, &stays, &policy).await;
    assert_eq!(
        (after.id, &after.attestation),
        (before.id, &before.attestation)
    );
    assert_eq!(
        (after.attested_ms, after.reappraisals),
        (before.attested_ms, 1)
    );
    let task = pool.submit_slow().await;
    let finished = pool.wait_state(task.id, TaskState::Succeeded).await;
    assert_eq!(finished.worker, Some(stays));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_everybody_fits_changes_nothing_but_its_digest() {
    let pool = Pool::start(2).await;
    let mut before = Vec::new();
    for id in &pool.workers {
        before.push(session(&pool, id).await);
    }
    let policy = format!(
        "{}# no rule is another\n",
        pool.fleet.platform().policy_toml()
    );
    pool.fleet.write_policy(&policy).unwrap();
    let operator = pool.fleet.operator().unwrap();
    let reloaded = operator.reload_appraisal_policy().await.unwrap();
    assert_eq!(reloaded.sha256, Sha256Digest::of(policy.as_bytes()));
    for (id, before) in pool.workers.iter().zip(before) {
        let after = session_under(&pool, id, &policy).await;
        assert_ne!(
            after.appraisal_policy_sha256,
            before.appraisal_policy_sha256
        );
        assert_eq!(
            (after.id, after.attestation),
            (before.id, before.attestation)
        );
        let view = operator.worker(id).await.unwrap();
        assert_eq!((view.state, view.refusal), (WorkerState::Live, None));
    }
    let task = pool.submit_slow().await;
    pool.wait_state(task.id, TaskState::Succeeded).await;
}
