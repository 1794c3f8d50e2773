//! Step 8: what was measured when the TD was built and booted.
//!
//! Platform profiles (firmware and VM shape: MRTD, RTMR0) and releases (boot image: RTMR1, RTMR2) are apart, so that
//! ten shapes and ten releases are twenty entries and not a hundred.

use crate::{AppraisalPolicy, ErrorCode, Evidence, VerifiedQuote, policy::Rtmr3Rule};

use super::{
    event_log,
    quote_alone::QUOTE_ALONE,
    steps::{Steps, Verdict, list},
};

pub(super) const NUMBER: u8 = 8;

pub(super) fn appraise(
    steps: &mut Steps,
    policy: &AppraisalPolicy,
    verified: &VerifiedQuote,
    evidence: Option<&Evidence>,
) {
    let Some(td) = verified.td() else {
        steps
            .step(NUMBER, "measurements", "a TD's")
            .fail(ErrorCode::QuoteNotTd, "an enclave's");
        return;
    };
    let [rtmr0, rtmr1, rtmr2, rtmr3] = td.rtmrs;
    let profile = policy
        .platform_profiles
        .iter()
        .find(|known| known.mrtd == td.mrtd && known.rtmr0 == rtmr0);
    let wanted = format!(
        "one of {}",
        list(policy.platform_profiles.iter().map(|known| &known.name))
    );
    steps.step(NUMBER, "platform profile", wanted).end(
        Verdict::from(profile.is_some()),
        ErrorCode::PlatformProfileUnknown,
        profile.map_or_else(
            || format!("MRTD {}, RTMR0 {rtmr0}", td.mrtd),
            |known| known.name.clone(),
        ),
    );
    let release = policy
        .releases
        .iter()
        .find(|known| known.rtmr1 == rtmr1 && known.rtmr2 == rtmr2);
    let wanted = format!(
        "one of {}",
        list(policy.releases.iter().map(|known| &known.name))
    );
    steps.step(NUMBER, "release", wanted).end(
        Verdict::from(release.is_some()),
        ErrorCode::ReleaseUnknown,
        release.map_or_else(
            || format!("RTMR1 {rtmr1}, RTMR2 {rtmr2}"),
            |known| known.name.clone(),
        ),
    );
    if let Rtmr3Rule::Listed(known) = &policy.td.rtmr3s {
        steps
            .step(NUMBER, "RTMR3", format!("one of {}", list(known)))
            .end(
                Verdict::from(known.contains(&rtmr3)),
                ErrorCode::Rtmr3Unknown,
                rtmr3.to_string(),
            );
    }
    match evidence {
        Some(evidence) => event_log::appraise(steps, policy.event_log, evidence, &td.rtmrs),
        None => steps
            .step(NUMBER, "event log", "a log that replays")
            .skip(QUOTE_ALONE),
    }
}
