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

/// The warnings on `rules`, in their order; then those that only show beside other rules.
pub(super) fn of(rules: &[Rule]) -> Vec<Remark> {
    let alone = rules.iter().flat_map(|rule| {
        let texts = texts(rule).into_iter();
        texts.map(|text| Remark::new(rule.path, text))
    });
    alone
        .chain(tcb_grace(rules))
        .chain(revoked(rules))
        .collect()
}

fn constraint<'a>(rules: &'a [Rule], path: &str) -> Option<&'a Constraint> {
    let rule = rules.iter().find(|rule| rule.path == path)?;
    Some(&rule.constraint)
}

/// Statuses and days of the grace mean nothing without each other.
fn tcb_grace(rules: &[Rule]) -> Option<Remark> {
    let statuses = constraint(rules, "tcb.statuses_in_grace")?;
    let days = constraint(rules, "tcb.grace_days")?;
    match (statuses, days) {
        (Constraint::OneOf(statuses), Constraint::GraceS(0)) if !statuses.is_empty() => Some(
            Remark::new("tcb.statuses_in_grace", "never allowed: grace_days is 0"),
        ),
        (Constraint::OneOf(statuses), Constraint::GraceS(1..)) if statuses.is_empty() => {
            Some(Remark::new(
                "tcb.grace_days",
                "nothing has this grace: statuses_in_grace is empty",
            ))
        }
        _ => None,
    }
}

/// Lists whose every entry is revoked again.
fn revoked(rules: &[Rule]) -> Vec<Remark> {
    let pairs = [
        ("platforms.enrolled", "platforms.revoked"),
        ("gpu.enrolled", "gpu.revoked"),
    ];
    let useless = pairs.into_iter().filter(|(enrolled, revoked)| {
        match (constraint(rules, enrolled), constraint(rules, revoked)) {
            (Some(Constraint::OneOf(enrolled)), Some(Constraint::NoneOf(revoked))) => {
                enrolled.is_subset(revoked)
            }
            _ => false,
        }
    });
    useless
        .map(|(enrolled, revoked)| {
            let text = format!("nothing is admitted: {revoked} names every entry");
            Remark::new(enrolled, text)
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
        (Constraint::OneOf(values), "tcb.statuses_allowed") => updates_missing(values),
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

fn updates_missing(values: &BTreeSet<String>) -> Vec<String> {
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
