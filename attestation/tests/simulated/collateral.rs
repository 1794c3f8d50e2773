//! Collateral that does not parse, by name.

use attestation::{
    Collateral, CollateralError, CollateralPart, Tee, collateral::COLLATERAL_BYTES_MAX,
};
use serde_json::Value;

use crate::scene::{NOW_S, Scene};

fn json() -> Value {
    let scene = Scene::new();
    serde_json::from_str(&scene.platform.collateral_json(&scene.collateral)).unwrap()
}

/// The refusal of collateral of which one member was replaced.
fn replaced(member: &str, value: impl Into<Value>) -> CollateralError {
    let mut json = json();
    json[member] = value.into();
    Collateral::from_json(json.to_string().as_bytes()).unwrap_err()
}

/// The refusal of collateral of which one field of a statement was replaced.
fn restated(statement: &str, field: &str, value: &str) -> CollateralError {
    let mut inner: Value = serde_json::from_str(json()[statement].as_str().unwrap()).unwrap();
    inner[field] = value.into();
    replaced(statement, inner.to_string())
}

#[test]
fn good_collateral_says_what_it_is_for_and_until_when() {
    let collateral = Scene::new().collateral();
    assert_eq!(
        (collateral.tee(), collateral.fmspc(), collateral.pce_id()),
        (Tee::Tdx, simulator::FMSPC, [0, 0])
    );
    assert_eq!(collateral.evaluation_data_number(), 17);
    assert_eq!(
        collateral.next_update_s(),
        NOW_S + Scene::new().collateral.valid_for_s
    );
    assert!(
        collateral
            .validities()
            .iter()
            .all(|validity| validity.issued_s == NOW_S - 3600)
    );
    let again = Collateral::from_json(collateral.to_json().unwrap().as_bytes()).unwrap();
    assert_eq!(again, collateral);
}

#[test]
fn the_whole_is_refused_by_name() {
    let long = vec![b' '; COLLATERAL_BYTES_MAX + 1];
    assert!(matches!(
        Collateral::from_json(&long),
        Err(CollateralError::TooLong(_))
    ));
    assert!(matches!(
        Collateral::from_json(b"{}"),
        Err(CollateralError::Json(_))
    ));
    assert!(matches!(
        replaced("root_ca_crl", "zz"),
        CollateralError::Json(_)
    ));
}

#[test]
fn each_part_is_refused_by_name() {
    assert!(matches!(
        replaced("tcb_info", "{}"),
        CollateralError::TcbInfo(_)
    ));
    assert!(matches!(
        replaced("qe_identity", "{}"),
        CollateralError::QeIdentity(_)
    ));
    for chain in ["tcb_info_issuer_chain", "qe_identity_issuer_chain"] {
        assert!(matches!(
            replaced(chain, ""),
            CollateralError::IssuerChain(_)
        ));
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(
            replaced(chain, nonsense),
            CollateralError::IssuerChain(_)
        ));
    }
    for signature in ["tcb_info_signature", "qe_identity_signature"] {
        assert!(matches!(
            replaced(signature, "00"),
            CollateralError::Signature(_)
        ));
    }
    assert!(matches!(
        replaced("root_ca_crl", "3000"),
        CollateralError::Crl(CollateralPart::RootCrl)
    ));
    assert!(matches!(
        replaced("pck_crl", "3000"),
        CollateralError::Crl(CollateralPart::PckCrl)
    ));
}

#[test]
fn each_field_is_refused_by_name() {
    assert!(matches!(
        restated("qe_identity", "id", "QE"),
        CollateralError::Kinds { .. }
    ));
    assert!(matches!(
        restated("tcb_info", "id", "SEV"),
        CollateralError::Kinds { .. }
    ));
    assert!(matches!(
        restated("tcb_info", "fmspc", "00"),
        CollateralError::Digits("fmspc")
    ));
    assert!(matches!(
        restated("tcb_info", "pceId", "zzzz"),
        CollateralError::Digits("pceId")
    ));
    let date = restated("tcb_info", "nextUpdate", "tomorrow");
    assert!(matches!(
        date,
        CollateralError::Dates(CollateralPart::TcbInfo)
    ));
    let date = restated("qe_identity", "issueDate", "1950-01-01T00:00:00Z");
    assert!(matches!(
        date,
        CollateralError::Dates(CollateralPart::QeIdentity)
    ));
}
