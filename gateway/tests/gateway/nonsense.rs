//! Nonsense, truncated and oversized bytes on every listener: a clear error or a close, and the gateway lives on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::https::client_config;
use crate::pool::Pool;
use crate::worker::admitted;

/// How long any nonsense may keep a connection: beyond the gateway's own limits on it.
const CLOSED_WITHIN: Duration = Duration::from_secs(20);

/// Sends bytes and reads until the gateway closes.
async fn answer_to<T: AsyncRead + AsyncWrite + Unpin>(stream: &mut T, bytes: &[u8]) -> Vec<u8> {
    // The gateway may have closed before it was all sent.
    let _ = stream.write_all(bytes).await;
    let _ = stream.flush().await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(CLOSED_WITHIN, stream.read_to_end(&mut answer)).await;
    assert!(read.is_ok(), "still open, after {} bytes", answer.len());
    answer
}

async fn plain(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    answer_to(&mut TcpStream::connect(address).await.unwrap(), bytes).await
}

fn nonsense() -> Vec<Vec<u8>> {
    vec![
        b"\x00".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00".to_vec(),
        b"\x16\x03\x01\xff\xff".to_vec(),
        vec![0xff; 100_000],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
    ]
}

#[tokio::test]
async fn no_listener_minds_bytes_that_are_not_its_protocol() {
    let pool = Pool::start().await;
    for address in [pool.listening.worker, pool.listening.api] {
        let all = nonsense();
        futures_util::future::join_all(all.iter().map(|bytes| plain(address, bytes))).await;
    }
    for bytes in [
        &b"\xff\xfe\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nx\x00: y\r\n\r\n",
    ] {
        let answer = plain(pool.listening.metrics, bytes).await;
        assert!(
            answer.starts_with(b"HTTP/1.1 400"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    // Still in order.
    assert_eq!(pool.metrics("/readyz").await.status, 200);
    assert_eq!(pool.operator().get("/v1/status").await.status, 200);
    admitted(&pool, "worker-1").await;
}

#[tokio::test]
async fn nonsense_inside_tls_is_answered_or_closed() {
    let pool = Pool::start().await;
    let https = pool.operator();
    for bytes in [
        &b"\x00\xff\x00\xff\r\n\r\n"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"no http at all\r\n\r\n",
    ] {
        let answer = answer_to(&mut https.raw().await, bytes).await;
        assert!(
            answer.starts_with(b"HTTP/1.1 400"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    let oversized = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(100_000));
    let answer = answer_to(&mut https.raw().await, oversized.as_bytes()).await;
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    let lying = b"POST /v1/tasks HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello";
    let answer = answer_to(&mut https.raw().await, lying).await;
    assert!(
        answer.starts_with(b"HTTP/1.1 400"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    assert_eq!(https.get("/v1/status").await.status, 200);
}

#[tokio::test]
async fn nonsense_inside_http2_is_closed() {
    let pool = Pool::start().await;
    let ca = std::fs::read(pool.dir.path().join("tls/api-ca.pem")).unwrap();
    let tls = TlsConnector::from(Arc::new(client_config(&ca, b"h2")));
    let stream = TcpStream::connect(pool.listening.api).await.unwrap();
    let mut stream = tls
        .connect(ServerName::try_from("localhost").unwrap(), stream)
        .await
        .unwrap();
    answer_to(&mut stream, b"GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(pool.operator().get("/v1/status").await.status, 200);
}

#[tokio::test]
async fn a_client_that_dribbles_is_closed() {
    let pool = Pool::start().await;
    let mut stream = pool.operator().raw().await;
    stream
        .write_all(b"GET /v1/status HTTP/1.1\r\nhost: localhost\r\n")
        .await
        .unwrap();
    let dribble = async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if stream.write_all(b"x: y\r\n").await.is_err() || stream.flush().await.is_err() {
                return;
            }
            let mut byte = [0];
            let read =
                tokio::time::timeout(Duration::from_millis(10), stream.read(&mut byte)).await;
            if matches!(read, Ok(Ok(0) | Err(_))) {
                return;
            }
        }
    };
    tokio::time::timeout(CLOSED_WITHIN, dribble)
        .await
        .expect("closed in time");
}

#[tokio::test]
async fn a_worker_listener_speaks_nothing_but_the_attested_protocol() {
    let pool = Pool::start().await;
    let ca = std::fs::read(pool.dir.path().join("tls/pool-ca.pem")).unwrap();
    for alpn in [&b"h2"[..], b"http/1.1"] {
        let tls = TlsConnector::from(Arc::new(client_config(&ca, alpn)));
        let stream = TcpStream::connect(pool.listening.worker).await.unwrap();
        let connected = tls
            .connect(ServerName::try_from("localhost").unwrap(), stream)
            .await;
        assert!(connected.is_err());
    }
}

/// Whoever still writes when the refusal is there must be able to read it.
#[tokio::test]
async fn a_refusal_reaches_a_client_that_still_writes() {
    let pool = Pool::start().await;
    let https = pool.operator();
    let token = &pool.operator;
    let head = |path: &str, authorization: &str, bytes: usize| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {authorization}\r\n\
             content-type: text/plain\r\nconnection: close\r\ncontent-length: {bytes}\r\n\r\n"
        )
    };
    for (path, authorization, status) in [
        ("/v1/tasks", token.as_str(), "415"),
        ("/v1/tasks", "ccn_short", "401"),
        ("/v1/nothing", token, "404"),
        ("/openapi.json", token, "405"),
    ] {
        let body = vec![b'x'; 1_000_000];
        let mut stream = https.raw().await;
        let head = head(path, authorization, body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        // Time for a gateway that does not wait to have closed.
        tokio::time::sleep(Duration::from_millis(300)).await;
        for piece in body.chunks(100_000) {
            stream.write_all(piece).await.unwrap();
            stream.flush().await.unwrap();
        }
        let answer = answer_to(&mut stream, b"").await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {answer}"
        );
    }
    // A large one is not waited for.
    let large = head("/v1/tasks", token, 10_000_000);
    let answer = answer_to(&mut https.raw().await, large.as_bytes()).await;
    assert!(answer.starts_with(b"HTTP/1.1 415"));
}
