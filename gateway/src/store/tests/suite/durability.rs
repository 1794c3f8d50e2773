//! What was confirmed is there after a restart, and writes that wait.

use protocol::lease::{AckOutcome, FaultKind};

use super::harness::specification;
use super::pool;
use crate::store::{InputBytes, ListQuery, StoreError, TaskScope};

#[tokio::test]
async fn everything_survives_a_restart() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    for _ in 0..4 {
        pool.submit().await;
    }
    let leases = pool.lease(&worker, 3).await;
    pool.ack_one(&worker, &leases[0]).await;
    pool.nack(&worker, &leases[1], FaultKind::Invalid).await;
    let before = pool.store.list(everything(10)).await.unwrap();
    let counts = pool.store.counts().await.unwrap();

    let pool = pool.reopen().await;
    assert_eq!(pool.store.list(everything(10)).await.unwrap(), before);
    assert_eq!(pool.store.counts().await.unwrap(), counts);
    // A lease outlives the session and the gateway it was made in.
    assert_eq!(
        pool.ack_one(&worker, &leases[2]).await,
        AckOutcome::Accepted
    );
    assert_eq!(
        pool.ack_one(&worker, &leases[0]).await,
        AckOutcome::AlreadyAccepted
    );
    pool.store
        .receipt(TaskScope::All, leases[0].task)
        .await
        .unwrap()
        .verify()
        .unwrap();
    pool.store.close().await;
}

fn everything(limit: usize) -> ListQuery {
    ListQuery {
        scope: TaskScope::All,
        state: None,
        limit,
        cursor: None,
    }
}

#[tokio::test]
async fn submissions_that_wait_share_a_commit() {
    let mut pool = pool().await;
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let (store, task) = (pool.store.clone(), pool.task());
        callers.spawn(async move { store.submit(vec![task]).await.unwrap().remove(0).unwrap() });
    }
    assert_eq!(callers.join_all().await.len(), 500);
    let statistics = pool.store.write_statistics();
    assert_eq!(statistics.operations, 500);
    assert!(statistics.commits <= 50, "{statistics:?}");
}

#[tokio::test]
async fn submissions_beyond_the_budget_are_turned_away() {
    let mut pool = pool().await;
    let mut callers = tokio::task::JoinSet::new();
    // 2,000 submissions of 128 KiB are four times what may wait; none of them is lost between yes and no.
    let large = InputBytes::Inline(vec![0; 65_536].into());
    let specification = specification(vec![large.clone(), large]);
    for _ in 0..2_000 {
        let mut task = pool.task();
        task.specification = specification.clone();
        let store = pool.store.clone();
        callers.spawn(async move { store.submit(vec![task]).await });
    }
    let (taken, refused): (Vec<_>, Vec<_>) = callers
        .join_all()
        .await
        .into_iter()
        .partition(Result::is_ok);
    assert!(!refused.is_empty());
    let failed: Vec<_> = refused
        .iter()
        .filter(|outcome| !matches!(outcome, Err(StoreError::Overloaded)))
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
    let queued = pool.store.counts().await.unwrap().tasks.queued;
    assert_eq!(queued, u64::try_from(taken.len()).unwrap());
    assert_eq!(
        pool.store.write_statistics().refused,
        u64::try_from(refused.len()).unwrap()
    );
}
