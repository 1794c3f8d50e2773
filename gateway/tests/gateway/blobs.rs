//! Uploads: verified, bounded, and their user's own.

use bytes::Bytes;
use http::Method;
use protocol::Sha256Digest;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

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

fn head(token: &str, length: &str) -> String {
    let digest = Sha256Digest::of(b"x");
    format!(
        "PUT /v1/blobs/{digest} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n{length}\r\n\r\n"
    )
}

async fn spoken(https: &crate::https::Https, head: &str, body: &[u8]) -> String {
    let mut stream = https.raw().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
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
