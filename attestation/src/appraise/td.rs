//! Step 6: the TD's mode, and what was fixed when it was created.

use std::collections::BTreeSet;

use crate::{
    AppraisalPolicy, ErrorCode, Measurement, TdQuoteBody, VerifiedQuote,
    policy::{Allowed, MaskedBits},
};

use super::steps::{Steps, Verdict, list};

pub(super) const NUMBER: u8 = 6;

pub(super) fn appraise(steps: &mut Steps, policy: &AppraisalPolicy, verified: &VerifiedQuote) {
    let Some(td) = verified.td() else {
        // Step 3 lets no other quote through; if it did, the appraisal would fail here.
        steps
            .step(NUMBER, "TD", "a TD")
            .fail(ErrorCode::QuoteNotTd, "an enclave");
        return;
    };
    mode(steps, td);
    bits(
        steps,
        "TD attributes",
        policy.td.attributes,
        td.td_attributes.0,
        ErrorCode::TdAttributesMismatch,
    );
    bits(
        steps,
        "XFAM",
        policy.td.xfam,
        td.xfam,
        ErrorCode::XfamMismatch,
    );
    let (rules, seam) = (&policy.td, &policy.seam);
    listed(
        steps,
        "MRCONFIGID",
        &rules.mr_config_ids,
        td.mr_config_id,
        ErrorCode::MrConfigIdUnknown,
    );
    listed(
        steps,
        "MROWNER",
        &rules.mr_owners,
        td.mr_owner,
        ErrorCode::MrOwnerUnknown,
    );
    listed(
        steps,
        "MROWNERCONFIG",
        &rules.mr_owner_configs,
        td.mr_owner_config,
        ErrorCode::MrOwnerConfigUnknown,
    );
    listed(
        steps,
        "TDX module signer",
        &seam.signers,
        td.mr_signer_seam,
        ErrorCode::SeamSignerUnknown,
    );
    match &seam.measurements {
        Allowed::Any => {
            steps
                .step(NUMBER, "TDX module (MRSEAM)", "any that TCB info describes")
                .pass(td.mr_seam.to_string());
        }
        Allowed::Listed(known) => {
            listed(
                steps,
                "TDX module (MRSEAM)",
                known,
                td.mr_seam,
                ErrorCode::SeamMeasurementUnknown,
            );
        }
    }
}

/// What no policy can allow. Migratable TDs, reserved bits and a clear `SEPT_VE_DISABLE` end in step 4 already; they
/// are looked at once more, since it costs nothing not to rely on another library's taste.
fn mode(steps: &mut Steps, td: &TdQuoteBody) {
    let attributes = td.td_attributes;
    let bits = attributes.to_string();
    let mut refuse = |name, wanted: &str, present: bool, code| {
        steps
            .step(NUMBER, name, wanted)
            .end(Verdict::from(!present), code, bits.clone());
    };
    refuse(
        "TD not debuggable",
        "bit 0 clear",
        attributes.debug(),
        ErrorCode::TdDebuggable,
    );
    refuse(
        "TD not under profiling",
        "bits 4 to 6 clear",
        attributes.profiling(),
        ErrorCode::TdProfilable,
    );
    refuse(
        "TD not migratable",
        "bit 29 clear",
        attributes.migratable(),
        ErrorCode::TdMigratable,
    );
    let clear = !attributes.sept_ve_disable();
    refuse(
        "SEPT_VE_DISABLE",
        "bit 28 set",
        clear,
        ErrorCode::SeptVeDisableClear,
    );
    let verdict = Verdict::from(!td.has_service_td());
    let seen = td.td15.as_ref().map_or_else(
        || td.layout().to_owned(),
        |td15| td15.mr_service_td.to_string(),
    );
    steps
        .step(NUMBER, "service TD", "absent")
        .end(verdict, ErrorCode::ServiceTdPresent, seen);
}

fn bits(steps: &mut Steps, name: &'static str, rule: MaskedBits, seen: [u8; 8], code: ErrorCode) {
    let wanted = format!(
        "{} under mask {}",
        hex::encode(rule.required),
        hex::encode(rule.mask)
    );
    steps
        .step(NUMBER, name, wanted)
        .end(Verdict::from(rule.fit(seen)), code, hex::encode(seen));
}

fn listed(
    steps: &mut Steps,
    name: &'static str,
    known: &BTreeSet<Measurement>,
    seen: Measurement,
    code: ErrorCode,
) {
    let step = steps.step(NUMBER, name, format!("one of {}", list(known)));
    step.end(Verdict::from(known.contains(&seen)), code, seen.to_string());
}
