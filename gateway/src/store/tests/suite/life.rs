//! A task's life: every step of the diagram, and the steps that are not in it.

use protocol::lease::{AckOutcome, FaultKind, NackOutcome};
use protocol::requirements::WorkerTraits;
use protocol::task::TaskState;

use super::harness::{ATTEMPTS, Kind, LEASE_MS, NOW_MS, operation, output, reference, user};
use super::{kind, pool};
use crate::store::{
    CancelOutcome, Expired, LookupError, Payload, RedriveOutcome, RenewQuery, RunningLease,
    TaskScope,
};

#[tokio::test]
async fn a_task_is_queued_leased_and_succeeds() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let task = pool.submit().await;
    assert_eq!(pool.state(task).await, TaskState::Queued);

    let lease = pool.lease_one(&worker).await;
    assert_eq!(
        (lease.task, lease.attempt, lease.fencing_token.0),
        (task, 1, 1)
    );
    let view = pool.view(task).await;
    assert_eq!(
        (view.state, view.attempts, view.started_ms, view.worker),
        (TaskState::Running, 1, Some(NOW_MS), Some(worker.id.clone()))
    );
    assert!(matches!(
        pool.store.output(TaskScope::All, task).await,
        Err(LookupError::NotSucceeded(TaskState::Running))
    ));

    assert_eq!(pool.ack_one(&worker, &lease).await, AckOutcome::Accepted);
    let view = pool.view(task).await;
    assert_eq!(
        (view.state, view.finished_ms),
        (TaskState::Succeeded, Some(NOW_MS))
    );
    let stored = pool.store.output(TaskScope::All, task).await.unwrap();
    assert_eq!(stored.payload, Payload::Inline(output(&lease).into()));
    let receipt = pool
        .store
        .receipt(TaskScope::All, task)
        .await
        .unwrap()
        .verify()
        .unwrap();
    assert_eq!(receipt.leaf().task, task.to_string());
    let record = pool
        .store
        .task_attestation(TaskScope::All, task)
        .await
        .unwrap();
    assert_eq!(record.id, worker.attested.attestation);
    let record = pool.store.worker(&worker.id).await.unwrap().unwrap();
    assert_eq!((record.tasks_running, record.tasks_succeeded), (0, 1));
}

#[tokio::test]
async fn failures_lead_to_the_dead_letter_and_a_redrive_back() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let other = pool.worker("worker-2").await;
    let task = pool.submit().await;
    for (attempt, worker) in (1..=ATTEMPTS).zip([&worker, &other].into_iter().cycle()) {
        assert_eq!(pool.state(task).await, TaskState::Queued);
        let lease = pool.lease_one(worker).await;
        assert_eq!(lease.attempt, attempt);
        assert_eq!(
            pool.nack(worker, &lease, FaultKind::Failed).await,
            NackOutcome::Returned
        );
    }
    let view = pool.view(task).await;
    assert_eq!(
        (view.state, view.fault.as_deref()),
        (TaskState::DeadLetter, Some("it did not work"))
    );
    assert!(pool.lease(&worker, 1).await.is_empty());

    assert_eq!(
        pool.store.redrive(vec![task]).await.unwrap(),
        [RedriveOutcome::Queued]
    );
    let lease = pool.lease_one(&worker).await;
    assert_eq!(lease.attempt, 1);
    assert_eq!(pool.ack_one(&worker, &lease).await, AckOutcome::Accepted);
    assert_eq!(pool.view(task).await.fault, None);
}

#[tokio::test]
async fn an_invalid_task_is_a_dead_letter_at_once() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let task = pool.submit().await;
    let lease = pool.lease_one(&worker).await;
    pool.nack(&worker, &lease, FaultKind::Invalid).await;
    assert_eq!(pool.state(task).await, TaskState::DeadLetter);
}

#[tokio::test]
async fn a_released_attempt_does_not_count() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let task = pool.submit().await;
    for token in 0..5 * u64::from(ATTEMPTS) {
        let lease = pool.lease_one(&worker).await;
        assert_eq!((lease.attempt, lease.fencing_token.0), (1, 2 * token + 1));
        pool.nack(&worker, &lease, FaultKind::Released).await;
    }
    let view = pool.view(task).await;
    assert_eq!(
        (view.state, view.attempts, view.fault),
        (TaskState::Queued, 0, None)
    );
}

