//! What finished long ago is forgotten, whole; everything else stays.

use protocol::lease::FaultKind;
use protocol::requirements::{Requirements, WorkerTraits};
use protocol::task::{InputDescriptor, TaskState};
use protocol::{Sha256Digest, TaskId};

use super::harness::{NOW_MS, Pool, ack, key, operation, task, user};
use super::pool;
use crate::store::database::Connection;
use crate::store::{
    Age, ClaimsBefore, InputBytes, LookupError, NewTask, ParkEnd, PrunePlace, TaskScope,
};

const DAY_MS: u64 = 24 * 3_600_000;
/// What ended at the time that stands still.
const AFTER: Age = Age {
    before_ms: NOW_MS + 1,
    now_ms: NOW_MS + 1,
};

async fn batches(pool: &Pool) -> i64 {
    let sql = "SELECT count(*) FROM receipt_batches";
    let count = |connection: &Connection| connection.get(sql, &[]);
    pool.store.database.read(count).await.unwrap()
}

#[tokio::test]
async fn a_task_is_forgotten_with_all_that_belongs_to_it() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let mut task = pool.task();
    task.idempotency_key = Some(key("order-1"));
    let again = task.clone();
    let done = pool.submit_task(task).await;
    let lease = pool.lease_one(&worker).await;
    pool.ack_one(&worker, &lease).await;
    let failed = pool.submit().await;
    let lease = pool.lease_one(&worker).await;
    pool.nack(&worker, &lease, FaultKind::Invalid).await;
    let (running, queued) = (pool.submit().await, pool.submit().await);
    pool.lease(&worker, 1).await;

    assert_eq!(pool.prune(NOW_MS).await, 0);
    pool.store.receipt(TaskScope::All, done).await.unwrap();
    assert_eq!(pool.prune(NOW_MS + 1).await, 2);
    assert_eq!(pool.prune(NOW_MS + 1).await, 0);

    let views = pool
        .store
        .tasks(TaskScope::All, vec![done, failed, running, queued])
        .await
        .unwrap();
    let states: Vec<_> = views
        .iter()
        .map(|view| view.as_ref().map(|view| view.state))
        .collect();
    let kept = [Some(TaskState::Running), Some(TaskState::Queued)];
    assert_eq!(states, [&[None, None], &kept[..]].concat());
    let receipt = pool.store.receipt(TaskScope::All, done).await;
    assert!(matches!(receipt, Err(LookupError::UnknownTask)));
    let counts = pool.store.counts().await.unwrap().tasks;
    assert_eq!(
        (
            counts.succeeded,
            counts.dead_letter,
            counts.running,
            counts.queued
        ),
        (0, 0, 1, 1)
    );
    // Its key is anybody's again, and so is its place.
    pool.submit_task(again).await;
}

#[tokio::test]
async fn a_step_is_bounded_and_the_next_one_goes_on() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let tasks = (0..600).map(|_| pool.task()).collect();
    pool.store.submit(tasks).await.unwrap();
    let leases = pool.lease(&worker, 600).await;
    pool.ack(&worker, &leases).await;
    let first = pool.store.prune(PrunePlace::START, AFTER).await.unwrap();
    let behind = PrunePlace::Tasks { behind: 500 };
    assert_eq!((first.tasks, first.next), (500, Some(behind)));
    // The batch of those that are left is there.
    let left = leases.iter().map(|lease| lease.task);
    let views = pool
        .store
        .tasks(TaskScope::All, left.collect())
        .await
        .unwrap();
    let left: Vec<_> = views.into_iter().flatten().collect();
    assert_eq!(left.len(), 100);
    pool.store
        .receipt(TaskScope::All, left[0].id)
        .await
        .unwrap();
    let second = pool.store.prune(behind, AFTER).await.unwrap();
    let batches = PrunePlace::Batches { behind: 0 };
    assert_eq!((second.tasks, second.next), (100, Some(batches)));
    assert_eq!(pool.store.counts().await.unwrap().tasks.succeeded, 0);
}

