//! Fencing: which ack takes effect, and what the others are told.

use protocol::TaskId;
use protocol::lease::{AckOutcome, FaultKind, LeaseRef, NackOutcome, Output};
use protocol::task::{InputDescriptor, TaskState};

use super::harness::{LEASE_MS, NOW_MS, Pool, ack, ack_with, leaf, output, specification, user};
use super::pool;
use crate::store::{InputBytes, Payload, StoreError, TaskScope};

fn refusal(outcome: &AckOutcome) -> &str {
    match outcome {
        AckOutcome::Refused { reason } => reason,
        other => panic!("{other:?} is no refusal"),
    }
}

#[tokio::test]
async fn an_old_fencing_token_is_superseded() {
    let mut pool = pool().await;
    let [slow, quick] = [pool.worker("slow").await, pool.worker("quick").await];
    let task = pool.submit().await;
    let old = pool.lease_one(&slow).await;
    pool.store.expire(NOW_MS + LEASE_MS).await.unwrap();
    let new = pool.lease_one(&quick).await;
    assert!(new.fencing_token > old.fencing_token);
    assert_eq!(pool.ack_one(&slow, &old).await, AckOutcome::Superseded);
    assert_eq!(
        pool.nack(&slow, &old, FaultKind::Failed).await,
        NackOutcome::Superseded
    );
    assert_eq!(pool.ack_one(&quick, &new).await, AckOutcome::Accepted);
    assert_eq!(pool.ack_one(&slow, &old).await, AckOutcome::Superseded);
    assert_eq!(pool.view(task).await.worker, Some(quick.id));
}

#[tokio::test]
async fn a_late_ack_is_welcome_while_nobody_else_has_the_task() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let task = pool.submit().await;
    let lease = pool.lease_one(&worker).await;
    pool.store.expire(NOW_MS + LEASE_MS).await.unwrap();
    assert_eq!(pool.state(task).await, TaskState::Queued);
    assert_eq!(pool.ack_one(&worker, &lease).await, AckOutcome::Accepted);
    assert_eq!(pool.state(task).await, TaskState::Succeeded);
    assert!(pool.lease(&worker, 1).await.is_empty());
}

#[tokio::test]
async fn a_worker_that_was_taken_out_finishes_nothing() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let [late, held] = [pool.submit().await, pool.submit().await];
    let leases = pool.lease(&worker, 2).await;
    pool.store
        .renew(crate::store::RenewQuery {
            worker: worker.id.clone(),
            leases: vec![super::harness::reference(&leases[1])],
            lease_duration_ms: LEASE_MS,
            now_ms: NOW_MS + LEASE_MS,
        })
        .await
        .unwrap();
    // One lease ran out, so its late ack would be welcome; the other is in force.
    pool.store.expire(NOW_MS + LEASE_MS).await.unwrap();
    assert!(
        pool.store
            .delete_worker(&worker.id, NOW_MS + LEASE_MS)
            .await
            .unwrap()
    );
    assert_eq!(
        pool.ack(&worker, &leases).await,
        [AckOutcome::Superseded, AckOutcome::Superseded]
    );
    for task in [late, held] {
        assert_eq!(pool.state(task).await, TaskState::Queued);
    }
}

#[tokio::test]
async fn what_was_given_back_cannot_be_acked() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let other = pool.worker("worker-2").await;
    let task = pool.submit().await;
    for (worker, kind) in [
        (&worker, FaultKind::Released),
        (&worker, FaultKind::Failed),
        (&other, FaultKind::Invalid),
    ] {
        let lease = pool.lease_one(worker).await;
        pool.nack(worker, &lease, kind).await;
        assert_eq!(pool.ack_one(worker, &lease).await, AckOutcome::Superseded);
        assert_eq!(
            pool.nack(worker, &lease, kind).await,
            NackOutcome::Superseded
        );
    }
    assert_eq!(pool.state(task).await, TaskState::DeadLetter);
}

#[tokio::test]
async fn a_redriven_task_is_not_finished_by_an_ack_from_before() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let mut task = pool.task();
    task.max_attempts = 1;
    let task = pool.submit_task(task).await;
    let lease = pool.lease_one(&worker).await;
    pool.store.expire(NOW_MS + LEASE_MS).await.unwrap();
    assert_eq!(pool.state(task).await, TaskState::DeadLetter);
    // What was told to be a dead letter stays one until an operator says otherwise.
    assert_eq!(pool.ack_one(&worker, &lease).await, AckOutcome::Superseded);
    pool.store.redrive(vec![task]).await.unwrap();
    assert_eq!(pool.ack_one(&worker, &lease).await, AckOutcome::Superseded);
    assert_eq!(pool.state(task).await, TaskState::Queued);
}

