//! Policy and collateral are replaced under open sessions: who goes on without a new quote, who is cut, who is asked.

use std::sync::atomic::Ordering;
use std::time::Duration;

use attestation::{AttestationRecord, ErrorCode, Outcome as StepOutcome};
use channel::{GatewayMessage, Outcome};
use protocol::Sha256Digest;
use protocol::lease::AckOutcome;
use serde_json::Value;
use simulator::CollateralOptions;

use crate::pool::{Pool, submit};
use crate::sessions::soon;
use crate::worker::{Control, TestAttester, Worker, admitted, connect};

/// Long enough for a debug build on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// An admitted worker on a machine of its own, whose driver has its control stream.
async fn on_machine(pool: &Pool, id: &str, machine: u16) -> (Worker, Control) {
    let secret = pool.enrol(id).await;
    let attester = TestAttester {
        platform: Pool::machine(machine),
        ..TestAttester::new(pool, id, &secret)
    };
    let worker = connect(pool, attester).await.unwrap();
    let mut control = worker.control().await;
    control.renew(Vec::new()).await;
    (worker, control)
}

pub(crate) async fn view(pool: &Pool, id: &str) -> Value {
    pool.operator()
        .get(&format!("/v1/workers/{id}"))
        .await
        .json()
}

pub(crate) async fn record(pool: &Pool, id: &str) -> AttestationRecord {
    let path = format!("/v1/workers/{id}/attestation");
    serde_json::from_slice(&pool.operator().get(&path).await.body).unwrap()
}

