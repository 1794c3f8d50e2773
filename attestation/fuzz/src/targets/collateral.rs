//! The JSON of collateral: what parses survives its own JSON, and changes no verdict unless Intel's key said so.

use attestation::{Collateral, Quote};
use simulator::CollateralOptions;

use crate::{
    Seeds, Target,
    scene::{NOW_S, SCENE},
};

pub(crate) const TARGET: Target = Target {
    name: "collateral",
    run,
    seeds,
    dictionary: &[
        b"\"pck_crl_issuer_chain\":",
        b"\"root_ca_crl\":",
        b"\"pck_crl\":",
        b"\"tcb_info_issuer_chain\":",
        b"\"tcb_info\":",
        b"\"tcb_info_signature\":",
        b"\"qe_identity_issuer_chain\":",
        b"\"qe_identity\":",
        b"\"qe_identity_signature\":",
        b"\"pck_certificate_chain\":",
        b"-----BEGIN CERTIFICATE-----\\n",
        b"\\u0000",
        b"null",
    ],
};

fn run(json: &[u8]) {
    let Ok(collateral) = Collateral::from_json(json) else {
        return;
    };
    let text = collateral.to_json().expect("what parsed serialises");
    let again = Collateral::from_json(text.as_bytes()).expect("its own JSON parses");
    assert_eq!(again, collateral);
    assert_eq!(again.claimed_root(), collateral.claimed_root());
    changes_no_meaning(&collateral);
}

/// Other collateral may refuse the quote; it may not make it mean something else.
pub(super) fn changes_no_meaning(collateral: &Collateral) {
    let quote = Quote::parse(&SCENE.evidence.quote).expect("the forged quote parses");
    if let Some(verified) = SCENE.verify(&quote, collateral) {
        assert!(
            SCENE.meanings.contains(&verified),
            "nobody signed {verified:?}"
        );
    }
}

fn seeds(seeds: &mut Seeds) {
    let options = CollateralOptions::at(NOW_S);
    seeds.add(SCENE.platform.collateral_json(&options));
    let revoked = CollateralOptions {
        revoke_pck: true,
        ..options
    };
    seeds.add(SCENE.platform.collateral_json(&revoked));
    seeds.add_vectors("collateral", Some);
}
