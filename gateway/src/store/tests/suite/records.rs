//! Workers, attestations, sessions, access tokens.

use protocol::{SessionId, Sha256Digest};
use serde_json::{Value, json};

use super::harness::{NOW_MS, Place, Worker, user};
use super::pool;
use crate::store::{
    AccessRole, CreateWorkerError, Document, EnrolmentSecret, NewAccessToken, NewAttestation,
    NewReappraisal, NewSession, RefusalRecord, TaskScope,
};

#[tokio::test]
async fn a_worker_is_enrolled_once() {
    let pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let secret = EnrolmentSecret::from_bytes([8; 32]);
    let again = pool
        .store
        .create_worker(worker.id.clone(), secret, NOW_MS)
        .await;
    assert!(matches!(again, Err(CreateWorkerError::Exists)));
    let kept = pool
        .store
        .enrolment_secret(&worker.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(kept.as_bytes(), &[7; 32]);
    assert_eq!(format!("{kept:?}"), "EnrolmentSecret");
    let stranger = Worker::new("stranger");
    assert!(
        pool.store
            .enrolment_secret(&stranger.id)
            .await
            .unwrap()
            .is_none()
    );
    assert!(pool.store.worker(&stranger.id).await.unwrap().is_none());
}

#[tokio::test]
async fn the_latest_refusal_is_shown() {
    let pool = pool().await;
    let worker = pool.worker("worker-1").await;
    for (code, at_ms) in [("E401", NOW_MS), ("E502", NOW_MS + 1)] {
        pool.store
            .record_refusal(&worker.id, code.to_owned(), at_ms)
            .await
            .unwrap();
    }
    let workers = pool.store.workers().await.unwrap();
    let expected = RefusalRecord {
        code: "E502".to_owned(),
        at_ms: NOW_MS + 1,
    };
    assert_eq!(workers[0].refusal, Some(expected));
}

#[tokio::test]
async fn attestation_records_are_kept() {
    let pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let newer = NewAttestation {
        id: "cd".repeat(64),
        record: b"newer".to_vec(),
        recorded_ms: NOW_MS + 1,
        ..worker.attestation()
    };
    for _ in 0..2 {
        pool.store.record_attestation(newer.clone()).await.unwrap();
    }
    let latest = pool
        .store
        .worker_attestation(&worker.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((latest.id, latest.record), (newer.id, newer.record));
    let first = pool
        .store
        .attestation(&worker.attested.attestation)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(first.record, b"{}");
    assert!(
        pool.store
            .attestation(&"00".repeat(64))
            .await
            .unwrap()
            .is_none()
    );
    assert!(pool.store.attestation("not an id").await.unwrap().is_none());
}

#[tokio::test]
async fn verdicts_reached_again_leave_the_record_and_take_its_verdicts_place() {
    let mut pool = pool().await;
    let worker = pool.worker("worker-1").await;
    let reappraisal = |at_ms, code: Option<&str>| NewReappraisal {
        attestation: worker.attested.attestation.clone(),
        appraised_ms: at_ms,
        code: code.map(str::to_owned),
        policy: Document::new("the policy"),
        collateral: Document::new(r#"{"of":"the family"}"#),
        references: code.is_none().then(|| Document::new(r#"{"of":"the GPU"}"#)),
        transcript: format!("[{at_ms}]").into_bytes(),
    };
    let accepted = reappraisal(NOW_MS, None);
    pool.store.record_reappraisal(accepted).await.unwrap();
    let task = pool.submit().await;
    let leases = pool.lease(&worker, 1).await;
    pool.ack(&worker, &leases).await;
    let refused = reappraisal(NOW_MS + 1, Some("E602"));
    pool.store.record_reappraisal(refused).await.unwrap();
    let latest = pool.store.worker_attestation(&worker.id).await.unwrap();
    let latest: Value = serde_json::from_slice(&latest.unwrap().record).unwrap();
    assert!(latest.get("references").is_none(), "{latest}");
    pool.store
        .record_reappraisal(reappraisal(NOW_MS + 2, None))
        .await
        .unwrap();

    let record_at = |at_ms| json!({"policy": "the policy", "collateral": {"of": "the family"}, "references": {"of": "the GPU"}, "transcript": [at_ms]});
    let json = |record: &[u8]| serde_json::from_slice::<Value>(record).unwrap();
    let latest = pool.store.worker_attestation(&worker.id).await.unwrap();
    let latest = latest.unwrap();
    assert_eq!(json(&latest.record), record_at(NOW_MS + 2));
    assert_eq!(latest.id, worker.attested.attestation);
    let of_receipt = pool.store.task_attestation(TaskScope::All, task).await;
    assert_eq!(json(&of_receipt.unwrap().record), record_at(NOW_MS));
    let first = pool.store.attestation(&worker.attested.attestation).await;
    assert_eq!(first.unwrap().unwrap().record, b"{}");

    let documents = pool.place.number("SELECT count(*) FROM documents").await;
    assert_eq!(documents, 3, "kept once");
    let mut unknown = reappraisal(NOW_MS, None);
    unknown.attestation = "00".repeat(64);
    assert!(pool.store.record_reappraisal(unknown).await.is_err());
}

#[tokio::test]
async fn sessions_begin_and_end() {
    let pool = pool().await;
    let id = SessionId::from_parts(NOW_MS, 3);
    let session = NewSession {
        id,
        worker: "worker-1".parse().unwrap(),
        peer: "192.0.2.1:4711".to_owned(),
        admitted_ms: NOW_MS,
    };
    pool.store.begin_session(session).await.unwrap();
    pool.store.end_session(id, NOW_MS + 1).await.unwrap();
    pool.store
        .end_session(SessionId::from_parts(0, 0), NOW_MS)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_access_token_opens_until_it_is_revoked() {
    let pool = pool().await;
    let sha256 = Sha256Digest::of(b"ccn_secret");
    let token = NewAccessToken {
        sha256,
        user: user("ada"),
        role: AccessRole::Operator,
        created_ms: NOW_MS,
    };
    let id = pool.store.create_access_token(token).await.unwrap();
    let unknown = pool
        .store
        .access_grant(Sha256Digest::of(b"ccn_other"), NOW_MS)
        .await
        .unwrap();
    assert_eq!(unknown, None);
    for now_ms in [NOW_MS + 1, NOW_MS + 30_000] {
        let grant = pool
            .store
            .access_grant(sha256, now_ms)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (grant.id, grant.user, grant.role),
            (id, user("ada"), AccessRole::Operator)
        );
    }
    let listed = pool.store.access_tokens().await.unwrap();
    assert_eq!(listed[0].last_used_ms, Some(NOW_MS + 1));
    assert!(
        pool.store
            .revoke_access_token(id, NOW_MS + 2)
            .await
            .unwrap()
    );
    assert!(
        !pool
            .store
            .revoke_access_token(id, NOW_MS + 3)
            .await
            .unwrap()
    );
    assert_eq!(
        pool.store.access_grant(sha256, NOW_MS + 4).await.unwrap(),
        None
    );
    let listed = pool.store.access_tokens().await.unwrap();
    assert_eq!(listed[0].revoked_ms, Some(NOW_MS + 2));
    assert_eq!(
        "7".parse::<crate::store::AccessTokenId>()
            .unwrap()
            .to_string(),
        "7"
    );
}

#[tokio::test]
async fn an_access_token_opens_though_its_use_cannot_be_noted() {
    let pool = pool().await;
    let sha256 = Sha256Digest::of(b"ccn_1");
    let token = NewAccessToken {
        sha256,
        user: user("ada"),
        role: AccessRole::Client,
        created_ms: NOW_MS,
    };
    pool.store.create_access_token(token).await.unwrap();
    // As on a full disk: reads go on, the write fails.
    let full = match pool.place {
        Place::Folder(_) => {
            "CREATE TRIGGER full BEFORE UPDATE ON access_tokens BEGIN SELECT RAISE(FAIL, 'full'); END"
        }
        Place::Schema(_) => {
            "ALTER TABLE access_tokens ADD CONSTRAINT full_disk CHECK (last_used_ms IS NULL)"
        }
    };
    pool.place.run(full).await;
    let grant = pool.store.access_grant(sha256, NOW_MS).await.unwrap();
    assert_eq!(grant.unwrap().user, user("ada"));
}
