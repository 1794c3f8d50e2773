//! Every listener answers nonsense, truncated and oversized input with an error or a close; nothing panics, nothing is lost.

use std::net::SocketAddr;
use std::time::Duration;

use protocol::task::TaskState;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::pool::Pool;

/// Longer than any listener's own patience with a peer that says nothing useful.
const CLOSE_LIMIT: Duration = Duration::from_secs(45);

/// A TLS record header that promises a `ClientHello` of 512 bytes, and none of it.
const TRUNCATED_HELLO: &[u8] = &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01];

fn nonsense() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("nothing", Vec::new()),
        ("one byte", vec![0x16]),
        ("zeros", vec![0; 4_096]),
        ("every byte", (0..=255).cycle().take(70_000).collect()),
        ("a truncated hello", TRUNCATED_HELLO.to_vec()),
        (
            "an oversized record",
            [
                &[0x16, 0x03, 0x03, 0xff, 0xff],
                vec![0x41; 65_535].as_slice(),
            ]
            .concat(),
        ),
        (
            "plain HTTP",
            b"GET /v1/tasks HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        ),
        (
            "broken HTTP",
            b"GET\0/\xff\xfe HTTP/9.9\r\n: :\r\n\r\n".to_vec(),
        ),
        (
            "a preface alone",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        ),
        (
            "endless headers",
            b"GET / HTTP/1.1\r\n"
                .iter()
                .copied()
                .chain(b"a: b\r\n".iter().copied().cycle().take(900_000))
                .collect(),
        ),
    ]
}

/// Sends and waits until the listener has closed. A reset while sending is a close, too.
async fn provoke(address: SocketAddr, name: &str, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let sent = tokio::time::timeout(CLOSE_LIMIT, stream.write_all(bytes)).await;
    assert!(sent.is_ok(), "{address} neither reads nor closes: {name}");
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let mut bounded = stream.take(10 * 1024 * 1024);
    let closed = tokio::time::timeout(CLOSE_LIMIT, bounded.read_to_end(&mut answer)).await;
    assert!(closed.is_ok(), "{address} kept the connection open: {name}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_listener_survives_nonsense() {
    let mut pool = Pool::start(1).await;
    let id = pool.workers[0].clone();
    let listening = pool.fleet.listening();
    let worker: serde_json::Value = {
        let text = std::fs::read_to_string(pool.fleet.path(&format!("{id}/state/listening.json")))
            .unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let worker_metrics = worker["metrics"].as_str().unwrap().parse().unwrap();
    for address in [
        listening.api,
        listening.worker,
        listening.metrics,
        worker_metrics,
    ] {
        for (name, bytes) in nonsense() {
            provoke(address, name, &bytes).await;
        }
    }
    let task = pool
        .submit(
            "sha256_batch",
            serde_json::json!({}),
            &[b"still here".to_vec()],
        )
        .await;
    pool.wait_state(task.id, TaskState::Succeeded).await;
    for process in pool.fleet.processes() {
        process.expect_alive().unwrap();
        assert!(
            !process.log().contains("panicked"),
            "{}: {}",
            process.name(),
            process.log_end()
        );
    }
    // Nobody had to be admitted twice.
    let view = pool.fleet.operator().unwrap().worker(&id).await.unwrap();
    assert!(view.session.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn health_and_metrics_are_there() {
    let pool = Pool::start(1).await;
    for (path, wanted) in [
        ("/healthz", "200"),
        ("/readyz", "200"),
        ("/metrics", "cocoon_gateway_"),
    ] {
        let mut stream = TcpStream::connect(pool.fleet.listening().metrics)
            .await
            .unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains(wanted), "{path}: {answer}");
    }
}
