//! Every refusal of the verifier that forged or mutated input can provoke, by its variant.

use attestation::{
    CertificateChain, ChainFault, Collateral, CollateralPart, ErrorCode, Quote, TcbStatus,
    TrustAnchor, Verifier, VerifyError,
};
use serde_json::{Value, json};
use simulator::{CollateralSigner, SimulatedPlatform};

use crate::scene::{NOW_S, Scene};

/// Offsets in a version 4 quote.
const BODY: usize = 48;
const SIGNATURE: usize = BODY + 584 + 4;
const ATTESTATION_KEY: usize = SIGNATURE + 64;
const QE_REPORT: usize = ATTESTATION_KEY + 64 + 6;
const QE_AUTHENTICATION_DATA: usize = QE_REPORT + 384 + 64 + 2;

fn verify(scene: &Scene, quote: &[u8], collateral: &Collateral) -> VerifyError {
    scene
        .verifier()
        .verify(&Quote::parse(quote).unwrap(), collateral, scene.now_s)
        .unwrap_err()
}

/// The refusal of a scene in which one thing was changed.
fn refusal(change: impl FnOnce(&mut Scene)) -> VerifyError {
    let mut scene = Scene::new();
    change(&mut scene);
    verify(&scene, &scene.evidence().quote, &scene.collateral())
}

/// The refusal of a good quote in which one byte was flipped.
fn flipped(at: usize) -> VerifyError {
    let scene = Scene::new();
    let mut quote = scene.evidence().quote;
    quote[at] ^= 1;
    verify(&scene, &quote, &scene.collateral())
}

/// The refusal under collateral of which one statement was changed and signed again.
fn restated(statement: &str, change: impl FnOnce(&mut Value)) -> VerifyError {
    let scene = Scene::new();
    let collateral = restated_collateral(&scene, statement, change);
    verify(&scene, &scene.evidence().quote, &collateral)
}

/// Collateral of which one statement was changed and signed again.
pub(crate) fn restated_collateral(
    scene: &Scene,
    statement: &str,
    change: impl FnOnce(&mut Value),
) -> Collateral {
    let mut collateral: Value =
        serde_json::from_str(&scene.platform.collateral_json(&scene.collateral)).unwrap();
    let mut value: Value = serde_json::from_str(collateral[statement].as_str().unwrap()).unwrap();
    change(&mut value);
    let text = value.to_string();
    collateral[format!("{statement}_signature")] =
        hex::encode(scene.platform.sign_statement(&text)).into();
    collateral[statement] = text.into();
    Collateral::from_json(collateral.to_string().as_bytes()).unwrap()
}

/// The refusal under collateral of which one member of the JSON was replaced.
fn replaced(member: &str, value: impl Into<Value>) -> VerifyError {
    let scene = Scene::new();
    let mut collateral: Value =
        serde_json::from_str(&scene.platform.collateral_json(&scene.collateral)).unwrap();
    collateral[member] = value.into();
    let collateral = Collateral::from_json(collateral.to_string().as_bytes()).unwrap();
    verify(&scene, &scene.evidence().quote, &collateral)
}

/// One member of another seed's collateral.
fn of_another_seed(member: &str) -> Value {
    let scene = Scene::new();
    let json = SimulatedPlatform::from_seed(99).collateral_json(&scene.collateral);
    serde_json::from_str::<Value>(&json).unwrap()[member].clone()
}

macro_rules! assert_refused {
    ($error:expr, $pattern:pat, $code:ident) => {{
        let error = $error;
        assert!(matches!(error, $pattern), "{error:?}");
        assert_eq!(error.code(), ErrorCode::$code);
    }};
}

#[test]
fn the_collateral_is_of_the_right_kind_and_in_date() {
    let scene = Scene::new();
    let sgx = scene.platform.sgx_quote(&[0; 64]);
    assert_refused!(
        verify(&scene, &sgx, &scene.collateral()),
        VerifyError::CollateralKind,
        CollateralWrongKind
    );
    let early = refusal(|scene| scene.now_s = NOW_S - 7200);
    assert_refused!(
        early,
        VerifyError::NotYetValid {
            part: CollateralPart::TcbInfo,
            ..
        },
        CollateralNotYetValid
    );
    let late = refusal(|scene| scene.now_s = NOW_S + 31 * 86400);
    assert_refused!(
        late,
        VerifyError::Expired {
            part: CollateralPart::TcbInfo,
            ..
        },
        CollateralExpired
    );
    let restated = restated("qe_identity", |qe| {
        qe["nextUpdate"] = "2026-01-01T00:00:00Z".into();
    });
    assert_refused!(
        restated,
        VerifyError::Expired {
            part: CollateralPart::QeIdentity,
            ..
        },
        CollateralExpired
    );
}