#[tokio::test]
async fn the_same_ack_again_is_already_accepted() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let task = pool.submit().await;
    let lease = pool.lease_one(&worker).await;
    assert_eq!(pool.ack_one(&worker, &lease).await, AckOutcome::Accepted);
    let receipt = pool.store.receipt(TaskScope::All, task).await.unwrap();
    assert_eq!(
        pool.ack_one(&worker, &lease).await,
        AckOutcome::AlreadyAccepted
    );
    assert_eq!(
        pool.store.receipt(TaskScope::All, task).await.unwrap(),
        receipt
    );

    let mut changed = leaf(&lease);
    changed.output = protocol::Sha256Digest::of(&[1; 32]);
    let other = ack_with(&lease, &changed, Output::Inline(vec![1; 32].into()));
    let outcome = pool
        .store
        .ack(worker.sign(vec![other]), NOW_MS)
        .await
        .unwrap();
    assert_eq!(
        refusal(&outcome[0]),
        "another output of this lease was accepted before"
    );
    let stored = pool.store.output(TaskScope::All, task).await.unwrap();
    assert_eq!(stored.payload, Payload::Inline(output(&lease).into()));
}

#[tokio::test]
async fn the_same_task_twice_in_one_batch_has_one_effect() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    pool.submit().await;
    let lease = pool.lease_one(&worker).await;
    assert_eq!(
        pool.ack(&worker, &[lease.clone(), lease]).await,
        [AckOutcome::Accepted, AckOutcome::AlreadyAccepted]
    );
    let record = pool.store.worker(&worker.id).await.unwrap().unwrap();
    assert_eq!(record.tasks_succeeded, 1);
}

/// A batch brings its own count, which is added to the worker's later: whoever asks sees no difference.
#[tokio::test]
async fn a_workers_count_is_the_same_before_and_after_it_is_added_up() {
    let mut pool = pool().await;
    let [worker, _idle] = [pool.worker("worker-1").await, pool.worker("worker-2").await];
    for _ in 0..3 {
        pool.submit().await;
    }
    let leases = pool.lease(&worker, 3).await;
    pool.ack(&worker, &leases[..2]).await;
    let counts = async || {
        let records = pool.store.workers().await.unwrap();
        let counts = records.iter().map(|record| record.tasks_succeeded);
        let one = pool.store.worker(&worker.id).await.unwrap().unwrap();
        assert_eq!(one.tasks_succeeded, records[0].tasks_succeeded);
        counts.collect::<Vec<_>>()
    };
    assert_eq!(counts().await, [2, 0]);
    for _ in 0..2 {
        pool.store.count_succeeded().await.unwrap();
        assert_eq!(counts().await, [2, 0]);
    }
    pool.ack(&worker, &leases).await;
    assert_eq!(counts().await, [3, 0]);
    pool.store.count_succeeded().await.unwrap();
    assert_eq!(counts().await, [3, 0]);
}

/// SQLite gives the numbers of batches that are forgotten to new ones.
#[tokio::test]
async fn what_follows_forgotten_batches_is_counted() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let counted = async |pool: &Pool| {
        let record = pool.store.worker(&worker.id).await.unwrap().unwrap();
        record.tasks_succeeded
    };
    for round in 1..=3 {
        pool.submit().await;
        let lease = pool.lease_one(&worker).await;
        assert_eq!(pool.ack_one(&worker, &lease).await, AckOutcome::Accepted);
        assert_eq!(counted(&pool).await, round);
        pool.store.count_succeeded().await.unwrap();
        assert_eq!(counted(&pool).await, round);
        let a_week_later = NOW_MS + 7 * 24 * 60 * 60 * 1_000;
        assert_eq!(pool.prune(a_week_later).await, 1);
        assert_eq!(counted(&pool).await, round);
    }
}

#[tokio::test]
async fn a_worker_is_not_given_what_one_of_its_name_did_before() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    pool.submit().await;
    let lease = pool.lease_one(&worker).await;
    assert_eq!(pool.ack_one(&worker, &lease).await, AckOutcome::Accepted);
    assert!(pool.store.delete_worker(&worker.id, NOW_MS).await.unwrap());
    let again = pool.worker("worker-1").await;
    let record = pool.store.worker(&again.id).await.unwrap().unwrap();
    assert_eq!(record.tasks_succeeded, 0);
}

#[tokio::test]
async fn another_workers_lease_cannot_be_acked() {
    let mut pool = pool().await;
    let [holder, thief] = [pool.worker("holder").await, pool.worker("thief").await];
    pool.submit().await;
    let lease = pool.lease_one(&holder).await;
    let outcome = pool.ack_one(&thief, &lease).await;
    assert_eq!(refusal(&outcome), "the lease is another worker's");
    assert_eq!(
        pool.nack(&thief, &lease, FaultKind::Failed).await,
        NackOutcome::Superseded
    );
    assert_eq!(pool.ack_one(&holder, &lease).await, AckOutcome::Accepted);
}

#[tokio::test]
async fn an_unknown_task_is_said_to_be() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    pool.submit().await;
    let mut lease = pool.lease_one(&worker).await;
    lease.task = TaskId::from_parts(NOW_MS, u128::MAX);
    assert_eq!(pool.ack_one(&worker, &lease).await, AckOutcome::UnknownTask);
    assert_eq!(
        pool.nack(&worker, &lease, FaultKind::Failed).await,
        NackOutcome::UnknownTask
    );
}