/// Tasks that were submitted then, in this order.
async fn submit_at(pool: &mut Pool, times_ms: impl IntoIterator<Item = u64>) -> Vec<TaskId> {
    let at = |submitted_ms| NewTask {
        submitted_ms,
        ..pool.task()
    };
    let tasks: Vec<_> = times_ms.into_iter().map(at).collect();
    let ids = tasks.iter().map(|task| task.id).collect();
    pool.store.submit(tasks).await.unwrap();
    ids
}

#[tokio::test]
async fn a_pass_goes_by_what_waits_however_much_it_is() {
    let mut pool = pool().await;
    submit_at(&mut pool, [NOW_MS; 501]).await;
    let behind = submit_at(&mut pool, [NOW_MS]).await;
    let cancelled = pool.store.cancel(TaskScope::All, behind, NOW_MS).await;
    cancelled.unwrap();
    assert_eq!(pool.prune(NOW_MS + 1).await, 1);
    assert_eq!(pool.store.counts().await.unwrap().tasks.queued, 501);
}

#[tokio::test]
async fn a_pass_is_over_where_all_are_too_young_to_have_ended() {
    let batches = PrunePlace::Batches { behind: 0 };
    let next = PrunePlace::Tasks { behind: 500 };
    for (first_ms, wanted) in [(NOW_MS + 1, batches), (NOW_MS, next)] {
        let mut pool = pool().await;
        let young = std::iter::repeat_n(NOW_MS + 1, 499);
        submit_at(&mut pool, std::iter::once(first_ms).chain(young)).await;
        let old = submit_at(&mut pool, [NOW_MS]).await;
        let cancelled = pool.store.cancel(TaskScope::All, old, NOW_MS).await;
        cancelled.unwrap();
        let step = pool.store.prune(PrunePlace::START, AFTER).await.unwrap();
        assert_eq!((step.tasks, step.next), (0, Some(wanted)));
    }
}

/// Once, a clock was ahead by a year.
#[tokio::test]
async fn what_is_from_a_time_to_come_keeps_nothing_else() {
    const YEAR_MS: u64 = 365 * DAY_MS;
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let ahead = submit_at(&mut pool, [NOW_MS + YEAR_MS]).await;
    let leases = pool.lease_at(&worker, 1, NOW_MS + YEAR_MS).await;
    let ahead_batch = worker.sign(leases.iter().map(ack).collect());
    let acked = pool.store.ack(ahead_batch, NOW_MS + YEAR_MS).await;
    acked.unwrap();
    pool.submit().await;
    let lease = pool.lease_one(&worker).await;
    pool.ack_one(&worker, &lease).await;
    assert_eq!(pool.prune(NOW_MS + DAY_MS + 1).await, 1);
    assert_eq!(batches(&pool).await, 1);
    pool.store.receipt(TaskScope::All, ahead[0]).await.unwrap();
    assert_eq!(pool.prune(NOW_MS + YEAR_MS + DAY_MS + 1).await, 1);
    assert_eq!(batches(&pool).await, 0);
}

