//! What in a policy without mistakes deserves a second look: rules that are wide open, and rules that nothing can satisfy.

use std::collections::{BTreeMap, BTreeSet};

use attestation::policy::rules::{Constraint, Presence, Rule};

use super::lint::Remark;

const HOUR_S: u64 = 3600;
const DAY_S: u64 = 24 * HOUR_S;
/// Collateral is issued daily and lives for 30 days: whoever needs more than a day past its end does not refresh it.
const COLLATERAL_GRACE_LONG_S: u64 = DAY_S;
/// Vendors ship a BIOS within weeks of Intel's publication; a quarter is generous.
const TCB_GRACE_LONG_S: u64 = 90 * DAY_S;
/// NVIDIA's responses live for a day.
const OCSP_GRACE_LONG_S: u64 = 2 * DAY_S;
/// Statuses of a platform that lacks updates that Intel has published.
const UPDATES_MISSING: [&str; 4] = [
    "OutOfDate",
    "OutOfDateConfigurationNeeded",
    "TDRelaunchAdvised",
    "TDRelaunchAdvisedConfigurationNeeded",
];

/// The warnings on `rules`, in their order.
pub(super) fn of(rules: &[Rule]) -> Vec<Remark> {
    rules
        .iter()
        .flat_map(|rule| {
            texts(rule)
                .into_iter()
                .map(|text| Remark::new(rule.path, text))
        })
        .collect()
}

fn texts(rule: &Rule) -> Vec<String> {
    match (&rule.constraint, rule.path) {
        (Constraint::Any, "platforms.enrolled") => vec![
            "any platform is admitted, also one whose keys somebody extracted with the machine in hand; list the PPIDs of \
             yours"
                .to_owned(),
        ],
        (Constraint::Any, "gpu.enrolled") => {
            vec!["any GPU of NVIDIA's is admitted; list the serials of yours".to_owned()]
        }
        (Constraint::OneOf(values), path) => one_of(path, values),
        (Constraint::NoneOf(values), "tcb.advisories_denied") if values.is_empty() => {
            vec!["no advisory is denied: the status alone decides".to_owned()]
        }
        (Constraint::AtLeast(floor), "tcb.evaluation_data_number_min") if floor.is_zero() => {
            vec![
                "collateral of any age is taken: an old TCB info may hide a newer recovery event"
                    .to_owned(),
            ]
        }
        (Constraint::GraceS(seconds), path) => grace(path, *seconds),
        (Constraint::Bits { mask, .. }, _) => bits(*mask),
        (Constraint::Presence(Presence::NotRequired), path) => not_required(path),
        (Constraint::References(known), path) => references(path, known),
        _ => Vec::new(),
    }
}

fn one_of(path: &str, values: &BTreeSet<String>) -> Vec<String> {
    if path == "tcb.statuses_in_grace" {
        return Vec::new();
    }
    if values.is_empty() {
        return vec!["the list is empty, so nothing is admitted".to_owned()];
    }
    if path != "tcb.statuses_allowed" {
        return Vec::new();
    }
    let wide = UPDATES_MISSING
        .iter()
        .filter(|status| values.contains(**status));
    wide.map(|status| {
        format!("{status} is allowed without an end; statuses_in_grace allows it until the updates are due")
    })
    .collect()
}

fn grace(path: &str, seconds: u64) -> Vec<String> {
    let (long, text) = match path {
        "tcb.grace_days" => (
            TCB_GRACE_LONG_S,
            "known holes may stay open for more than 90 days",
        ),
        "collateral.grace_hours" => (
            COLLATERAL_GRACE_LONG_S,
            "collateral counts for more than a day after its end: revocations of that time go unseen",
        ),
        "gpu.ocsp_grace_hours" => (
            OCSP_GRACE_LONG_S,
            "OCSP responses count for more than two days after their end: revocations of that time go unseen",
        ),
        _ => return Vec::new(),
    };
    if seconds > long {
        vec![text.to_owned()]
    } else {
        Vec::new()
    }
}

fn bits(mask: [u8; 8]) -> Vec<String> {
    match u64::from_le_bytes(mask).count_zeros() {
        0 => Vec::new(),
        64 => vec!["the mask is all zeros, so no bit is looked at".to_owned()],
        count => vec![format!("the mask leaves {count} of 64 bits unjudged")],
    }
}

fn not_required(path: &str) -> Vec<String> {
    let text = match path {
        "evidence.event_log" => {
            "no event log is demanded: when measurements differ, nobody can say which event did it"
        }
        "evidence.gpu" => "no GPU is attested, whatever a worker claims",
        "gpu.reference_measurements" => {
            "a GPU's measurements are compared with nothing: any firmware passes that its certificate names"
        }
        "gpu.ocsp" => "revocation of a GPU's certificates is not looked at",
        _ => return Vec::new(),
    };
    vec![text.to_owned()]
}

fn references(path: &str, known: &BTreeMap<String, String>) -> Vec<String> {
    let zeros = "0".repeat(96);
    let mut names = BTreeSet::new();
    let mut texts = Vec::new();
    for (values, name) in known {
        if values.contains(&zeros) {
            texts.push(format!(
                "{name} names a measurement of zeros: nothing was measured there"
            ));
        }
        if !names.insert(name) {
            texts.push(format!(
                "{name} names several entries of {path}: a transcript cannot tell them apart"
            ));
        }
    }
    texts
}
