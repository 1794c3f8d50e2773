//! Uploads: verified, bounded, and their user's own.

use bytes::Bytes;
use gateway::store::Store;
use http::Method;
use protocol::Sha256Digest;
use protocol::task::InputDescriptor;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::https::Https;
use crate::pool::Pool;

#[tokio::test]
async fn a_blob_is_stored_under_its_digest_and_used_by_a_task() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let bob = pool.https(&pool.client("bob").await);
    let bytes = vec![7; 100_000];
    let path = format!("/v1/blobs/{}", Sha256Digest::of(&bytes));
    assert_eq!(
        alice
            .send(Method::HEAD, &path, &[], Bytes::new())
            .await
            .status,
        404
    );
    for _ in 0..2 {
        let answer = alice.put(&path, &bytes).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.json()["bytes"], 100_000);
    }
    let head = alice.send(Method::HEAD, &path, &[], Bytes::new()).await;
    assert_eq!(
        (head.status, head.header("content-length")),
        (200, "100000")
    );
    assert_eq!(
        bob.send(Method::HEAD, &path, &[], Bytes::new())
            .await
            .status,
        404
    );

    let input = json!({ "sha256": Sha256Digest::of(&bytes), "bytes": 100_000 });
    let task = json!({ "operation": "sha256_batch", "inputs": [input] });
    assert_eq!(alice.post("/v1/tasks", &task).await.status, 201);
    bob.post("/v1/tasks", &task)
        .await
        .refuses(422, "missing-blob");
}

#[tokio::test]
async fn bytes_with_another_digest_are_refused() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let path = format!("/v1/blobs/{}", Sha256Digest::of(b"announced"));
    alice
        .put(&path, b"sent instead")
        .await
        .refuses(400, "digest-mismatch");
    assert_eq!(
        alice
            .send(Method::HEAD, &path, &[], Bytes::new())
            .await
            .status,
        404
    );
    alice
        .put("/v1/blobs/short", b"")
        .await
        .refuses(400, "malformed-request");
}

#[tokio::test]
async fn a_blob_that_announces_too_much_is_refused_before_it_is_sent() {
    let pool = Pool::start().await;
    let token = pool.client("alice").await;
    let alice = pool.https(&token);
    let answer = spoken(&alice, &head(&token, "content-length: 1073741825"), &[]).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("BLOB_BYTES_MAX"), "{answer}");
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let pool = Pool::start().await;
    let token = pool.client("alice").await;
    let alice = pool.https(&token);
    let mut stream = alice.raw().await;
    stream
        .write_all(head(&token, "content-length: 50").as_bytes())
        .await
        .unwrap();
    stream.write_all(b"half of it").await.unwrap();
    stream.flush().await.unwrap();
    drop(stream);
    let path = format!("/v1/blobs/{}", Sha256Digest::of(b"x"));
    assert_eq!(
        alice
            .send(Method::HEAD, &path, &[], Bytes::new())
            .await
            .status,
        404
    );
    assert_eq!(alice.put(&path, b"x").await.status, 201);
}

/// A pool whose users may have so many bytes of blobs, and one of them.
async fn limited(bytes: u64) -> (Pool, String) {
    let pool = Pool::start_with(|config| config.blob_bytes_per_user_max = bytes).await;
    let token = pool.client("alice").await;
    (pool, token)
}

fn path(content: &[u8]) -> String {
    format!("/v1/blobs/{}", Sha256Digest::of(content))
}

/// What a refusal by the quota says.
#[track_caller]
fn quota(problem: &Value, said: &str) {
    assert_eq!(problem["code"], "quota-exceeded", "{problem}");
    assert_eq!(problem["limit"], "blob_bytes_per_user_max");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(said), "{detail}");
}

async fn has(https: &Https, content: &[u8]) -> bool {
    let path = path(content);
    let answer = https.send(Method::HEAD, &path, &[], Bytes::new()).await;
    answer.status == 200
}

#[tokio::test]
async fn a_users_blobs_have_a_limit_in_bytes() {
    let (pool, token) = limited(100).await;
    let alice = pool.https(&token);
    let (first, second) = ([1; 60], [2; 41]);
    assert_eq!(alice.put(&path(&first), &first).await.status, 201);
    let answer = alice.put(&path(&second), &second).await;
    let problem = answer.refuses(429, "quota-exceeded");
    let said = "your blobs have 60 bytes, your other uploads in progress 0, and this one 41; the limit is 100. Each blob counts for \
                30 days after you last sent it";
    quota(&problem, said);
    assert_eq!(answer.header("retry-after"), "3600");
    assert!(!has(&alice, &second).await);
    let input = json!({ "sha256": Sha256Digest::of(&second), "bytes": 41 });
    let task = json!({ "operation": "sha256_batch", "inputs": [input] });
    let answer = alice.post("/v1/tasks", &task).await;
    answer.refuses(422, "missing-blob");
    // To the last byte, and what is there already costs nothing.
    assert_eq!(alice.put(&path(&[3; 40]), &[3; 40]).await.status, 201);
    assert_eq!(alice.put(&path(&first), &first).await.status, 201);
    assert_eq!(alice.put(&path(b""), b"").await.status, 201);
    let answer = alice.put(&path(b"x"), b"x").await;
    quota(&answer.refuses(429, "quota-exceeded"), "have 100 bytes");
    // Another user's quota is another one.
    let bob = pool.https(&pool.client("bob").await);
    assert_eq!(bob.put(&path(&first), &first).await.status, 201);
}

