//! Intel's own collateral verifies without a quote, under Intel's root and no other; with a byte changed it does not.

use std::{fs, path::PathBuf};

use attestation::{Collateral, Quote, TrustAnchor, Verifier, VerifyError};
use serde_json::Value;

use crate::{
    support::{directory, read, real_quote, root},
    table::Table,
};

/// Every file of recorded collateral that is in the form of a `QuoteCollateralV3`.
fn recorded(directory: &std::path::Path) -> Vec<(PathBuf, Collateral)> {
    let entries = fs::read_dir(directory.join("collateral")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter_map(|path| {
            let collateral = Collateral::from_json(&read(&path)).ok()?;
            Some((path, collateral))
        })
        .collect()
}

/// When the last of its parts was issued: all are in date then.
fn issued_s(collateral: &Collateral) -> u64 {
    let parts = collateral.validities().iter();
    parts.map(|part| part.issued_s).max().unwrap()
}

#[test]
fn intel_vouches_for_all_recorded_collateral() {
    let Some(directory) = directory("recorded collateral") else {
        return;
    };
    let intel = Verifier::new(TrustAnchor::intel());
    let foreign = Verifier::new(root(directory.join("peer-generated-phala/root_ca.der")));
    let recorded = recorded(&directory);
    let mut table = Table::default();
    for (path, collateral) in recorded {
        let now_s = issued_s(&collateral);
        let file = path.strip_prefix(&directory).unwrap().display().to_string();
        let verified = intel.verify_collateral(collateral.clone(), now_s);
        let got = verified.as_ref().map_or_else(
            |error| format!("reject {} {error}", error.code()),
            |_| "accept".to_owned(),
        );
        // Intel vouches for it as well, but one platform's PCK chain came with it.
        if collateral
            .to_json()
            .unwrap()
            .contains("pck_certificate_chain")
        {
            let is_refused = matches!(verified, Err(VerifyError::ForeignPckChain));
            table.row(&file, "reject E907", &got, is_refused);
            continue;
        }
        table.row(&file, "accept", &got, verified.is_ok());
        assert!(
            foreign
                .verify_collateral(collateral.clone(), now_s)
                .is_err()
        );
        assert!(collateral.family().is_some(), "{file}");
    }
    table.close(11);
}

#[test]
fn a_quote_and_its_collateral_are_of_one_family() {
    let Some(directory) = directory("families") else {
        return;
    };
    let (quote, collateral, _) = real_quote(&directory);
    let family = Quote::parse(&quote).unwrap().family().unwrap();
    assert_eq!(collateral.family(), Some(family));
    assert_eq!(family.to_string(), "b0c06f000000-platform");
}

/// Every part is covered by a signature: there is no byte of a list or a statement that may change.
#[test]
fn no_part_may_change() {
    let Some(directory) = directory("changed collateral") else {
        return;
    };
    let intel = Verifier::new(TrustAnchor::intel());
    let path = directory.join("collateral/tdx_b0c06f000000_2025-06-19_25e3ff.json");
    let json: Value = serde_json::from_slice(&read(path)).unwrap();
    let now_s = 1_750_646_964;
    for member in [
        "root_ca_crl",
        "pck_crl",
        "tcb_info_signature",
        "qe_identity_signature",
    ] {
        let text = json[member].as_str().unwrap();
        for at in (0..text.len()).step_by(7) {
            let mut digits = text.as_bytes().to_vec();
            digits[at] = if digits[at] == b'0' { b'1' } else { b'0' };
            let mut changed = json.clone();
            changed[member] = String::from_utf8(digits).unwrap().into();
            // Bytes that break the encoding do not even parse.
            if let Ok(collateral) = Collateral::from_json(changed.to_string().as_bytes()) {
                let refused = intel.verify_collateral(collateral, now_s);
                assert!(refused.is_err(), "{member}, digit {at}");
            }
        }
    }
}
