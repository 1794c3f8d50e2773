//! The stand-in for `cocoon-quote`, over its socket.

use std::{path::Path, sync::Arc, time::Duration};

use attestation::{
    Binding, Preimage, Role, SuiteHash,
    broker::{
        FailureKind, RESPONSE_BYTES_MAX, Response, decode_response, encode_request, frame_length,
    },
};
use simulator::{QuoteVersion, SimulatedPlatform, broker};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

fn preimage() -> Preimage {
    Binding {
        role: Role::Client,
        hash: SuiteHash::Sha384,
        exported: [1; 32],
        attester_spki: vec![2; 91],
        peer_spki: vec![3; 91],
    }
    .preimage(b"", b"claims")
}

/// Runs `test` against a broker on a socket of its own, then stops the broker and waits for it.
async fn with_broker<F: Future>(test: impl FnOnce(std::path::PathBuf) -> F) {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("quote.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let shutdown = CancellationToken::new();
    let platform = Arc::new(SimulatedPlatform::from_seed(7));
    let served = broker::serve(listener, platform, shutdown.clone());
    let tested = async {
        test(socket).await;
        shutdown.cancel();
    };
    timeout(Duration::from_mins(1), async {
        tokio::join!(served, tested)
    })
    .await
    .expect("the broker stops when it is told to");
}

async fn receive(stream: &mut UnixStream) -> Response {
    let mut header = [0; 4];
    stream.read_exact(&mut header).await.unwrap();
    let mut body = vec![0; frame_length(header, RESPONSE_BYTES_MAX).unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    decode_response(&body).unwrap()
}

async fn connect(socket: &Path) -> UnixStream {
    UnixStream::connect(socket).await.unwrap()
}

#[tokio::test]
async fn a_preimage_is_answered_with_a_quote_over_its_hash() {
    with_broker(|socket| async move {
        let platform = SimulatedPlatform::from_seed(7);
        let report_data = preimage().report_data();
        let expected = platform.quote(QuoteVersion::V4, &platform.td(), report_data.bytes());
        let mut stream = connect(&socket).await;
        for _ in 0..2 {
            stream
                .write_all(&encode_request(&preimage()))
                .await
                .unwrap();
            assert_eq!(receive(&mut stream).await.unwrap(), expected);
        }
    })
    .await;
}

#[tokio::test]
async fn report_data_of_a_callers_choosing_is_refused() {
    with_broker(|socket| async move {
        let mut stream = connect(&socket).await;
        stream
            .write_all(&[&64u32.to_be_bytes()[..], &[0x42; 64]].concat())
            .await
            .unwrap();
        let failure = receive(&mut stream).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Malformed);
        assert_eq!(
            stream.read(&mut [0]).await.unwrap(),
            0,
            "the conversation is over"
        );
    })
    .await;
}

#[tokio::test]
async fn an_announced_length_beyond_the_limit_is_refused_unread() {
    with_broker(|socket| async move {
        let mut stream = connect(&socket).await;
        stream.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
        let failure = receive(&mut stream).await.unwrap_err();
        assert_eq!(failure.kind, FailureKind::Malformed);
    })
    .await;
}

#[tokio::test]
async fn callers_do_not_wait_for_one_that_says_nothing() {
    with_broker(|socket| async move {
        let silent = connect(&socket).await;
        let mut stream = connect(&socket).await;
        stream
            .write_all(&encode_request(&preimage()))
            .await
            .unwrap();
        assert!(receive(&mut stream).await.is_ok());
        drop(silent);
    })
    .await;
}
