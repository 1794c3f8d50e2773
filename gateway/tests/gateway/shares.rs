//! A user who asks too much is told so, with the limit and when to come back; others notice nothing.

use std::time::Duration;

use bytes::Bytes;
use gateway::config::UserLimits;
use http::Method;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::https::{Answer, Https};
use crate::pool::{Pool, submit};

/// A pool whose users may do little at a time.
async fn strict(change: impl FnOnce(&mut UserLimits)) -> Pool {
    Pool::start_with(|config| change(&mut config.users)).await
}

#[track_caller]
fn refuses(answer: &Answer, limit: &str) -> Value {
    let problem = answer.refuses(429, "too-many-requests");
    assert_eq!(problem["limit"], limit);
    assert_eq!(problem["field"], "authorization");
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!(seconds >= 1, "{answer:?}");
    problem
}

#[tokio::test]
async fn a_burst_is_bounded_for_each_user() {
    let pool = strict(|users| (users.requests_per_s, users.burst_max) = (1, 3)).await;
    let alice = pool.client("alice").await;
    let alice = pool.https(&alice);
    // Some of it may come back while it is taken, so more is asked than there is.
    let mut refused = None;
    for _ in 0..1_000 {
        let answer = alice.get("/v1/operations").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.header("ratelimit-policy"), "\"requests\";q=3;w=3");
        assert!(
            answer.header("ratelimit").starts_with("\"requests\";r="),
            "{answer:?}"
        );
    }
    refuses(&refused.expect("a refusal"), "requests_per_user_per_s");
    // Another user, and a request that is nobody's.
    let bob = pool.https(&pool.client("bob").await);
    assert_eq!(bob.get("/v1/operations").await.status, 200);
    assert_eq!(alice.get("/openapi.json").await.status, 200);
}

#[tokio::test]
async fn all_access_tokens_of_a_user_share() {
    let pool = strict(|users| (users.requests_per_s, users.burst_max) = (1, 1)).await;
    let tokens = [pool.client("alice").await, pool.client("alice").await];
    let mut statuses = Vec::new();
    for token in tokens.iter().cycle().take(1_000) {
        statuses.push(pool.https(token).get("/v1/operations").await.status);
        if statuses.ends_with(&[429]) {
            return;
        }
    }
    panic!("{statuses:?}");
}

/// Asks until the answer has this status.
async fn until(https: &Https, status: u16) -> Answer {
    for _ in 0..1_000 {
        let answer = https.get("/v1/operations").await;
        if answer.status == status {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no {status}");
}

#[tokio::test]
async fn a_long_poll_is_in_progress_until_it_is_answered() {
    let pool = strict(|users| users.in_flight_max = 1).await;
    let alice = pool.https(&pool.client("alice").await);
    let task = submit(&alice, b"waits").await;
    let mut polls = JoinSet::new();
    let waiting = alice.clone();
    polls.spawn(async move { waiting.get(&format!("/v1/tasks/{task}?wait_s=30")).await });
    refuses(&until(&alice, 429).await, "in_flight_per_user_max");
    // Nobody else's: an operator can still act.
    assert_eq!(pool.operator().get("/v1/status").await.status, 200);
    // A client that goes away is no longer in progress.
    polls.shutdown().await;
    until(&alice, 200).await;
}

#[tokio::test]
async fn a_stream_is_in_progress_as_long_as_somebody_reads() {
    let pool = strict(|users| users.in_flight_max = 1).await;
    let token = pool.client("alice").await;
    let alice = pool.https(&token);
    let task = submit(&alice, b"waits").await;
    until(&alice, 200).await;
    let mut stream = alice.raw().await;
    let request = format!(
        "GET /v1/tasks/{task}/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut begun = [0; 12];
    stream.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200");
    let refused = alice.get("/v1/operations").await;
    refuses(&refused, "in_flight_per_user_max");
    drop(stream);
    until(&alice, 200).await;
}

#[tokio::test]
async fn one_users_slow_uploads_leave_room_to_others() {
    let pool = Pool::start().await;
    let token = pool.client("alice").await;
    let alice = pool.https(&token);
    // Bodies of unknown length: each may be as large as one can be.
    let head = format!(
        "POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n1\r\n{{\r\n"
    );
    let mut uploads = Vec::new();
    for _ in 0..4 {
        let mut upload = alice.raw().await;
        upload.write_all(head.as_bytes()).await.unwrap();
        uploads.push(upload);
    }
    let json = [("content-type", "application/json")];
    let submit_again = async |https: &Https| {
        let body = crate::pool::hash_task(b"x").to_string();
        https
            .send(Method::POST, "/v1/tasks", &json, Bytes::from(body))
            .await
    };
    let mut answer = submit_again(&alice).await;
    for _ in 0..1_000 {
        if answer.status == 429 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        answer = submit_again(&alice).await;
    }
    refuses(&answer, "API_BODIES_PER_USER_BYTES_MAX");
    let bob = pool.https(&pool.client("bob").await);
    assert_eq!(submit_again(&bob).await.status, 201);
    drop(uploads);
}
