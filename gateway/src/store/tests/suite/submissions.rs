//! Submission and listing.

use protocol::task::{InputDescriptor, TaskState};
use protocol::{Sha256Digest, TaskId};
use serde_json::{Map, json};

use super::harness::{NOW_MS, Pool, key, operation, specification, user};
use super::pool;
use crate::store::{
    InputBytes, ListQuery, LookupError, SpecificationError, SubmitError, Submitted, TaskScope,
    TaskSpecification,
};

#[tokio::test]
async fn the_same_key_with_the_same_body_is_the_same_task() {
    let mut pool = pool().await;
    let mut first = pool.task();
    first.idempotency_key = Some(key("order-1"));
    let mut again = first.clone();
    again.id = pool.task().id;
    // How its life goes is no part of the body.
    again.priority = 9;
    let outcomes = pool
        .store
        .submit(vec![first.clone(), again.clone()])
        .await
        .unwrap();
    let known = Submitted {
        task: first.id,
        was_known: true,
    };
    assert_eq!(outcomes[0].as_ref().unwrap().task, first.id);
    assert_eq!(outcomes[1], Ok(known));
    assert_eq!(pool.store.submit(vec![again]).await.unwrap(), [Ok(known)]);
    assert_eq!(pool.store.counts().await.unwrap().tasks.queued, 1);
}

#[tokio::test]
async fn the_same_key_with_another_body_is_a_conflict_for_one_user_alone() {
    let mut pool = pool().await;
    let tasks = ["ada", "ada", "bob"].map(|name| {
        let mut task = pool.task();
        task.idempotency_key = Some(key("order-1"));
        task.user = user(name);
        task
    });
    let [first, _, _] = &tasks;
    let conflict = SubmitError::IdempotencyConflict { task: first.id };
    let outcomes = pool.store.submit(tasks.to_vec()).await.unwrap();
    assert!(outcomes[0].is_ok());
    assert_eq!(outcomes[1], Err(conflict));
    assert!(outcomes[2].is_ok());
}

#[tokio::test]
async fn an_input_must_be_the_users_own_upload() {
    let mut pool = pool().await;
    let blob = InputDescriptor::of(b"large");
    pool.store
        .record_user_blob(&user("eve"), blob, NOW_MS)
        .await
        .unwrap();
    let mut task = pool.task();
    let inline = InputBytes::Inline("x".into());
    task.specification = specification(vec![inline, InputBytes::Blob(blob)]);
    let missing = SubmitError::MissingBlob {
        index: 1,
        sha256: blob.sha256,
    };
    let outcomes = pool.store.submit(vec![task.clone()]).await.unwrap();
    assert_eq!(outcomes, [Err(missing)]);

    pool.store
        .record_user_blob(&user("ada"), blob, NOW_MS)
        .await
        .unwrap();
    let mut lying = pool.task();
    let larger = InputDescriptor { bytes: 6, ..blob };
    lying.specification = specification(vec![InputBytes::Blob(larger)]);
    let outcomes = pool.store.submit(vec![task, lying]).await.unwrap();
    assert!(outcomes[0].is_ok());
    assert!(matches!(
        outcomes[1],
        Err(SubmitError::MissingBlob { index: 0, .. })
    ));
    let owned = pool
        .store
        .user_blob(&user("ada"), blob.sha256)
        .await
        .unwrap();
    assert_eq!(owned, Some(blob));
    let foreign = pool
        .store
        .user_blob(&user("bob"), blob.sha256)
        .await
        .unwrap();
    assert_eq!(foreign, None);
}

#[test]
fn what_the_catalogue_does_not_know_cannot_be_queued() {
    let parse = |name: &str, parameters: serde_json::Value, inputs| {
        let parameters: Map<_, _> = serde_json::from_value(parameters).unwrap();
        TaskSpecification::parse(name, 1, parameters, inputs)
    };
    let inline = |bytes: usize| InputBytes::Inline(vec![0; bytes].into());
    let name = operation().name;
    assert!(matches!(
        parse("no_such_operation", json!({}), vec![inline(1)]),
        Err(SpecificationError::Fault(_))
    ));
    assert!(matches!(
        parse(&name, json!({}), vec![inline(1), inline(65_537)]),
        Err(SpecificationError::InlineTooLarge {
            index: 1,
            seen: 65_537
        })
    ));
    let good = parse(&name, json!({}), vec![inline(65_536)]).unwrap();
    assert_eq!((good.operation(), good.output_bytes()), (&operation(), 32));
    assert_ne!(good.digest(), Sha256Digest::of(b""));
}