#[tokio::test]
async fn a_lease_runs_out_unless_renewed() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let task = pool.submit().await;
    let lease = pool.lease_one(&worker).await;
    assert_eq!(
        pool.store.expire(NOW_MS + LEASE_MS - 1).await.unwrap(),
        Expired::default()
    );

    let renew = RenewQuery {
        worker: worker.id.clone(),
        leases: vec![reference(&lease)],
        lease_duration_ms: LEASE_MS,
        now_ms: NOW_MS + LEASE_MS,
    };
    let renewed = pool.store.renew(renew.clone()).await.unwrap();
    assert_eq!(renewed[0].lease_duration_ms, Some(LEASE_MS));
    assert_eq!(
        pool.store.expire(NOW_MS + LEASE_MS).await.unwrap(),
        Expired::default()
    );

    let expired = pool.store.expire(NOW_MS + 2 * LEASE_MS).await.unwrap();
    assert_eq!(expired.requeued, 1);
    assert_eq!(pool.state(task).await, TaskState::Queued);
    let renewed = pool.store.renew(renew).await.unwrap();
    assert_eq!(renewed[0].lease_duration_ms, None);
}

#[tokio::test]
async fn leases_that_run_out_use_up_attempts() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let task = pool.submit().await;
    for attempt in 1..=u64::from(ATTEMPTS) {
        let now_ms = NOW_MS + attempt * LEASE_MS;
        assert_eq!(pool.lease_at(&worker, 1, now_ms).await.len(), 1);
        let expired = pool.store.expire(now_ms + LEASE_MS).await.unwrap();
        assert_eq!(expired.requeued + expired.dead_lettered, 1);
    }
    let view = pool.view(task).await;
    assert_eq!(view.state, TaskState::DeadLetter);
    assert_eq!(
        view.fault.as_deref(),
        Some("the lease ran out: worker worker-1 did not renew it")
    );
}

#[tokio::test]
async fn a_deadline_passes_only_while_the_task_waits() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let mut tasks = Vec::new();
    for _ in 0..2 {
        let mut task = pool.task();
        task.deadline_ms = Some(NOW_MS + 10);
        tasks.push(pool.submit_task(task).await);
    }
    let lease = pool.lease(&worker, 1).await.remove(0);
    // Too late to be leased even before the next pass.
    assert!(pool.lease_at(&worker, 1, NOW_MS + 10).await.is_empty());
    let expired = pool.store.expire(NOW_MS + 10).await.unwrap();
    assert_eq!(expired.deadlines_passed, 1);
    assert_eq!(pool.state(tasks[1]).await, TaskState::Expired);
    assert_eq!(pool.ack_one(&worker, &lease).await, AckOutcome::Accepted);
    assert_eq!(pool.state(tasks[0]).await, TaskState::Succeeded);
}

#[tokio::test]
async fn cancel_in_each_state() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let task = pool.submit().await;
    let lease = pool.lease_one(&worker).await;
    let cancel = async |task| {
        let whose = TaskScope::User(user("ada"));
        pool.store
            .cancel(whose, vec![task], NOW_MS)
            .await
            .unwrap()
            .remove(0)
    };
    let running = RunningLease {
        worker: worker.id.clone(),
        session: worker.session,
        lease: reference(&lease),
    };
    assert_eq!(
        cancel(task).await,
        CancelOutcome::Cancelled {
            running: Some(running)
        }
    );
    assert_eq!(cancel(task).await, CancelOutcome::AlreadyCancelled);
    assert_eq!(pool.ack_one(&worker, &lease).await, AckOutcome::Cancelled);
    assert_eq!(
        pool.nack(&worker, &lease, FaultKind::Failed).await,
        NackOutcome::Superseded
    );
    assert_eq!(pool.state(task).await, TaskState::Cancelled);
}

