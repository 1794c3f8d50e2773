//! Intel's own recorded answers, under Intel's root.

use std::{fs, path::Path};

use attestation::{TrustAnchor, Verifier};
use pccs::{Acceptance, FailureKind};
use serde_json::Value;
use simulator::pcs::{PcsParts, PcsServer};

use crate::world::client;

/// Between the issue of the last part (2023-06-18) and the end of the first (2023-07-08).
const THEN_S: u64 = 1_687_250_000;

/// The parts that another project recorded one by one; chains come from collateral of the same family and year.
fn parts(vectors: &Path) -> PcsParts {
    let part = |name: &str| fs::read(vectors.join("pcs-parts").join(name)).unwrap();
    let text = |name: &str| String::from_utf8(part(name)).unwrap();
    let whole = fs::read(vectors.join("collateral/tdx_50806f000000_2023-06-18_492e9e.json"));
    let whole: Value = serde_json::from_slice(&whole.unwrap()).unwrap();
    let chain = |member: &str| whole[member].as_str().unwrap().to_owned();
    PcsParts {
        fmspc: "50806f000000".to_owned(),
        ca: "platform".to_owned(),
        tcb_info: (
            text("go-tdx-guest_sample_tcbInfo_response"),
            chain("tcb_info_issuer_chain"),
        ),
        qe_identity: (
            text("go-tdx-guest_sample_qeIdentity_response"),
            chain("qe_identity_issuer_chain"),
        ),
        pck_crl: (part("go-tdx-guest_pckcrl"), chain("pck_crl_issuer_chain")),
        root_crl: part("go-tdx-guest_rootcrl.der"),
    }
}

#[tokio::test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no configuration of its own"
)]
async fn intels_answers_become_collateral_that_intel_vouches_for() {
    let Some(vectors) = std::env::var_os("COCOON_VECTORS") else {
        println!("SKIPPED: COCOON_VECTORS names no directory of vectors");
        return;
    };
    let server = PcsServer::start().await.unwrap();
    server.serve(parts(Path::new(&vectors)));
    let client = client(&[&server.url()]);
    let family = "50806f000000-platform".parse().unwrap();
    let verifier = Verifier::new(TrustAnchor::intel());
    let at = |now_s| Acceptance {
        verifier: &verifier,
        now_s,
        held: None,
    };
    let fetched = client.fetch(family, &at(THEN_S)).await.unwrap();
    let collateral = fetched.collateral.into_collateral();
    assert_eq!(collateral.evaluation_data_number(), 15);
    assert_eq!(collateral.family(), Some(family));

    let ended = client.fetch(family, &at(THEN_S + 40 * 86_400)).await;
    assert_eq!(ended.unwrap_err().kind(), FailureKind::Unverified);
}
