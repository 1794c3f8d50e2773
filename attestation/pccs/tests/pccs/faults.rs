//! A service that is busy, broken, slow, lagging or hostile.

use std::time::Duration;

use attestation::{CertificateChain, CollateralPart, VerifyError};
use pccs::{FailureKind, Rejection, SourceFailure};
use simulator::{CollateralOptions, CollateralSigner, pcs::Fault};

use crate::world::{DAY_S, NOW_S, World, only, over_nothing, rejection};

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    for fault in [
        Fault::Busy(0),
        Fault::Status(500),
        Fault::Status(503),
        Fault::Cut,
        Fault::Slow(Duration::from_secs(3)),
    ] {
        let world = World::new().await;
        for _ in 0..2 {
            world.server.fail_next("/qe/identity", fault.clone());
        }
        assert!(world.fetch().await.is_ok(), "{fault:?}");
        assert_eq!(world.server.requests().len(), 6, "{fault:?}");
    }
}

#[tokio::test]
async fn retries_are_bounded() {
    for (fault, kind) in [
        (Fault::Busy(0), FailureKind::Status),
        (Fault::Status(500), FailureKind::Status),
        (Fault::Cut, FailureKind::Unreachable),
    ] {
        let world = World::new().await;
        for _ in 0..100 {
            world.server.fail_next("/tcb", fault.clone());
        }
        assert_eq!(world.failure().await.kind(), kind, "{fault:?}");
        assert_eq!(world.server.requests().len(), 4, "{fault:?}");
    }
}

#[tokio::test]
async fn what_will_not_pass_is_not_tried_again() {
    for (fault, kind) in [
        (Fault::Status(404), FailureKind::NotFound),
        (Fault::Status(401), FailureKind::Status),
        (Fault::Status(302), FailureKind::Status),
        (Fault::Huge, FailureKind::Malformed),
        (Fault::Body(b"<html>".to_vec()), FailureKind::Malformed),
        // An hour: longer than anybody here waits.
        (Fault::Busy(3_600), FailureKind::Status),
    ] {
        let world = World::new().await;
        world.server.fail_next("/tcb", fault.clone());
        assert_eq!(world.failure().await.kind(), kind, "{fault:?}");
        let tcb = world.server.requests();
        let tcb = tcb.iter().filter(|target| target.contains("/tcb"));
        assert_eq!(tcb.count(), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_slow_source_has_a_deadline() {
    let world = World::new().await;
    // Each request is in time, and all four together take longer than a source may.
    for _ in 0..4 {
        let slow = Fault::Slow(Duration::from_millis(300));
        world.server.fail_next("/certification", slow);
    }
    let mut options = crate::world::options(&[&world.server.url()]);
    options.timing.source = Duration::from_millis(800);
    let client = pccs::Client::new(options).unwrap();
    let verifier = world.verifier();
    let acceptance = over_nothing(&verifier);
    let failed = client.fetch(world.family(), &acceptance).await;
    let failure = only(failed.unwrap_err());
    assert!(matches!(failure, SourceFailure::Deadline(_)), "{failure:?}");
}

#[tokio::test]
async fn malformed_parts_have_names() {
    for (target, body, named) in [
        ("/tcb", &b"{}"[..], "TCB info"),
        ("/qe/identity", b"[]", "QE identity"),
        ("/pckcrl", b"no list", "PCK CRL"),
        ("/rootcacrl", b"zz", "root CRL"),
        (
            "/tcb",
            br#"{"tcbInfo":{},"signature":"00"}"#,
            "not collateral",
        ),
        ("/pckcrl", b"0\x03\x02\x01\x00", "not collateral"),
    ] {
        let world = World::new().await;
        world.server.fail_next(target, Fault::Body(body.to_vec()));
        let SourceFailure::Answer(error) = world.failure().await else {
            panic!("{target}");
        };
        assert!(error.to_string().contains(named), "{target}: {error}");
    }
}

#[tokio::test]
async fn collateral_of_another_family_is_refused() {
    let world = World::with(|options| options.fmspc = [1, 2, 3, 4, 5, 6]).await;
    let refused = rejection(world.failure().await);
    assert!(
        matches!(refused, Rejection::OtherFamily { .. }),
        "{refused:?}"
    );
    assert!(refused.to_string().contains("010203040506-platform"));
}

#[tokio::test]
async fn collateral_that_does_not_verify_is_refused() {
    for signer in [
        CollateralSigner::CorruptTcbInfo,
        CollateralSigner::CorruptQeIdentity,
        CollateralSigner::OtherSeed(666),
    ] {
        let world = World::with(|options| options.signer = signer).await;
        let refused = rejection(world.failure().await);
        assert!(matches!(refused, Rejection::Unverified(_)), "{signer:?}");
    }
    let ended = World::with(|options| options.now_s -= 60 * DAY_S).await;
    assert!(matches!(
        rejection(ended.failure().await),
        Rejection::Unverified(VerifyError::Expired { .. })
    ));
}

/// The chain is in a header; nothing of it is cut off silently.
#[tokio::test]
async fn a_padded_issuer_chain_is_refused() {
    let world = World::new().await;
    let mut parts = world.platform.pcs_parts(&CollateralOptions::at(NOW_S));
    let chain = &mut parts.qe_identity.1;
    let root = chain.rfind("-----BEGIN").unwrap();
    let root = chain[root..].to_owned();
    chain.push_str(&root);
    world.server.serve(parts);
    assert!(matches!(
        rejection(world.failure().await),
        Rejection::Unverified(VerifyError::Chain {
            chain: CertificateChain::QeIdentity,
            ..
        })
    ));
}

#[tokio::test]
async fn nothing_older_takes_the_place_of_what_is_held() {
    let world = World::new().await;
    let newer = world.collateral(|options| options.issued_before_s = 60);
    let refused = world.fetch_over(Some(&newer)).await.unwrap_err();
    assert!(refused.is_refusal());
    assert_eq!(refused.kind(), FailureKind::Older);
    assert!(matches!(
        rejection(only(refused)),
        Rejection::Older {
            part: CollateralPart::TcbInfo,
            ..
        }
    ));
    let knows_more = world.collateral(|options| options.evaluation_number = 18);
    let refused = world.fetch_over(Some(&knows_more)).await.unwrap_err();
    assert!(matches!(
        rejection(only(refused)),
        Rejection::LowerNumber {
            held: 18,
            offered: 17
        }
    ));
    let same = world.collateral(|_| {});
    world.fetch_over(Some(&same)).await.unwrap();
    let ended = world.collateral(|options| options.now_s -= 60 * DAY_S);
    world.fetch_over(Some(&ended)).await.unwrap();
}

#[tokio::test]
async fn what_is_held_and_never_verified_blocks_nothing() {
    let world = World::new().await;
    for held in [
        world.collateral(|options| {
            options.issued_before_s = 0;
            options.signer = CollateralSigner::CorruptTcbInfo;
        }),
        // Well signed, and issued tomorrow.
        world.collateral(|options| options.now_s += DAY_S),
    ] {
        world.fetch_over(Some(&held)).await.unwrap();
    }
}
