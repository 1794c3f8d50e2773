//! Broker and client over a real socket, with a fake configfs-tsm or a source that keeps callers waiting.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use attestation::broker::{
    Failure, FailureKind, RESPONSE_BYTES_MAX, Response, decode_response, encode_request,
    frame_length,
};
use attestation::{Binding, Preimage, ReportData, Role, SuiteHash};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::broker::{Broker, QuoteSource, Rules};
use super::client::{QuoteClient, QuoteClientError};
use super::configfs_tsm::tests::{Behaviour, FakeTsm};

fn preimage(number: u8) -> Preimage {
    Binding {
        role: Role::Client,
        hash: SuiteHash::Sha256,
        exported: [number; 32],
        attester_spki: vec![2; 91],
        peer_spki: vec![3; 91],
    }
    .preimage(b"", b"claims")
}

fn own_uid() -> u32 {
    rustix::process::getuid().as_raw()
}

fn rules() -> Rules {
    Rules {
        allowed_uids: BTreeSet::from([own_uid()]),
        deadline: Duration::from_secs(20),
        waiting_max: 16,
    }
}

struct Running {
    _folder: tempfile::TempDir,
    socket: PathBuf,
    shutdown: CancellationToken,
    serving: JoinSet<()>,
}

impl Running {
    fn start(source: impl QuoteSource, rules: Rules) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("quote.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let shutdown = CancellationToken::new();
        let mut serving = JoinSet::new();
        serving.spawn(Broker::new(source, rules).serve(listener, shutdown.clone()));
        Self {
            _folder: folder,
            socket,
            shutdown,
            serving,
        }
    }

    fn client(&self) -> QuoteClient {
        QuoteClient::new(&self.socket)
    }

    async fn stop(mut self) {
        self.shutdown.cancel();
        self.serving.join_next().await.unwrap().unwrap();
    }

    /// What the broker answers to these very bytes; `None` when it hangs up without a word.
    async fn raw(&self, bytes: &[u8]) -> Option<Response> {
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut header = [0; 4];
        stream.read_exact(&mut header).await.ok()?;
        let mut body = vec![0; frame_length(header, RESPONSE_BYTES_MAX).unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        // The end, or a reset where the broker left bytes unread.
        assert!(
            matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)),
            "the conversation is over"
        );
        Some(decode_response(&body).unwrap())
    }
}

#[tokio::test]
async fn ten_callers_at_once_get_their_own_quotes_one_at_a_time() {
    let (fake, reports) = FakeTsm::new(&Behaviour::default());
    let running = Running::start(reports, rules());
    let mut callers = JoinSet::new();
    for number in 0..10 {
        let client = running.client();
        callers.spawn(async move {
            let quote = client.quote(&preimage(number)).await.unwrap();
            assert_eq!(quote[..64], preimage(number).report_data().bytes()[..]);
        });
    }
    for caller in callers.join_all().await {
        let () = caller;
    }
    assert_eq!(fake.seen().made.len(), 10);
    assert_eq!(fake.seen().present_max, 1, "two quotes were made at once");
    assert!(fake.is_empty());
    running.stop().await;
}

/// A source that answers when it is told to.
struct Held(Mutex<mpsc::Receiver<()>>, Arc<AtomicUsize>);

impl QuoteSource for Held {
    fn quote(&self, _: &ReportData) -> Result<Vec<u8>, Failure> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.lock().unwrap().recv().ok();
        Ok(vec![1])
    }
}

