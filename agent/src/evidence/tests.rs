//! Evidence from a broker of our own: what it covers, and that each attestation is a new one.

use attestation::broker::Failure;
use attestation::{ExecutorKind, Role, SuiteHash};
use protocol::Sha256Digest;
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::quote::broker::{Broker, QuoteSource, Rules};

/// A quote that is its own report data.
struct Echo;

impl QuoteSource for Echo {
    fn quote(&self, report_data: &ReportData) -> Result<Vec<u8>, Failure> {
        Ok(report_data.bytes().to_vec())
    }
}

fn binding() -> Binding {
    Binding {
        role: Role::Client,
        hash: SuiteHash::Sha384,
        exported: [1; 32],
        attester_spki: vec![2; 91],
        peer_spki: vec![3; 91],
    }
}

fn facts() -> Facts {
    Facts {
        worker_id: "worker-1".parse().unwrap(),
        receipt_key_spki: vec![5; 91],
        agent_digest: Sha256Digest::of(b"agent"),
        configuration_digest: Sha256Digest::of(b"configuration"),
        module_digest: Sha256Digest::of(b"module"),
        boot_id: [7; 16],
        executor: ExecutorKind::Cpu,
    }
}

fn secret(folder: &std::path::Path) -> EnrolmentSecret {
    let path = folder.join("secret");
    std::fs::write(&path, "42".repeat(32)).unwrap();
    EnrolmentSecret::read(&path).unwrap()
}

#[tokio::test]
async fn the_quote_covers_the_claims_as_sent() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("quote.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let rules = Rules {
        allowed_uids: [rustix::process::getuid().as_raw()].into(),
        deadline: Duration::from_secs(10),
        waiting_max: 1,
    };
    let (shutdown, mut serving) = (CancellationToken::new(), JoinSet::new());
    serving.spawn(Broker::new(Echo, rules).serve(listener, shutdown.clone()));
    let worker = Arc::new(
        WorkerEvidence::new(facts(), secret(folder.path()), QuoteClient::new(&socket))
            .with_event_log(Some(vec![0xa2])),
    );
    for sequence in 0..2 {
        let attester = worker.attester();
        assert_eq!(attester.attestation(), None);
        let evidence = attester
            .evidence(binding())
            .await
            .unwrap()
            .unpack()
            .unwrap();
        let report_data = binding().preimage(&[], &evidence.claims).report_data();
        assert_eq!(evidence.quote, report_data.bytes());
        assert_eq!(evidence.event_log.as_deref(), Some(&[0xa2][..]));
        assert_eq!(attester.attestation(), Some(report_data.to_string()));
        let claims = Claims::decode(&evidence.claims).unwrap();
        assert_eq!(
            (claims.worker_id.as_str(), claims.sequence),
            ("worker-1", sequence)
        );
        assert_eq!(
            claims.enrolment_mac,
            attestation::enrolment_mac(&[0x42; 32], &binding())
        );
        assert_eq!(
            claims.module_digest,
            *Sha256Digest::of(b"module").as_bytes()
        );
    }
    shutdown.cancel();
}

#[tokio::test]
async fn without_a_broker_there_is_no_evidence() {
    let folder = tempfile::tempdir().unwrap();
    let quotes = QuoteClient::new(&folder.path().join("none.sock"));
    let worker = Arc::new(WorkerEvidence::new(facts(), secret(folder.path()), quotes));
    let attester = worker.attester();
    let error = attester.evidence(binding()).await.unwrap_err();
    assert!(
        crate::config::chain(&error).contains("cocoon-quote"),
        "{error}"
    );
    assert_eq!(attester.attestation(), None);
}
