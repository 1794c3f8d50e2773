//! Collateral verified without a quote: each refusal by name.

use attestation::{
    CertificateChain, ChainFault, Collateral, CollateralPart, Quote, TrustAnchor,
    VerifiedCollateral, Verifier, VerifyError,
};
use serde_json::Value;
use simulator::{CollateralOptions, CollateralSigner, FMSPC};

use crate::scene::{NOW_S, Scene};

fn verify(collateral: Collateral) -> Result<VerifiedCollateral, VerifyError> {
    Scene::new().verifier().verify_collateral(collateral, NOW_S)
}

/// The refusal of collateral that was made with other options.
fn made(change: impl FnOnce(&mut CollateralOptions)) -> VerifyError {
    let mut options = CollateralOptions::at(NOW_S);
    change(&mut options);
    verify(Scene::new().platform.collateral(&options)).unwrap_err()
}

/// The refusal of collateral whose JSON was changed.
fn changed(change: impl FnOnce(&mut Value)) -> VerifyError {
    let scene = Scene::new();
    let json = scene.platform.collateral_json(&scene.collateral);
    let mut json: Value = serde_json::from_str(&json).unwrap();
    change(&mut json);
    verify(Collateral::from_json(json.to_string().as_bytes()).unwrap()).unwrap_err()
}

fn chain_of(error: &VerifyError) -> Option<(CertificateChain, ChainFault)> {
    match error {
        VerifyError::Chain { chain, fault, .. } => Some((*chain, *fault)),
        _ => None,
    }
}

/// Another last byte: of a CRL, that is its signature's.
fn spoil(member: &mut Value) {
    let mut bytes = hex::decode(member.as_str().unwrap()).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    *member = hex::encode(bytes).into();
}

#[test]
fn good_collateral_verifies_and_names_its_family() {
    let scene = Scene::new();
    let verified = verify(scene.collateral()).unwrap();
    let family = verified.collateral().family().unwrap();
    assert_eq!(family.fmspc, FMSPC);
    assert_eq!(
        family.to_string(),
        format!("{}-platform", hex::encode(FMSPC))
    );
    let quote = Quote::parse(&scene.evidence().quote).unwrap();
    assert_eq!(quote.family().unwrap(), family);
    assert_eq!(verified.into_collateral(), scene.collateral());
}

#[test]
fn another_root_does_not_vouch_for_it() {
    let intel = Verifier::new(TrustAnchor::intel());
    let refused = intel.verify_collateral(Scene::new().collateral(), NOW_S);
    assert!(matches!(
        refused,
        Err(VerifyError::Crl {
            part: CollateralPart::RootCrl,
            ..
        })
    ));
    let signer = made(|options| options.signer = CollateralSigner::OtherSeed(666));
    assert_eq!(
        chain_of(&signer),
        Some((CertificateChain::TcbInfo, ChainFault::Untrusted))
    );
}

#[test]
fn out_of_date_is_refused() {
    let early = made(|options| {
        options.now_s += 2 * 3600;
    });
    assert!(
        matches!(early, VerifyError::NotYetValid { .. }),
        "{early:?}"
    );
    let late = made(|options| options.now_s -= 40 * 86_400);
    assert!(matches!(late, VerifyError::Expired { .. }), "{late:?}");
    // The simulated certificates end with 2049.
    let scene = Scene::new();
    let now_s = 2_540_000_000;
    let late = scene.platform.collateral(&CollateralOptions::at(now_s));
    let refused = scene.verifier().verify_collateral(late, now_s).unwrap_err();
    assert_eq!(
        chain_of(&refused),
        Some((CertificateChain::TcbInfo, ChainFault::Expired))
    );
}

#[test]
fn each_signature_counts() {
    let tcb_info = made(|options| options.signer = CollateralSigner::CorruptTcbInfo);
    assert!(matches!(tcb_info, VerifyError::TcbInfoSignature(_)));
    let identity = made(|options| options.signer = CollateralSigner::CorruptQeIdentity);
    assert!(matches!(identity, VerifyError::QeIdentitySignature(_)));
    for (member, part) in [
        ("root_ca_crl", CollateralPart::RootCrl),
        ("pck_crl", CollateralPart::PckCrl),
    ] {
        match changed(|json| spoil(&mut json[member])) {
            VerifyError::Crl { part: refused, .. } => assert_eq!(refused, part),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn parts_of_others_do_not_fit() {
    let swapped =
        |to: &'static str, from: &'static str| changed(|json| json[to] = json[from].clone());
    for (to, from, chain) in [
        (
            "tcb_info_issuer_chain",
            "pck_crl_issuer_chain",
            CertificateChain::TcbInfo,
        ),
        (
            "qe_identity_issuer_chain",
            "pck_crl_issuer_chain",
            CertificateChain::QeIdentity,
        ),
        (
            "pck_crl_issuer_chain",
            "tcb_info_issuer_chain",
            CertificateChain::PckCrl,
        ),
    ] {
        let refused = swapped(to, from);
        assert_eq!(
            chain_of(&refused),
            Some((chain, ChainFault::Untrusted)),
            "{to}"
        );
    }
    // The root's list in the place of the PCK CA's: well signed, but by another.
    let list = swapped("pck_crl", "root_ca_crl");
    assert!(matches!(
        list,
        VerifyError::Crl {
            part: CollateralPart::PckCrl,
            ..
        }
    ));
    let empty = changed(|json| json["pck_crl_issuer_chain"] = "".into());
    assert_eq!(
        chain_of(&empty),
        Some((CertificateChain::PckCrl, ChainFault::Untrusted))
    );
}

#[test]
fn a_revoked_issuer_signs_nothing() {
    let revoked = made(|options| options.revoke_platform_ca = true);
    assert_eq!(
        chain_of(&revoked),
        Some((CertificateChain::PckCrl, ChainFault::Revoked))
    );
}