#[tokio::test]
async fn the_queue_and_the_wait_are_bounded() {
    let (release, held) = mpsc::channel();
    let asked = Arc::new(AtomicUsize::new(0));
    let rules = Rules {
        deadline: Duration::from_millis(300),
        waiting_max: 1,
        ..rules()
    };
    let running = Running::start(Held(Mutex::new(held), Arc::clone(&asked)), rules);
    let mut callers = JoinSet::new();
    for number in 0..3 {
        let client = running.client();
        callers.spawn(async move { client.quote(&preimage(number)).await });
    }
    // One has the turn and one waits, both until the deadline; the third is sent away at once.
    let sentences: Vec<_> = callers
        .join_all()
        .await
        .into_iter()
        .map(|answer| match answer {
            Err(QuoteClientError::Refused(Failure {
                kind: FailureKind::Busy,
                sentence,
            })) => sentence,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        sentences
            .iter()
            .filter(|sentence| sentence.contains("wait already"))
            .count(),
        1,
        "{sentences:?}"
    );
    assert_eq!(
        sentences
            .iter()
            .filter(|sentence| sentence.contains("No quote came"))
            .count(),
        2,
        "{sentences:?}"
    );
    assert_eq!(
        asked.load(Ordering::SeqCst),
        1,
        "the kernel was asked again before it had answered"
    );
    for _ in 0..3 {
        release.send(()).ok();
    }
    running.stop().await;
}

#[tokio::test]
async fn another_users_process_is_refused() {
    let (fake, reports) = FakeTsm::new(&Behaviour::default());
    let running = Running::start(
        reports,
        Rules {
            allowed_uids: BTreeSet::from([own_uid() + 1]),
            ..rules()
        },
    );
    let error = running.client().quote(&preimage(1)).await.unwrap_err();
    let QuoteClientError::Refused(failure) = error else {
        panic!("{error}")
    };
    assert_eq!(failure.kind, FailureKind::Denied);
    assert!(failure.sentence.contains("allowed_users"), "{failure}");
    assert!(fake.seen().made.is_empty());
    running.stop().await;
}

#[tokio::test]
async fn nonsense_is_answered_and_oversize_is_not_read() {
    let (fake, reports) = FakeTsm::new(&Behaviour::default());
    let running = Running::start(reports, rules());
    let report_data = [&64_u32.to_be_bytes()[..], &[7; 64]].concat();
    let oversized = u32::MAX.to_be_bytes();
    let empty = 0_u32.to_be_bytes();
    for bytes in [
        &report_data[..],
        &oversized,
        &empty,
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        let failure = running.raw(bytes).await.unwrap().unwrap_err();
        assert_eq!(failure.kind, FailureKind::Malformed, "{failure}");
    }
    let request = encode_request(&preimage(1));
    for length in [0, 1, 3, 4, request.len() - 1] {
        assert_eq!(
            running.raw(&request[..length]).await,
            None,
            "{length} bytes"
        );
    }
    assert!(fake.seen().made.is_empty());
    assert!(
        running.client().quote(&preimage(1)).await.is_ok(),
        "the broker lives on"
    );
    running.stop().await;
}

#[tokio::test]
async fn a_machine_without_quotes_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let reports = super::configfs_tsm::TsmReports::new(folder.path().join("report"));
    let running = Running::start(reports, rules());
    let error = running.client().quote(&preimage(1)).await.unwrap_err();
    let QuoteClientError::Refused(failure) = error else {
        panic!("{error}")
    };
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(failure.sentence.contains("CONFIG_TSM_REPORTS"), "{failure}");
    running.stop().await;
}

#[tokio::test]
async fn a_client_does_not_wait_for_ever_and_names_the_socket() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("quote.sock");
    let client = QuoteClient::with_deadline(&socket, Duration::from_millis(50));
    let error = client.quote(&preimage(1)).await.unwrap_err();
    assert!(
        matches!(&error, QuoteClientError::Unreachable { .. }),
        "{error}"
    );
    assert!(error.to_string().contains("quote.sock"));
    let _silent = UnixListener::bind(&socket).unwrap();
    assert!(matches!(
        client.quote(&preimage(1)).await,
        Err(QuoteClientError::TimedOut(_))
    ));
}

#[tokio::test]
async fn a_client_trusts_no_frame() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("quote.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let answers: [&[u8]; 3] = [&[0xff; 8], &[0, 0, 0, 1, 0], &[0, 0, 0, 9, 0, 1]];
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; encode_request(&preimage(1)).len()];
            stream.read_exact(&mut request).await.unwrap();
            stream.write_all(answer).await.unwrap();
        }
    });
    let client = QuoteClient::new(&socket);
    assert!(matches!(
        client.quote(&preimage(1)).await,
        Err(QuoteClientError::Wire(_))
    ));
    assert!(matches!(
        client.quote(&preimage(1)).await,
        Err(QuoteClientError::Wire(_))
    ));
    assert!(matches!(
        client.quote(&preimage(1)).await,
        Err(QuoteClientError::Socket(_))
    ));
}