/// The worker's view once it is as wanted.
pub(crate) async fn until(pool: &Pool, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let there = async {
        loop {
            let view = view(pool, id).await;
            if wanted(&view) {
                return view;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, there).await.unwrap()
}

fn revoking(pool: &Pool, machine: u16) -> String {
    let revoked = format!(
        "revoked = [\"{}\"]",
        hex::encode(Pool::machine(machine).ppid())
    );
    let policy = pool.platform.policy_toml();
    assert!(policy.contains("revoked = []"));
    policy.replace("revoked = []", &revoked)
}

#[tokio::test]
async fn a_revoked_platform_is_cut_at_once_and_the_others_go_on_without_a_new_quote() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let (stays, mut stays_control) = on_machine(&pool, "stays", 0).await;
    let (goes, mut goes_control) = on_machine(&pool, "goes", 1).await;
    let attestation = view(&pool, "stays").await["session"]["attestation"].clone();
    let before = submit(&alice, b"before").await;
    let held = stays.lease(1, 0).await;
    assert_eq!(stays.ack(&held).await.outcomes, [AckOutcome::Accepted]);
    submit(&alice, b"across").await;
    let held = stays.lease(1, 0).await;

    let policy = revoking(&pool, 1);
    pool.reload_policy(&policy).await;
    assert_eq!(goes_control.refusal().await, ErrorCode::PlatformRevoked);
    assert!(goes_control.next().await.is_none());
    let cut = view(&pool, "goes").await;
    assert_eq!(cut["refusal"]["code"], "E602");
    let again = connect(&pool, goes.attester).await.err();
    assert_eq!(again, Some(ErrorCode::PlatformRevoked));

    // What it held is acked under the attestation it was leased under; nothing but the answer comes down the stream.
    until(&pool, "stays", |view| view["session"]["reappraisals"] == 1).await;
    stays_control.renew(Vec::new()).await;
    assert_eq!(stays.ack(&held).await.outcomes, [AckOutcome::Accepted]);
    let after = submit(&alice, b"after").await;
    let held = stays.lease(1, 0).await;
    assert_eq!(stays.ack(&held).await.outcomes, [AckOutcome::Accepted]);
    let session = &view(&pool, "stays").await["session"];
    assert_eq!(session["attestation"], attestation);
    let sha256 = Sha256Digest::of(policy.as_bytes()).to_string();
    assert_eq!(session["appraisal_policy_sha256"], sha256);
    assert!(session["appraised_ms"].as_u64() > session["attested_ms"].as_u64());

    // An auditor finds each verdict: the refusal, the new one, and the one that an earlier receipt was accepted under.
    let refused = record(&pool, "goes").await;
    let refusal = refused.transcript().refusal();
    assert_eq!(refusal, Some(ErrorCode::PlatformRevoked));
    let stands = record(&pool, "stays").await;
    assert_eq!(
        (stands.policy_text(), stands.transcript().refusal()),
        (&*policy, None)
    );
    assert_eq!(stands.attestation_id().to_string(), attestation);
    for (task, policy) in [(before, pool.platform.policy_toml()), (after, policy)] {
        let answer = alice.get(&format!("/v1/tasks/{task}/attestation")).await;
        let record: AttestationRecord = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(record.policy_text(), policy);
    }
    let metrics = pool.metrics("/metrics").await.text();
    for line in [
        "cocoon_gateway_reappraisals_total{outcome=\"stands\"} 1\n",
        "cocoon_gateway_reappraisals_total{outcome=\"cut\"} 1\n",
        "cocoon_gateway_refusals_total{stage=\"reappraisal\",code=\"E602\"} 1\n",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn a_policy_that_everybody_fits_cuts_nobody_and_a_refused_one_changes_nothing() {
    let pool = Pool::start().await;
    let (_first, mut control) = on_machine(&pool, "worker-1", 0).await;
    let (_second, _control) = on_machine(&pool, "worker-2", 1).await;
    let policy = format!("{}# nothing else is new\n", pool.platform.policy_toml());
    pool.reload_policy(&policy).await;
    for id in ["worker-1", "worker-2"] {
        let view = until(&pool, id, |view| view["session"]["reappraisals"] == 1).await;
        let sha256 = Sha256Digest::of(policy.as_bytes()).to_string();
        assert_eq!(view["session"]["appraisal_policy_sha256"], sha256);
        assert_eq!(view["state"], "live");
    }
    pool.reload_policy(&policy).await;
    pool.write_policy("schema = 1");
    let path = "/v1/appraisal-policy:reload";
    let answer = pool.operator().post(path, &Value::Null).await;
    answer.refuses(409, "wrong-state");
    control.renew(Vec::new()).await;
    assert_eq!(view(&pool, "worker-1").await["session"]["reappraisals"], 1);
}

#[tokio::test]
async fn a_session_without_a_readable_record_is_asked_to_attest() {
    let pool = Pool::start().await;
    let (worker, mut control) = on_machine(&pool, "worker-1", 0).await;
    let database = rusqlite::Connection::open(pool.database()).unwrap();
    let changed = database.execute("UPDATE attestations SET record = x'00'", []);
    assert_eq!(changed.unwrap(), 1);
    pool.reload_policy(&format!("{}#\n", pool.platform.policy_toml()))
        .await;
    control.attest(&worker).await;
    let outcome = control.next().await;
    assert!(
        matches!(outcome, Some(GatewayMessage::Outcome(Outcome::Admitted(_)))),
        "{outcome:?}"
    );
    let view = view(&pool, "worker-1").await;
    assert_eq!(
        view["session"]["attestation"],
        worker.attester.attestation_id()
    );
    assert_eq!(
        (&view["state"], &view["session"]["reappraisals"]),
        (&"live".into(), &0.into())
    );
}

#[tokio::test]
async fn newer_collateral_is_held_against_every_session_of_its_family() {
    let pool = Pool::start().await;
    let (_worker, mut control) = on_machine(&pool, "worker-1", 0).await;
    let collateral = |record: &AttestationRecord| record.collateral().to_json().unwrap();
    let first = collateral(&record(&pool, "worker-1").await);
    let now_s = record(&pool, "worker-1").await.time_s();
    let platform = &pool.platform;
    let newer = platform.collateral_json(&CollateralOptions::at(now_s + 60));
    pool.replace_collateral(Some(&newer));
    until(&pool, "worker-1", |view| {
        view["session"]["reappraisals"] == 1
    })
    .await;
    assert_ne!(collateral(&record(&pool, "worker-1").await), first);

    let revoked = CollateralOptions {
        revoke_pck: true,
        ..CollateralOptions::at(now_s + 120)
    };
    pool.replace_collateral(Some(&platform.collateral_json(&revoked)));
    assert_eq!(control.refusal().await, ErrorCode::PckRevoked);
    let cut = record(&pool, "worker-1").await;
    let mut steps = cut.transcript().steps.iter();
    let failed = steps
        .find(|step| step.outcome == StepOutcome::Fail)
        .unwrap();
    assert_eq!(
        (failed.number, failed.code),
        (4, Some(ErrorCode::PckRevoked))
    );
}

#[tokio::test]
async fn missing_collateral_closes_no_session_within_its_grace() {
    let pool = Pool::start_with(|config| {
        soon(config);
        // Asked again after a sixth of it.
        config.attestation.reattest_grace = Duration::from_secs(12);
    })
    .await;
    let (worker, mut control) = on_machine(&pool, "worker-1", 0).await;
    let file = pool.dir.path().join("collateral/simulated.json");
    let collateral = std::fs::read_to_string(file).unwrap();
    pool.replace_collateral(None);
    let missing = async {
        while !pool
            .metrics("/metrics")
            .await
            .text()
            .contains("cocoon_gateway_collateral_families 0\n")
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LIMIT, missing).await.unwrap();
    control.attest(&worker).await;
    control.renew(Vec::new()).await;
    let refused = view(&pool, "worker-1").await;
    assert_eq!(
        (&refused["state"], &refused["refusal"]["code"]),
        (&"live".into(), &"E902".into())
    );

    pool.replace_collateral(Some(&collateral));
    control.attest(&worker).await;
    let outcome = control.next().await;
    assert!(
        matches!(outcome, Some(GatewayMessage::Outcome(Outcome::Admitted(_)))),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_worker_that_restarted_cannot_go_on_with_its_session() {
    let changes: [fn(&mut TestAttester); 2] = [
        |attester| attester.boot_id = [5; 16],
        |attester| attester.sequence.store(0, Ordering::Relaxed),
    ];
    for change in changes {
        let pool = Pool::start_with(soon).await;
        let mut worker = admitted(&pool, "worker-1").await;
        let mut control = worker.control().await;
        change(&mut worker.attester);
        control.attest(&worker).await;
        assert_eq!(control.refusal().await, ErrorCode::SessionWorkerChanged);
        let refused = worker.attester.attestation_id();
        let kept = record(&pool, "worker-1").await;
        assert_ne!(
            kept.attestation_id().to_string(),
            refused,
            "it was not accepted"
        );
    }
}