#[tokio::test]
async fn lists_are_paged_newest_first_and_private() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let mut tasks = Vec::new();
    for number in 0..5 {
        let mut task = pool.task();
        task.user = user(if number == 2 { "bob" } else { "ada" });
        tasks.push(pool.submit_task(task).await);
    }
    let lease = pool.lease(&worker, 1).await;
    pool.ack(&worker, &lease).await;
    let list = async |scope, state, cursor: Option<TaskId>| {
        let query = ListQuery {
            scope,
            state,
            limit: 2,
            cursor,
        };
        let page = pool.store.list(query).await.unwrap();
        let ids: Vec<_> = page.tasks.iter().map(|view| view.id).collect();
        (ids, page.next_cursor.map(|cursor| cursor.parse().unwrap()))
    };
    let ada = || TaskScope::User(user("ada"));
    let (page, cursor) = list(ada(), None, None).await;
    assert_eq!((page, cursor), (vec![tasks[4], tasks[3]], Some(tasks[3])));
    let (page, cursor) = list(ada(), None, cursor).await;
    assert_eq!((page, cursor), (vec![tasks[1], tasks[0]], None));
    let (page, _) = list(TaskScope::All, Some(TaskState::Succeeded), None).await;
    assert_eq!(page, [tasks[0]]);
    let (page, _) = list(ada(), Some(TaskState::DeadLetter), None).await;
    assert!(page.is_empty());
    let (page, _) = list(TaskScope::All, None, Some(tasks[3])).await;
    assert_eq!(page, [tasks[2], tasks[1]]);
}

#[tokio::test]
async fn another_users_task_is_as_unknown_as_none() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let task = pool.submit().await;
    let lease = pool.lease_one(&worker).await;
    pool.ack_one(&worker, &lease).await;
    let eve = || TaskScope::User(user("eve"));
    assert_eq!(pool.store.tasks(eve(), vec![task]).await.unwrap(), [None]);
    for error in [
        pool.store.output(eve(), task).await.unwrap_err(),
        pool.store.receipt(eve(), task).await.unwrap_err(),
        pool.store.task_attestation(eve(), task).await.unwrap_err(),
    ] {
        assert!(matches!(error, LookupError::UnknownTask));
    }
    let ada = TaskScope::User(user("ada"));
    let unknown = pool.task().id;
    let views = pool.store.tasks(ada, vec![unknown, task]).await.unwrap();
    assert!(views[0].is_none() && views[1].is_some());
}

#[tokio::test]
async fn a_users_queue_has_a_limit_that_hides_nobody_elses() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let limited = pool.store.clone().with_queued_per_user_max(3);
    let of = |pool: &mut Pool, name: &str, count: usize| -> Vec<_> {
        let mut tasks: Vec<_> = (0..count).map(|_| pool.task()).collect();
        for task in &mut tasks {
            task.user = user(name);
        }
        tasks
    };
    let mut first = of(&mut pool, "ada", 2);
    first[0].idempotency_key = Some(key("again"));
    let repeated = first[0].clone();
    let accepted = limited.submit(first).await.unwrap();
    assert!(accepted.iter().all(Result::is_ok));
    let outcomes = limited.submit(of(&mut pool, "ada", 2)).await.unwrap();
    assert!(outcomes[0].is_ok());
    let exceeded = SubmitError::QuotaExceeded { queued_max: 3 };
    assert_eq!(outcomes[1], Err(exceeded));
    let others = limited.submit(of(&mut pool, "bob", 3)).await.unwrap();
    assert!(others.iter().all(Result::is_ok));
    // What was submitted before takes no place.
    assert!(limited.submit(vec![repeated]).await.unwrap()[0].is_ok());
    // What runs does not wait.
    assert_eq!(pool.lease(&worker, 2).await.len(), 2);
    let outcomes = limited.submit(of(&mut pool, "ada", 2)).await.unwrap();
    assert!(outcomes[0].is_ok() && outcomes[1].is_err());
}