#[tokio::test]
async fn the_quota_refuses_an_announced_upload_before_it_is_sent() {
    let (pool, token) = limited(100).await;
    let alice = pool.https(&token);
    let announced = |bytes| format!("content-length: {bytes}\r\nexpect: 100-continue");
    let answer = spoken(&alice, &head(&token, &announced(101)), &[]).await;
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert!(
        answer.contains("this one 101; the limit is 100"),
        "{answer}"
    );
    // What no blob may have is refused as that.
    let answer = spoken(&alice, &head(&token, &announced(1_073_741_825)), &[]).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn the_quota_cuts_an_upload_off_that_announces_nothing() {
    let (pool, token) = limited(100).await;
    let alice = pool.https(&token);
    let chunked = head(&token, "transfer-encoding: chunked");
    let body = format!("65\r\n{}\r\n0\r\n\r\n", "x".repeat(101));
    let answer = spoken(&alice, &chunked, body.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert!(
        answer.contains("this one more than 100; the limit is 100"),
        "{answer}"
    );
    assert!(!has(&alice, b"x").await);
    let answer = spoken(&alice, &chunked, b"1\r\nx\r\n0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

/// An upload of 60 bytes, all but the last of which are sent.
async fn begun(https: &Https, token: &str, content: &[u8; 60]) -> TlsStream<TcpStream> {
    let mut stream = https.raw().await;
    let head = head_of(token, content, "content-length: 60\r\nexpect: 100-continue");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    // The gateway begins to read.
    let mut answer = [0; 25];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(&content[..59]).await.unwrap();
    stream.flush().await.unwrap();
    stream
}

#[tokio::test]
async fn uploads_in_progress_count_until_they_end() {
    let (pool, token) = limited(100).await;
    let alice = pool.https(&token);
    let stream = begun(&alice, &token, &[1; 60]).await;
    let second = [2; 60];
    let answer = alice.put(&path(&second), &second).await;
    let problem = answer.refuses(429, "quota-exceeded");
    quota(
        &problem,
        "your other uploads in progress 60, and this one 60; the limit is 100. Come back when",
    );
    assert_eq!(answer.header("retry-after"), "10");
    drop(stream);
    // The gateway sees soon that nobody sends any more.
    while alice.put(&path(&second), &second).await.status != 201 {
        tokio::task::yield_now().await;
    }
    assert!(!has(&alice, &[1; 60]).await);
}

/// As another gateway would, which knows nothing of the uploads in progress here.
#[tokio::test]
async fn the_quota_counts_what_was_recorded_while_an_upload_was_in_progress() {
    let (pool, token) = limited(100).await;
    let alice = pool.https(&token);
    let content = [1; 60];
    let mut stream = begun(&alice, &token, &content).await;
    let database = pool.dir.path().join("state/gateway.sqlite");
    let beside = Store::open_beside(&database).await.unwrap();
    let blob = InputDescriptor {
        sha256: Sha256Digest::of(b"elsewhere"),
        bytes: 60,
    };
    let user = "alice".parse().unwrap();
    beside.record_user_blob(&user, blob, 1).await.unwrap();
    stream.write_all(&content[59..]).await.unwrap();
    stream.flush().await.unwrap();
    let answer = answered(stream).await;
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    let said = "your blobs have 60 bytes, your other uploads in progress 0, and this one 60; the limit is 100";
    assert!(answer.contains(said), "{answer}");
    assert!(!has(&alice, &content).await);
}

fn head(token: &str, length: &str) -> String {
    head_of(token, b"x", length)
}

fn head_of(token: &str, content: &[u8], length: &str) -> String {
    let digest = Sha256Digest::of(content);
    format!(
        "PUT /v1/blobs/{digest} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n{length}\r\n\r\n"
    )
}

async fn spoken(https: &Https, head: &str, body: &[u8]) -> String {
    let mut stream = https.raw().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    answered(stream).await
}

async fn answered(mut stream: impl AsyncReadExt + Unpin) -> String {
    let mut answer = vec![0; 4_096];
    let mut length = 0;
    // Head and body may come in two pieces.
    while !answer[..length].ends_with(b"}") {
        let read = stream.read(&mut answer[length..]).await.unwrap_or(0);
        if read == 0 {
            break;
        }
        length += read;
    }
    String::from_utf8_lossy(&answer[..length]).into_owned()
}
