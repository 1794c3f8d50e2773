//! Collateral verified without a quote: each refusal by name.

use attestation::{
    CertificateChain, ChainFault, Collateral, CollateralPart, ErrorCode, Quote, TrustAnchor,
    VerifiedCollateral, Verifier, VerifyError,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
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
    verify(with(change)).unwrap_err()
}

/// Collateral whose JSON was changed.
fn with(change: impl FnOnce(&mut Value)) -> Collateral {
    let scene = Scene::new();
    let json = scene.platform.collateral_json(&scene.collateral);
    let mut json: Value = serde_json::from_str(&json).unwrap();
    change(&mut json);
    Collateral::from_json(json.to_string().as_bytes()).unwrap()
}

const CHAINS: [(&str, CertificateChain); 3] = [
    ("tcb_info_issuer_chain", CertificateChain::TcbInfo),
    ("qe_identity_issuer_chain", CertificateChain::QeIdentity),
    ("pck_crl_issuer_chain", CertificateChain::PckCrl),
];

/// A chain's certificates in PEM: the issuer's, then the root's.
fn certificates(chain: &str) -> [String; 2] {
    let end = "-----END CERTIFICATE-----\n";
    let (first, rest) = chain.split_once(end).unwrap();
    let (root, rest) = rest.split_once(end).unwrap();
    assert_eq!(rest, "");
    [format!("{first}{end}"), format!("{root}{end}")]
}

/// A certificate with its bytes changed.
fn rewritten(pem: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let lines: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = BASE64_STANDARD.decode(lines).unwrap();
    change(&mut der);
    let text = BASE64_STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
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

/// `dcap-qvl` refuses a chain of many certificates, and a store that took it would hold what no quote verifies with.
#[test]
fn a_chain_is_the_issuer_and_at_most_the_anchor() {
    for (member, chain) in CHAINS {
        let refused = |change: &dyn Fn([String; 2]) -> String| {
            let error = changed(|json| {
                let pem = certificates(json[member].as_str().unwrap());
                json[member] = change(pem).into();
            });
            assert_eq!(
                chain_of(&error),
                Some((chain, ChainFault::Untrusted)),
                "{member}"
            );
            assert_eq!(error.code(), ErrorCode::CollateralChainInvalid);
        };
        refused(&|[issuer, root]| format!("{issuer}{root}{root}"));
        refused(&|[issuer, root]| format!("{issuer}{}", root.repeat(5)));
        refused(&|[issuer, root]| format!("{issuer}{issuer}{root}"));
        refused(&|[issuer, _]| issuer.repeat(2));
        refused(&|[issuer, root]| format!("{root}{issuer}"));
        // The root's certificate in all but a bit of its signature; and the issuer's with more behind it.
        refused(&|[issuer, root]| {
            let other = rewritten(&root, |der| *der.last_mut().unwrap() ^= 1);
            format!("{issuer}{other}")
        });
        refused(&|[issuer, root]| rewritten(&issuer, |der| der.push(0)) + &root);
    }
}

/// `dcap-qvl` prefers it to the chain in the quote: one platform's would refuse every other platform of the family.
#[test]
fn a_pck_chain_in_the_collateral_is_refused() {
    for pem in ["", "-----BEGIN CERTIFICATE-----"] {
        let error = changed(|json| json["pck_certificate_chain"] = pem.into());
        assert_eq!(error, VerifyError::ForeignPckChain);
        assert_eq!(error.code(), ErrorCode::CollateralChainInvalid);
    }
    let own = changed(|json| {
        json["pck_certificate_chain"] = json["pck_crl_issuer_chain"].clone();
    });
    assert_eq!(own, VerifyError::ForeignPckChain);
}

#[test]
fn what_is_accepted_verifies_a_quote_of_the_family() {
    let scene = Scene::new();
    let quote = Quote::parse(&scene.evidence().quote).unwrap();
    let verifies = |collateral| match verify(collateral) {
        Ok(verified) => {
            let outcome = scene
                .verifier()
                .verify(&quote, verified.collateral(), NOW_S);
            assert!(outcome.is_ok(), "{outcome:?}");
            true
        }
        Err(_) => false,
    };
    assert!(verifies(scene.collateral()));
    let issuers_alone = with(|json| {
        for (member, _) in CHAINS {
            let [issuer, _] = certificates(json[member].as_str().unwrap());
            json[member] = issuer.into();
        }
    });
    assert!(verifies(issuers_alone));

    // No signature covers the frame: lengths, algorithm, the signature's own encoding.
    let member = "tcb_info_issuer_chain";
    let [issuer, root] = certificates(scene.collateral_member(member).as_str().unwrap());
    for_each_change_of_the_frame(&bytes_of(&issuer), |changed| {
        let changed = rewritten(&issuer, |der| *der = changed);
        if let Some(collateral) = with_member(member, &format!("{changed}{root}")) {
            verifies(collateral);
        }
    });
    for member in ["root_ca_crl", "pck_crl"] {
        let list = scene.collateral_member(member);
        let list = hex::decode(list.as_str().unwrap()).unwrap();
        for_each_change_of_the_frame(&list, |changed| {
            if let Some(collateral) = with_member(member, &hex::encode(changed)) {
                verifies(collateral);
            }
        });
    }
}

fn bytes_of(pem: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    rewritten(pem, |der| bytes.clone_from(der));
    bytes
}

/// One bit flipped near either end.
fn for_each_change_of_the_frame(der: &[u8], mut act: impl FnMut(Vec<u8>)) {
    for at in (0..8).chain(der.len() - 96..der.len()) {
        for bits in [0x01, 0x80] {
            let mut changed = der.to_vec();
            changed[at] ^= bits;
            act(changed);
        }
    }
}

/// The collateral with one member replaced, where that parses.
fn with_member(member: &str, text: &str) -> Option<Collateral> {
    let scene = Scene::new();
    let json = scene.platform.collateral_json(&scene.collateral);
    let mut json: Value = serde_json::from_str(&json).unwrap();
    json[member] = text.into();
    Collateral::from_json(json.to_string().as_bytes()).ok()
}