#[tokio::test]
async fn a_leaf_that_does_not_fit_refuses_its_ack_alone() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    for _ in 0..3 {
        pool.submit().await;
    }
    let leases = pool.lease(&worker, 3).await;
    let mut bad = leaf(&leases[1]);
    bad.attempt = 2;
    let acks = vec![
        ack(&leases[0]),
        ack_with(&leases[1], &bad, Output::Inline(output(&leases[1]).into())),
        ack(&leases[2]),
    ];
    let outcomes = pool.store.ack(worker.sign(acks), NOW_MS).await.unwrap();
    assert_eq!(outcomes[0], AckOutcome::Accepted);
    assert_eq!(
        refusal(&outcomes[1]),
        "the leaf names attempt 2; the lease is attempt 1"
    );
    assert_eq!(outcomes[2], AckOutcome::Accepted);
    // The tree is over all three leaves, so the accepted ones verify.
    for lease in [&leases[0], &leases[2]] {
        let receipt = pool
            .store
            .receipt(TaskScope::All, lease.task)
            .await
            .unwrap();
        receipt.verify().unwrap();
    }
}

#[tokio::test]
async fn an_output_in_a_blob_must_be_this_workers_upload() {
    let mut pool = pool().await;
    let [worker, other] = [pool.worker("worker-1").await, pool.worker("worker-2").await];
    let task = pool.submit().await;
    let lease = pool.lease_one(&worker).await;
    let blob = InputDescriptor::of(&output(&lease));
    let uploaded = || {
        let InputDescriptor { sha256, bytes } = blob;
        worker.sign(vec![ack_with(
            &lease,
            &leaf(&lease),
            Output::Uploaded { sha256, bytes },
        )])
    };
    pool.store
        .record_worker_blob(&other.id, blob, NOW_MS)
        .await
        .unwrap();
    pool.store
        .record_user_blob(&user("ada"), blob, NOW_MS)
        .await
        .unwrap();
    let outcome = pool.store.ack(uploaded(), NOW_MS).await.unwrap();
    assert_eq!(
        refusal(&outcome[0]),
        "the output was not uploaded by this worker"
    );
    pool.store
        .record_worker_blob(&worker.id, blob, NOW_MS)
        .await
        .unwrap();
    assert_eq!(
        pool.store.ack(uploaded(), NOW_MS).await.unwrap(),
        [AckOutcome::Accepted]
    );
    let stored = pool.store.output(TaskScope::All, task).await.unwrap();
    assert_eq!(
        (stored.descriptor, stored.payload),
        (blob, Payload::Blob(blob))
    );
}

#[tokio::test]
async fn no_receipt_points_at_an_attestation_that_is_not_on_record() {
    let mut pool = pool().await;
    let mut worker = pool.worker("worker-1").await;
    pool.submit().await;
    let lease = pool.lease_one(&worker).await;
    worker.attested.attestation = "0f".repeat(64);
    let outcome = pool.ack_one(&worker, &lease).await;
    assert_eq!(
        refusal(&outcome),
        "the attestation that signs the batch is not on record"
    );
}

#[tokio::test]
async fn an_input_goes_to_the_holder_of_the_lease_alone() {
    let mut pool = pool().await;
    let [worker, other] = [pool.worker("worker-1").await, pool.worker("worker-2").await];
    let blob = InputDescriptor::of(b"large");
    pool.store
        .record_user_blob(&user("ada"), blob, NOW_MS)
        .await
        .unwrap();
    let mut task = pool.task();
    let inline = InputBytes::Inline("small".into());
    task.specification = specification(vec![inline, InputBytes::Blob(blob)]);
    pool.submit_task(task).await;
    let lease = super::harness::reference(&pool.lease_one(&worker).await);
    let input = async |worker, lease, index| {
        pool.store
            .lease_input(worker, lease, index)
            .await
            .map_err(|error| error.to_string())
    };
    assert_eq!(
        input(&worker.id, lease, 0).await,
        Ok(Payload::Inline("small".into()))
    );
    assert_eq!(input(&worker.id, lease, 1).await, Ok(Payload::Blob(blob)));
    assert_eq!(
        input(&worker.id, lease, 2).await.unwrap_err(),
        "the task has no such input"
    );
    let superseded = "the lease is not this worker's, or no longer in force";
    assert_eq!(input(&other.id, lease, 0).await.unwrap_err(), superseded);
    let unknown = LeaseRef {
        task: TaskId::from_parts(0, 0),
        ..lease
    };
    assert_eq!(
        input(&worker.id, unknown, 0).await.unwrap_err(),
        "there is no such task"
    );
    pool.store
        .cancel(TaskScope::All, vec![lease.task], NOW_MS)
        .await
        .unwrap();
    assert_eq!(input(&worker.id, lease, 0).await.unwrap_err(), superseded);
}

#[tokio::test]
async fn a_closed_store_says_so() {
    let pool = pool().await;
    pool.store.close().await;
    assert!(matches!(
        pool.store.expire(NOW_MS).await,
        Err(StoreError::Closed)
    ));
    assert!(matches!(pool.store.counts().await, Err(StoreError::Closed)));
}
