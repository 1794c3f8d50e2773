//! Who is admitted, and the code that everybody else learns.

use std::sync::Arc;
use std::time::Duration;

use attestation::{AttestationRecord, ErrorCode};
use futures_util::future::join_all;
use http::Method;
use simulator::SimulatedPlatform;

use crate::pool::Pool;
use crate::worker::{TestAttester, admitted, connect};

#[tokio::test]
async fn an_honest_worker_is_admitted_and_its_record_audits() {
    let pool = Pool::start().await;
    let worker = admitted(&pool, "worker-1").await;
    let view = pool.operator().get("/v1/workers/worker-1").await.json();
    assert_eq!(view["state"], "live", "{view}");
    assert_eq!(view["session"]["tcb_status"], "UpToDate");
    assert_eq!(view["session"]["executor"], "cpu");
    assert!(
        view["session"]["trust_anchor"]
            .as_str()
            .unwrap()
            .starts_with("NOT INTEL: ")
    );
    assert!(view["refusal"].is_null());

    let record = pool
        .operator()
        .get("/v1/workers/worker-1/attestation")
        .await;
    let record: AttestationRecord = serde_json::from_slice(&record.body).unwrap();
    assert_eq!(
        record.attestation_id().to_string(),
        worker.attester.attestation_id()
    );
    assert_eq!(record.transcript().refusal(), None);
    assert_eq!(record.claims().unwrap().worker_id, "worker-1");
}

#[tokio::test]
async fn each_lie_has_its_code() {
    let pool = Pool::start().await;
    let secret = pool.enrol("worker-1").await;
    let honest = || TestAttester::new(&pool, "worker-1", &secret);
    let forged_root = TestAttester {
        platform: Arc::new(SimulatedPlatform::from_seed(666)),
        ..honest()
    };
    let mut debug = honest();
    debug.td.debug = true;
    let mut other_release = honest();
    other_release.td.rtmrs[1] = [9; 48];
    // A byte of the TD quote body: the quote's own signature covers it.
    let altered = TestAttester {
        change_quote: |quote| quote[200] ^= 1,
        ..honest()
    };
    let cut = TestAttester {
        change_quote: |quote| quote.truncate(100),
        ..honest()
    };
    let wrong_secret = TestAttester {
        secret: vec![0; 32],
        ..honest()
    };
    let unknown = TestAttester {
        worker: "worker-9".to_owned(),
        ..honest()
    };
    let no_name = TestAttester {
        worker: "No Name!".to_owned(),
        ..honest()
    };
    for (attester, code) in [
        (forged_root, ErrorCode::PckChainInvalid),
        (altered, ErrorCode::QuoteSignatureInvalid),
        (cut, ErrorCode::QuoteMalformed),
        (debug, ErrorCode::TdDebuggable),
        (other_release, ErrorCode::ReleaseUnknown),
        (wrong_secret, ErrorCode::EnrolmentMacInvalid),
        (unknown, ErrorCode::WorkerUnknown),
        (no_name, ErrorCode::WorkerUnknown),
    ] {
        assert_eq!(connect(&pool, attester).await.err(), Some(code));
    }
    let view = pool.operator().get("/v1/workers/worker-1").await.json();
    assert_eq!(view["refusal"]["code"], "E604", "{view}");
    assert_eq!(view["state"], "offline");
    assert_eq!(
        pool.operator().get("/v1/workers").await.json()["workers"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    pool.operator()
        .get("/v1/workers/worker-1/attestation")
        .await
        .refuses(404, "not-found");
    let metrics = pool.metrics("/metrics").await.text();
    assert!(
        metrics.contains(r#"cocoon_gateway_refusals_total{stage="gate",code="E501"} 1"#),
        "{metrics}"
    );

    // Refused six times, it is welcome with the truth.
    connect(&pool, honest()).await.unwrap();
}

#[tokio::test]
async fn without_collateral_nobody_is_admitted() {
    let pool = Pool::start_with(|config| {
        std::fs::remove_file(config.attestation.collateral_dir.join("simulated.json")).unwrap();
    })
    .await;
    let secret = pool.enrol("worker-1").await;
    let refused = connect(&pool, TestAttester::new(&pool, "worker-1", &secret)).await;
    assert_eq!(refused.err(), Some(ErrorCode::CollateralMissing));
}

#[tokio::test]
async fn a_deleted_worker_is_cut_off_and_unknown() {
    let pool = Pool::start().await;
    let secret = pool.enrol("worker-1").await;
    let worker = connect(&pool, TestAttester::new(&pool, "worker-1", &secret))
        .await
        .unwrap();
    let answer = pool
        .operator()
        .send(
            Method::DELETE,
            "/v1/workers/worker-1",
            &[],
            bytes::Bytes::new(),
        )
        .await;
    assert_eq!(answer.status, 204);
    for _ in 0..500 {
        if worker.http.is_closed() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(worker.http.is_closed());
    let refused = connect(&pool, TestAttester::new(&pool, "worker-1", &secret)).await;
    assert_eq!(refused.err(), Some(ErrorCode::WorkerUnknown));
    let again = pool
        .operator()
        .send(
            Method::DELETE,
            "/v1/workers/worker-1",
            &[],
            bytes::Bytes::new(),
        )
        .await;
    again.refuses(404, "not-found");
}

#[tokio::test]
async fn who_waits_for_the_store_holds_no_core() {
    let pool = Pool::start().await;
    let mut attesters = Vec::new();
    for number in 0..std::thread::available_parallelism().unwrap().get() {
        let id = format!("worker-{number}");
        let secret = pool.enrol(&id).await;
        attesters.push(TestAttester::new(&pool, &id, &secret));
    }
    // Nobody can be recorded, so nobody is admitted.
    let database = rusqlite::Connection::open(pool.database()).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut waiting = std::pin::pin!(join_all(
        attesters
            .into_iter()
            .map(|attester| { connect(&pool, attester) })
    ));
    let stranger = async {
        // So that the others come first.
        tokio::time::sleep(Duration::from_millis(500)).await;
        connect(&pool, TestAttester::new(&pool, "stranger", &[7; 32])).await
    };
    tokio::select! {
        _ = &mut waiting => panic!("the store took what it cannot take"),
        refused = stranger => assert_eq!(refused.err(), Some(ErrorCode::WorkerUnknown)),
    }
    database.execute_batch("COMMIT").unwrap();
    for admitted in waiting.await {
        assert_eq!(admitted.err(), None);
    }
}
