//! Collateral from a mock of Intel's service, fetched in the background while workers come and go.

use std::fs;
use std::path::Path;
use std::time::Duration;

use attestation::{Collateral, ErrorCode};
use gateway::Config;
use gateway::world::{Clock, SystemClock};
use simulator::pcs::{Fault, PcsServer};
use simulator::{CollateralOptions, CollateralSigner, SimulatedPlatform};

use crate::pool::Pool;
use crate::worker::{TestAttester, connect};

const DAY_S: u64 = 86_400;

fn now_s() -> u64 {
    SystemClock::start().now_us() / 1_000_000
}

fn made(change: impl FnOnce(&mut CollateralOptions)) -> CollateralOptions {
    let mut options = CollateralOptions::at(now_s());
    change(&mut options);
    options
}

/// A pool whose folder has this collateral, or none, and that asks this service.
async fn pool(server: &PcsServer, held: Option<CollateralOptions>) -> Pool {
    let url = server.url();
    Pool::start_with(move |config| {
        let platform = SimulatedPlatform::from_seed(crate::pool::SEED);
        let held = held.map(|options| platform.collateral_json(&options));
        replace(config, held.as_deref());
        config.attestation.pccs_urls = vec![url.parse().unwrap()];
    })
    .await
}

fn replace(config: &Config, held: Option<&str>) {
    let path = config.attestation.collateral_dir.join("simulated.json");
    match held {
        Some(json) => fs::write(path, json).unwrap(),
        None => fs::remove_file(path).unwrap(),
    }
}

/// What the gateway has written into the folder.
fn written(pool: &Pool) -> Option<Collateral> {
    let name = format!("collateral/{}-platform.json", hex::encode(simulator::FMSPC));
    let json = fs::read(Path::new(pool.dir.path()).join(name)).ok()?;
    Some(Collateral::from_json(&json).unwrap())
}

/// Waits until the metrics have this line.
async fn seen(pool: &Pool, line: &str) {
    let mut text = String::new();
    for _ in 0..1_000 {
        text = pool.metrics("/metrics").await.text();
        if text.contains(line) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{line} is not in\n{text}");
}

#[tokio::test]
async fn what_a_worker_misses_is_fetched_and_the_next_attempt_is_admitted() {
    let server = PcsServer::start().await.unwrap();
    let pool = pool(&server, None).await;
    server.serve(pool.platform.pcs_parts(&made(|_| {})));
    let secret = pool.enrol("worker-1").await;
    let attester = || TestAttester::new(&pool, "worker-1", &secret);
    let refused = connect(&pool, attester()).await;
    assert_eq!(refused.err(), Some(ErrorCode::CollateralMissing));
    seen(
        &pool,
        r#"cocoon_gateway_collateral_fetches_total{outcome="new"} 1"#,
    )
    .await;
    connect(&pool, attester()).await.unwrap();

    assert!(written(&pool).is_some());
    // Four parts, once, though it was missed by two connections or one.
    assert_eq!(server.requests().len(), 4);
    let labels = format!(
        r#"{{fmspc="{}",ca="platform"}}"#,
        hex::encode(simulator::FMSPC)
    );
    seen(
        &pool,
        &format!("cocoon_gateway_collateral_family_left_seconds{labels} 25"),
    )
    .await;
    seen(
        &pool,
        &format!("cocoon_gateway_collateral_fetched_seconds{labels} 1"),
    )
    .await;
}

#[tokio::test]
async fn many_who_miss_the_same_cause_one_fetch() {
    let server = PcsServer::start().await.unwrap();
    let pool = pool(&server, None).await;
    server.serve(pool.platform.pcs_parts(&made(|_| {})));
    server.fail_next("/tcb", Fault::Slow(Duration::from_millis(500)));
    let secret = pool.enrol("worker-1").await;
    for _ in 0..5 {
        let attester = TestAttester::new(&pool, "worker-1", &secret);
        let refused = connect(&pool, attester).await;
        assert_eq!(refused.err(), Some(ErrorCode::CollateralMissing));
    }
    seen(
        &pool,
        r#"cocoon_gateway_collateral_fetches_total{outcome="new"} 1"#,
    )
    .await;
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn a_stranger_chooses_nothing_that_is_fetched() {
    let server = PcsServer::start().await.unwrap();
    let pool = pool(&server, None).await;
    server.serve(pool.platform.pcs_parts(&made(|_| {})));
    let secret = pool.enrol("worker-1").await;
    for (worker, secret) in [("worker-9", secret.clone()), ("worker-1", vec![0; 32])] {
        let refused = connect(&pool, TestAttester::new(&pool, worker, &secret)).await;
        assert_eq!(refused.err(), Some(ErrorCode::CollateralMissing));
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn what_is_about_to_end_is_renewed_before_it_does() {
    let server = PcsServer::start().await.unwrap();
    let old = made(|options| {
        options.issued_before_s = 24 * DAY_S;
        options.valid_for_s = 6 * DAY_S;
    });
    server.serve(SimulatedPlatform::from_seed(crate::pool::SEED).pcs_parts(&made(|_| {})));
    let pool = pool(&server, Some(old)).await;
    seen(
        &pool,
        r#"cocoon_gateway_collateral_fetches_total{outcome="new"} 1"#,
    )
    .await;
    let renewed = written(&pool).unwrap();
    assert!(renewed.next_update_s() > now_s() + 29 * DAY_S);
}

#[tokio::test]
async fn what_has_ended_is_renewed_and_workers_are_admitted_again() {
    let server = PcsServer::start().await.unwrap();
    let ended = made(|options| options.now_s -= 60 * DAY_S);
    server.serve(SimulatedPlatform::from_seed(crate::pool::SEED).pcs_parts(&made(|_| {})));
    let pool = pool(&server, Some(ended)).await;
    seen(
        &pool,
        r#"cocoon_gateway_collateral_fetches_total{outcome="new"} 1"#,
    )
    .await;
    let secret = pool.enrol("worker-1").await;
    connect(&pool, TestAttester::new(&pool, "worker-1", &secret))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_hostile_source_changes_nothing() {
    let ends_soon = made(|options| {
        options.issued_before_s = 24 * DAY_S;
        options.valid_for_s = 6 * DAY_S;
    });
    for (offered, outcome) in [
        (
            made(|options| options.signer = CollateralSigner::CorruptTcbInfo),
            "unverified",
        ),
        (
            made(|options| {
                options.issued_before_s = 25 * DAY_S;
                options.valid_for_s = 5 * DAY_S;
            }),
            "older",
        ),
    ] {
        let server = PcsServer::start().await.unwrap();
        server.serve(SimulatedPlatform::from_seed(crate::pool::SEED).pcs_parts(&offered));
        let pool = pool(&server, Some(ends_soon.clone())).await;
        let line = format!(r#"cocoon_gateway_collateral_fetches_total{{outcome="{outcome}"}} 1"#);
        seen(&pool, &line).await;
        assert_eq!(written(&pool), None);
        // What is held is in date still.
        let secret = pool.enrol("worker-1").await;
        connect(&pool, TestAttester::new(&pool, "worker-1", &secret))
            .await
            .unwrap();
    }
}
