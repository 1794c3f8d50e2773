//! What collateral says: for which platforms it is, from when until when.

use attestation::{Collateral, CollateralPart, Tee, rfc_3339};

use super::NOT_VERIFIED;
use crate::output::Section;

pub(super) fn section(bytes: &[u8]) -> anyhow::Result<Section> {
    Ok(describe(&Collateral::from_json(bytes)?))
}

pub(super) fn describe(collateral: &Collateral) -> Section {
    let tee = match collateral.tee() {
        Tee::Sgx => "SGX",
        Tee::Tdx => "TDX",
    };
    let section = Section::new("collateral")
        .field("tee", tee)
        .bytes("fmspc", collateral.fmspc())
        .bytes("pce_id", collateral.pce_id())
        .field(
            "evaluation_data_number",
            collateral.evaluation_data_number(),
        )
        .field("claimed_root", collateral.claimed_root());
    let section = collateral
        .validities()
        .iter()
        .fold(section, |section, validity| {
            let (issued, next_update) = names(validity.part);
            section
                .field(issued, rfc_3339(validity.issued_s))
                .field(next_update, rfc_3339(validity.next_update_s))
        });
    section
        .field("next_update", rfc_3339(collateral.next_update_s()))
        .field("verified", NOT_VERIFIED)
}

const fn names(part: CollateralPart) -> (&'static str, &'static str) {
    match part {
        CollateralPart::TcbInfo => ("tcb_info_issued", "tcb_info_next_update"),
        CollateralPart::QeIdentity => ("qe_identity_issued", "qe_identity_next_update"),
        CollateralPart::RootCrl => ("root_crl_issued", "root_crl_next_update"),
        CollateralPart::PckCrl => ("pck_crl_issued", "pck_crl_next_update"),
    }
}