/// What users once demanded does not add up for ever.
#[tokio::test]
async fn a_flow_ends_with_its_last_task_and_may_begin_again() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let flows = async |pool: &Pool| {
        let count = |connection: &Connection| connection.get("SELECT count(*) FROM flows", &[]);
        let count: i64 = pool.store.database.read(count).await.unwrap();
        count
    };
    let demand = |gpu_memory_gib_min| Requirements {
        gpu_memory_gib_min: Some(gpu_memory_gib_min),
        ..Requirements::default()
    };
    let mut demanding = Vec::new();
    for number in 1..=3 {
        let mut task = pool.task();
        task.requirements = demand(number);
        demanding.push(pool.submit_task(task).await);
    }
    let (kept, done) = (pool.submit().await, pool.submit().await);
    assert_eq!(flows(&pool).await, 4);
    let scope = TaskScope::All;
    let cancelled = pool.store.cancel(scope.clone(), demanding, NOW_MS);
    cancelled.await.unwrap();
    let leases = pool.lease(&worker, 1).await;
    assert_eq!(leases[0].task, kept);
    pool.ack(&worker, &leases).await;
    assert_eq!(pool.prune(NOW_MS + 1).await, 4);
    assert_eq!(flows(&pool).await, 1);
    // The number of an ended flow may be another's now; who waits is told of the right one.
    let mut parked = pool.store.park(
        pool.store
            .watch_work(&[operation()], &WorkerTraits::default()),
        {
            let query = worker.query(1, NOW_MS);
            move |_| Some(query.clone())
        },
    );
    let mut task = pool.task();
    task.requirements = demand(1);
    pool.submit_task(task).await;
    assert!(parked.is_in_line());
    assert_eq!(pool.lease_one(&worker).await.task, done);
    let mut other = pool.task();
    other.user = user("bert");
    let other = pool.submit_task(other).await;
    let ParkEnd::Leased(Ok(leases)) = parked.ended().await else {
        panic!("not served");
    };
    assert_eq!(leases[0].task, other);
    assert_eq!(flows(&pool).await, 3);
}

/// Claims keep a blob, and tasks keep it longer.
#[tokio::test]
async fn a_blob_is_needed_as_long_as_a_claim_or_a_task_names_it() {
    let pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let blob = InputDescriptor {
        sha256: Sha256Digest::of(b"large"),
        bytes: 100_000,
    };
    let is_needed = async || {
        let unneeded = pool.store.unreferenced_blobs(vec![blob.sha256]);
        unneeded.await.unwrap().is_empty()
    };
    let end_claims = async |users_ms, workers_ms| {
        let before = ClaimsBefore {
            users_ms,
            workers_ms,
        };
        assert!(!pool.store.end_blob_claims(before).await.unwrap());
    };
    assert!(!is_needed().await);
    let ada = user("ada");
    pool.store
        .record_user_blob(&ada, blob, NOW_MS)
        .await
        .unwrap();
    let mut task = task(TaskId::from_parts(NOW_MS, 1), vec![InputBytes::Blob(blob)]);
    task.user = ada.clone();
    pool.submit_task(task).await;
    end_claims(NOW_MS, NOW_MS).await;
    assert!(
        pool.store
            .user_blob(&ada, blob.sha256)
            .await
            .unwrap()
            .is_some()
    );
    end_claims(NOW_MS + 1, NOW_MS).await;
    assert!(
        pool.store
            .user_blob(&ada, blob.sha256)
            .await
            .unwrap()
            .is_none()
    );
    assert!(is_needed().await, "a task names it");
    let lease = pool.lease_one(&worker).await;
    pool.nack(&worker, &lease, FaultKind::Invalid).await;
    assert_eq!(pool.prune(NOW_MS + 1).await, 1);
    assert!(!is_needed().await);

    pool.store
        .record_worker_blob(&worker.id, blob, NOW_MS)
        .await
        .unwrap();
    assert!(is_needed().await);
    // What is uploaded again is claimed anew.
    pool.store
        .record_worker_blob(&worker.id, blob, NOW_MS + 9)
        .await
        .unwrap();
    end_claims(NOW_MS + 9, NOW_MS + 9).await;
    assert!(is_needed().await);
    end_claims(NOW_MS + 9, NOW_MS + 10).await;
    assert!(!is_needed().await);
}

/// A receipt is there as long as its task, also where clocks differed by up to a day.
#[tokio::test]
async fn batches_of_receipts_go_a_day_behind_their_tasks_however_many_there_are() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    submit_at(&mut pool, [NOW_MS; 501]).await;
    for lease in pool.lease(&worker, 501).await {
        pool.ack_one(&worker, &lease).await;
    }
    assert_eq!(pool.prune(NOW_MS + DAY_MS).await, 501);
    assert_eq!(batches(&pool).await, 501);
    assert_eq!(pool.prune(NOW_MS + DAY_MS + 1).await, 0);
    assert_eq!(batches(&pool).await, 0);
}
