//! What is asked for, in which order, and what is taken.

use attestation::Family;
use pccs::{Client, ClientError, FailureKind, Rejection, Update};
use simulator::{CollateralOptions, pcs::PcsServer};

use crate::world::{NOW_S, World, client, only, options, over_nothing, rejection};

#[tokio::test]
async fn a_family_is_fetched_whole() {
    let world = World::new().await;
    let fetched = world.fetch().await.unwrap();
    assert_eq!(fetched.collateral.collateral(), &world.collateral(|_| {}));
    assert_eq!(fetched.source.to_string(), world.server.url());
    let fmspc = hex::encode(simulator::FMSPC);
    assert_eq!(
        world.server.requests(),
        [
            format!("/tdx/certification/v4/tcb?fmspc={fmspc}&update=standard"),
            "/tdx/certification/v4/qe/identity?update=standard".to_owned(),
            "/sgx/certification/v4/pckcrl?ca=platform&encoding=der".to_owned(),
            "/sgx/certification/v4/rootcacrl".to_owned(),
        ]
    );
}

#[tokio::test]
async fn the_next_source_is_asked_where_one_fails() {
    let world = World::new().await;
    let empty = PcsServer::start().await.unwrap();
    let client = client(&["http://127.0.0.1:1", &empty.url(), &world.server.url()]);
    let verifier = world.verifier();
    let acceptance = over_nothing(&verifier);
    let fetched = client.fetch(world.family(), &acceptance).await.unwrap();
    let kinds: Vec<_> = fetched
        .attempts
        .iter()
        .map(|attempt| attempt.failure.kind())
        .collect();
    assert_eq!(kinds, [FailureKind::Unreachable, FailureKind::NotFound]);
    assert_eq!(fetched.source.to_string(), world.server.url());

    // A source whose collateral is refused is passed over too.
    let forger = World::with(|options| {
        options.signer = simulator::CollateralSigner::CorruptTcbInfo;
    })
    .await;
    let client = self::client(&[&forger.server.url(), &world.server.url()]);
    let fetched = client.fetch(world.family(), &acceptance).await.unwrap();
    assert_eq!(fetched.attempts[0].failure.kind(), FailureKind::Unverified);
}

#[tokio::test]
async fn a_failure_of_all_names_each() {
    let world = World::new().await;
    let client = client(&["http://127.0.0.1:1", &world.server.url()]);
    let verifier = world.verifier();
    let acceptance = over_nothing(&verifier);
    let unknown: Family = "00906ed50000-platform".parse().unwrap();
    let error = client.fetch(unknown, &acceptance).await.unwrap_err();
    assert_eq!(error.kind(), FailureKind::NotFound);
    assert!(!error.is_refusal());
    let lines: Vec<_> = error.attempts.iter().map(ToString::to_string).collect();
    assert!(lines[0].starts_with("http://127.0.0.1:1: GET /tdx/certification/v4/tcb failed: "));
    assert!(
        lines[1].ends_with("was answered with HTTP status 404"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn a_set_of_levels_is_asked_for_and_held_to() {
    let world = World::new().await;
    let verifier = world.verifier();
    let acceptance = over_nothing(&verifier);
    let with = |update| {
        let mut options = options(&[&world.server.url()]);
        options.update = update;
        Client::new(options).unwrap()
    };
    let early = with(Update::Early);
    early.fetch(world.family(), &acceptance).await.unwrap();
    let asked = world.server.requests();
    assert!(asked[0].ends_with("&update=early"), "{asked:?}");

    let good = with(Update::Number(17));
    good.fetch(world.family(), &acceptance).await.unwrap();
    let other = with(Update::Number(18));
    let refused = other.fetch(world.family(), &acceptance).await.unwrap_err();
    assert!(matches!(
        rejection(only(refused)),
        Rejection::OtherNumber {
            wanted: 18,
            offered: 17
        }
    ));
}

#[test]
fn a_client_has_somebody_to_ask() {
    let refused = Client::new(options(&[])).unwrap_err();
    assert!(matches!(refused, ClientError::Sources(0)));
    let many = ["http://127.0.0.1:1"; 9];
    assert!(matches!(
        Client::new(options(&many)).unwrap_err(),
        ClientError::Sources(9)
    ));
}

#[tokio::test]
async fn the_other_ca_has_another_list() {
    let world = World::new().await;
    let verifier = world.verifier();
    let acceptance = over_nothing(&verifier);
    let processor = Family {
        ca: attestation::PckCa::Processor,
        ..world.family()
    };
    // The service has none; one that sends the Platform CA's instead is refused.
    let missing = world.client().fetch(processor, &acceptance).await;
    assert_eq!(missing.unwrap_err().kind(), FailureKind::NotFound);
    let mut parts = world.platform.pcs_parts(&CollateralOptions::at(NOW_S));
    parts.ca = "processor".to_owned();
    world.server.serve(parts);
    let refused = world.client().fetch(processor, &acceptance).await;
    assert!(matches!(
        rejection(only(refused.unwrap_err())),
        Rejection::OtherFamily { .. }
    ));
}