#[test]
fn revocation_lists_are_in_date_and_of_their_issuers() {
    for (member, part) in [
        ("root_ca_crl", CollateralPart::RootCrl),
        ("pck_crl", CollateralPart::PckCrl),
    ] {
        let mut scene = Scene::new();
        scene.collateral.valid_for_s = 0;
        let old: Value =
            serde_json::from_str(&scene.platform.collateral_json(&scene.collateral)).unwrap();
        scene.collateral = Scene::new().collateral;
        scene.now_s += 1;
        let mut fresh: Value =
            serde_json::from_str(&scene.platform.collateral_json(&scene.collateral)).unwrap();
        fresh[member] = old[member].clone();
        let collateral = Collateral::from_json(fresh.to_string().as_bytes()).unwrap();
        let error = verify(&scene, &scene.evidence().quote, &collateral);
        assert!(
            matches!(&error, VerifyError::Expired { part: found, .. } if *found == part),
            "{error:?}"
        );
        assert_eq!(error.code(), ErrorCode::CrlExpired);
    }
    let root = replaced("root_ca_crl", of_another_seed("root_ca_crl"));
    assert_refused!(
        root,
        VerifyError::Crl {
            part: CollateralPart::RootCrl,
            ..
        },
        CrlInvalid
    );
    let pck = replaced("pck_crl", of_another_seed("pck_crl"));
    let wanted = VerifyError::Chain {
        chain: CertificateChain::Pck,
        fault: ChainFault::RevocationUnknown,
        source: source(&pck),
    };
    assert_eq!(pck, wanted);
    assert_eq!(pck.code(), ErrorCode::CrlInvalid);
}