#[tokio::test]
async fn cancel_of_what_waits_or_is_finished() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let whose = || TaskScope::User(user("ada"));
    let waiting = pool.submit().await;
    let outcome = pool
        .store
        .cancel(whose(), vec![waiting], NOW_MS)
        .await
        .unwrap();
    assert_eq!(outcome, [CancelOutcome::Cancelled { running: None }]);
    assert!(pool.lease(&worker, 1).await.is_empty());

    let done = pool.submit().await;
    let lease = pool.lease_one(&worker).await;
    pool.ack_one(&worker, &lease).await;
    let other = TaskScope::User(user("eve"));
    let unknown = pool.store.cancel(other, vec![done], NOW_MS).await.unwrap();
    assert_eq!(unknown, [CancelOutcome::UnknownTask]);
    let finished = pool
        .store
        .cancel(whose(), vec![done], NOW_MS)
        .await
        .unwrap();
    assert_eq!(finished, [CancelOutcome::Finished(TaskState::Succeeded)]);
}

#[tokio::test]
async fn only_a_dead_letter_is_redriven() {
    let mut pool = pool().await;
    let task = pool.submit().await;
    let unknown = pool.task().id;
    assert_eq!(
        pool.store.redrive(vec![task, unknown]).await.unwrap(),
        [
            RedriveOutcome::WrongState(TaskState::Queued),
            RedriveOutcome::UnknownTask
        ]
    );
}

#[tokio::test]
async fn who_waits_for_a_task_hears_of_its_end() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let task = pool.submit().await;
    let mut watches = [pool.store.watch_task(task), pool.store.watch_task(task)];
    let lease = pool.lease_one(&worker).await;
    pool.ack_one(&worker, &lease).await;
    for watch in &mut watches {
        let told = watch.finished().await;
        // A server's notification may come before its answer to the commit: then it is to be read.
        assert!(told.is_some() || kind() == Kind::Postgres);
        let Some(success) = told else { continue };
        let view = pool.view(task).await;
        assert_eq!(Some(success.finished_ms), view.finished_ms);
        assert_eq!(
            (success.leased_ms, success.deadline_ms),
            (view.started_ms, view.deadline_ms)
        );
        assert_eq!(
            (success.attempts, Some(success.worker)),
            (view.attempts, view.worker)
        );
        assert_eq!(Some(success.output), view.output);
    }
}

#[tokio::test]
async fn who_waits_for_work_is_woken_by_a_task_that_is_queued() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let mut work = pool
        .store
        .watch_work(&[operation()], &WorkerTraits::default());
    assert!(!work.has_queued());
    let task = pool.submit().await;
    drop(work.woken().await);
    assert!(work.has_queued());
    let lease = pool.lease_one(&worker).await;
    assert!(
        !pool
            .store
            .watch_work(&[operation()], &WorkerTraits::default())
            .has_queued()
    );
    // One that comes back is as good as a new one.
    let mut work = pool
        .store
        .watch_work(&[operation()], &WorkerTraits::default());
    pool.nack(&worker, &lease, FaultKind::Released).await;
    drop(work.woken().await);
    // What a gateway finds when it starts is counted, too.
    let pool = pool.reopen().await;
    let work = pool
        .store
        .watch_work(&[operation()], &WorkerTraits::default());
    while !work.has_queued() {
        tokio::task::yield_now().await;
    }
    assert_eq!(pool.state(task).await, TaskState::Queued);
}

#[tokio::test]
async fn counts_follow_every_step() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    for _ in 0..4 {
        pool.submit().await;
    }
    let leases = pool.lease(&worker, 3).await;
    pool.ack_one(&worker, &leases[0]).await;
    pool.nack(&worker, &leases[1], FaultKind::Invalid).await;
    pool.store.set_draining(&worker.id, true).await.unwrap();
    let counts = pool.store.counts().await.unwrap();
    let tasks = counts.tasks;
    assert_eq!(
        [
            tasks.queued,
            tasks.running,
            tasks.succeeded,
            tasks.dead_letter
        ],
        [1, 1, 1, 1]
    );
    assert_eq!((counts.workers_enrolled, counts.workers_draining), (1, 1));
}