fn source(error: &VerifyError) -> attestation::Details {
    match error {
        VerifyError::Chain { source, .. } => source.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn chains_end_in_the_trust_anchor() {
    let scene = Scene::new();
    let quote = Quote::parse(&scene.evidence().quote).unwrap();
    let under_intel = Verifier::new(TrustAnchor::intel())
        .verify(&quote, &scene.collateral(), NOW_S)
        .unwrap_err();
    assert_refused!(
        under_intel,
        VerifyError::Crl {
            part: CollateralPart::RootCrl,
            ..
        },
        CrlInvalid
    );

    let signer = refusal(|scene| scene.collateral.signer = CollateralSigner::OtherSeed(99));
    assert_chain(&signer, CertificateChain::TcbInfo, ChainFault::Untrusted);
    assert_eq!(signer.code(), ErrorCode::CollateralChainInvalid);
    let identity = replaced(
        "qe_identity_issuer_chain",
        of_another_seed("qe_identity_issuer_chain"),
    );
    assert_chain(
        &identity,
        CertificateChain::QeIdentity,
        ChainFault::Untrusted,
    );

    let other = SimulatedPlatform::from_seed(99).quote(scene.version, &scene.td, &[0; 64]);
    let pck = verify(&scene, &other, &scene.collateral());
    assert_chain(&pck, CertificateChain::Pck, ChainFault::Untrusted);
    assert_eq!(pck.code(), ErrorCode::PckChainInvalid);
}

fn assert_chain(error: &VerifyError, chain: CertificateChain, fault: ChainFault) {
    assert_eq!(
        error,
        &VerifyError::Chain {
            chain,
            fault,
            source: source(error)
        }
    );
}

#[test]
fn revoked_certificates_are_refused() {
    let pck = refusal(|scene| scene.collateral.revoke_pck = true);
    assert_chain(&pck, CertificateChain::Pck, ChainFault::Revoked);
    assert_eq!(pck.code(), ErrorCode::PckRevoked);
    let authority = refusal(|scene| scene.collateral.revoke_platform_ca = true);
    assert_chain(&authority, CertificateChain::Pck, ChainFault::Revoked);
}

#[test]
fn the_pck_certificate_is_in_date() {
    for (from_s, to_s, fault) in [
        (NOW_S - 100, NOW_S - 1, ChainFault::Expired),
        (NOW_S + 1, NOW_S + 100, ChainFault::NotYetValid),
    ] {
        let mut scene = Scene::new();
        scene.platform = scene.platform.with_pck_validity(from_s, to_s);
        let error = verify(&scene, &scene.evidence().quote, &scene.collateral());
        assert_chain(&error, CertificateChain::Pck, fault);
        assert_eq!(error.code(), ErrorCode::PckChainExpired);
    }
    let mut scene = Scene::new();
    scene.platform = scene.platform.with_pck_validity(NOW_S - 100, NOW_S + 100);
    let quote = Quote::parse(&scene.evidence().quote).unwrap();
    let verified = scene.verifier().verify(&quote, &scene.collateral(), NOW_S);
    assert!(verified.is_ok(), "{verified:?}");
}

#[test]
fn a_revoked_root_verifies_nothing() {
    let error = refusal(|scene| scene.collateral.revoke_root = true);
    assert_refused!(error, VerifyError::TrustAnchor(_), TrustAnchorInvalid);
}

#[test]
fn signatures_hold() {
    let tcb_info = refusal(|scene| scene.collateral.signer = CollateralSigner::CorruptTcbInfo);
    assert_refused!(
        tcb_info,
        VerifyError::TcbInfoSignature(_),
        CollateralSignatureInvalid
    );
    let identity = refusal(|scene| scene.collateral.signer = CollateralSigner::CorruptQeIdentity);
    assert_refused!(
        identity,
        VerifyError::QeIdentitySignature(_),
        CollateralSignatureInvalid
    );
    assert_refused!(
        flipped(BODY),
        VerifyError::QuoteSignature(_),
        QuoteSignatureInvalid
    );
    assert_refused!(
        flipped(SIGNATURE + 8),
        VerifyError::QuoteSignature(_),
        QuoteSignatureInvalid
    );
    assert_refused!(
        flipped(QE_REPORT),
        VerifyError::QeReportSignature(_),
        QeReportSignatureInvalid
    );
    assert_refused!(
        flipped(ATTESTATION_KEY),
        VerifyError::AttestationKey(_),
        AttestationKeyUnbound
    );
    assert_refused!(
        flipped(QE_AUTHENTICATION_DATA),
        VerifyError::AttestationKey(_),
        AttestationKeyUnbound
    );
}

#[test]
fn the_quoting_enclave_is_the_described_one() {
    let qe = |change: fn(&mut Value)| restated("qe_identity", change);
    assert_refused!(
        qe(|qe| qe["mrsigner"] = "AB".repeat(32).into()),
        VerifyError::QeSigner(_),
        QeIdentityMismatch
    );
    assert_refused!(
        qe(|qe| qe["isvprodid"] = 9.into()),
        VerifyError::QeProduct(_),
        QeIdentityMismatch
    );
    assert_refused!(
        qe(|qe| qe["miscselect"] = "01000000".into()),
        VerifyError::QeMiscSelect(_),
        QeIdentityMismatch
    );
    let mut scene = Scene::new();
    scene.platform = scene.platform.with_debuggable_qe();
    let debuggable = verify(&scene, &scene.evidence().quote, &scene.collateral());
    assert_refused!(debuggable, VerifyError::QeDebug(_), QeIdentityMismatch);
    let attributes = qe(|qe| qe["attributes"] = "31000000000000000000000000000000".into());
    assert_refused!(attributes, VerifyError::QeAttributes(_), QeIdentityMismatch);
    let level = qe(|qe| qe["tcbLevels"][0]["tcb"]["isvsvn"] = 99.into());
    assert_refused!(level, VerifyError::QeTcbLevel(_), QeTcbLevelNotFound);
    assert_refused!(
        qe(|qe| qe["tcbLevels"] = json!([])),
        VerifyError::QeTcbLevel(_),
        QeTcbLevelNotFound
    );
    assert_refused!(
        qe(|qe| qe["version"] = 9.into()),
        VerifyError::QeIdentityKind(_),
        CollateralWrongKind
    );
    let status = qe(|qe| qe["tcbLevels"][0]["tcbStatus"] = "SWHardeningNeeded".into());
    assert_refused!(status, VerifyError::TcbStatus(_), CollateralMalformed);
}

/// The SGX components of the first level. One too many sorts before the others, one too few behind them.
fn components(tcb_info: &mut Value) -> &mut Vec<Value> {
    tcb_info["tcbLevels"][0]["tcb"]["sgxtcbcomponents"]
        .as_array_mut()
        .unwrap()
}

#[test]
fn the_tcb_info_fits_the_platform() {
    let fmspc = refusal(|scene| scene.collateral.fmspc = *b"OTHER1");
    assert_refused!(fmspc, VerifyError::Fmspc(_), TcbInfoMismatch);
    // The verification library lets this one pass.
    let pce_id = refusal(|scene| scene.collateral.pce_id = [0, 1]);
    assert_refused!(
        pce_id,
        VerifyError::PceId {
            certificate: [0, 0],
            tcb_info: [0, 1]
        },
        PceIdMismatch
    );

    let tcb = |change: fn(&mut Value)| restated("tcb_info", change);
    assert_refused!(
        tcb(|tcb| tcb["version"] = 2.into()),
        VerifyError::TcbInfoKind(_),
        CollateralWrongKind
    );
    assert_refused!(
        tcb(|tcb| tcb["tcbLevels"] = json!([])),
        VerifyError::TcbLevel(_),
        TcbLevelNotFound
    );
    let sgx = tcb(|tcb| components(tcb).push(json!({ "svn": 0 })));
    assert_refused!(sgx, VerifyError::TcbComponents(_), CollateralMalformed);
    let tdx = tcb(|tcb| tcb["tcbLevels"][0]["tcb"]["tdxtcbcomponents"] = json!([]));
    assert_refused!(tdx, VerifyError::TcbComponents(_), CollateralMalformed);
    let status = tcb(|tcb| tcb["tcbLevels"][0]["tcbStatus"] = "TDRelaunchAdvised".into());
    assert_refused!(status, VerifyError::TcbStatus(_), CollateralMalformed);
}

#[test]
fn the_tdx_module_is_a_described_one() {
    let tcb = |change: fn(&mut Value)| restated("tcb_info", change);
    let signer = tcb(|tcb| tcb["tdxModuleIdentities"][0]["mrsigner"] = "AB".repeat(48).into());
    assert_refused!(signer, VerifyError::TdxModule(_), TdxModuleUnknown);
    let unknown = tcb(|tcb| tcb["tdxModuleIdentities"] = json!([]));
    assert_refused!(unknown, VerifyError::TdxModule(_), TdxModuleUnknown);
    let old = tcb(|tcb| tcb["tdxModuleIdentities"][0]["tcbLevels"][0]["tcb"]["isvsvn"] = 99.into());
    assert_refused!(old, VerifyError::TdxModule(_), TdxModuleUnknown);
    let status = tcb(|tcb| {
        tcb["tdxModuleIdentities"][0]["tcbLevels"][0]["tcbStatus"] = "ConfigurationNeeded".into();
    });
    assert_refused!(status, VerifyError::TcbStatus(_), CollateralMalformed);
}

#[test]
fn revoked_levels_are_refused_whoever_has_them() {
    let changes: [fn(&mut Scene); 3] = [
        |scene| scene.collateral.tcb_status = TcbStatus::Revoked,
        |scene| scene.collateral.module_status = TcbStatus::Revoked,
        |scene| scene.collateral.qe_status = TcbStatus::Revoked,
    ];
    for change in changes {
        assert_refused!(refusal(change), VerifyError::Revoked(_), TcbRevoked);
    }
}

#[test]
fn td_attributes_that_nobody_may_allow_end_verification() {
    let attributes = |bits: u64| refusal(move |scene| scene.td.attributes_more = bits);
    assert_refused!(
        attributes(1 << 32),
        VerifyError::TdReserved(_),
        TdAttributesReserved
    );
    assert_refused!(
        attributes(1 << 29),
        VerifyError::TdMigratable(_),
        TdMigratable
    );
    assert_refused!(
        attributes(1 << 17),
        VerifyError::TdServiceTd(_),
        ServiceTdPresent
    );
    let sept_ve = refusal(|scene| scene.td.sept_ve_disable = false);
    assert_refused!(sept_ve, VerifyError::TdSeptVe(_), SeptVeDisableClear);
}

#[test]
fn the_pck_certificate_is_carried_and_reads() {
    let scene = Scene::new();
    let mut quote = scene.evidence().quote;
    let kind = QE_AUTHENTICATION_DATA + 32;
    quote[kind] = 3;
    let error = verify(&scene, &quote, &scene.collateral());
    assert_refused!(
        error,
        VerifyError::CertificationData(3),
        CertificationDataUnsupported
    );
    let mut quote = scene.evidence().quote;
    quote[kind + 2 + 4 + 100] = b'!';
    let error = verify(&scene, &quote, &scene.collateral());
    assert_refused!(
        error,
        VerifyError::PckCertificate(_),
        PckCertificateMalformed
    );
    let chain = scene.collateral_member("tcb_info_issuer_chain");
    assert_refused!(
        replaced("pck_certificate_chain", chain),
        VerifyError::PckCertificate(_),
        PckCertificateMalformed
    );
}
