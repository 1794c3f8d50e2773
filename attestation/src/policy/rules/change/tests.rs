//! Tests of comparing policies: each kind of rule, each way.

use super::*;
use crate::policy::tests::{RTMR3, policy_toml};

/// What replacing one text in the policy changes: path, direction, and how many effects.
fn changed(from: &str, to: &str) -> Vec<(&'static str, Direction, usize)> {
    let old = policy_toml();
    assert!(old.contains(from), "{from}");
    let new = old.replacen(from, to, 1);
    let parse = |text: &str| AppraisalPolicy::from_toml(text).unwrap();
    let changes = parse(&old).changes(&parse(&new));
    changes
        .iter()
        .map(|change| (change.path, change.direction, change.effects.len()))
        .collect()
}

/// One key changes one way, and back the other way.
fn goes(from: &str, to: &str, path: &'static str, direction: Direction) {
    assert_eq!(changed(from, to), [(path, direction, 1)], "{from} -> {to}");
    let old = policy_toml().replacen(from, to, 1);
    let parse = |text: &str| AppraisalPolicy::from_toml(text).unwrap();
    let back = parse(&old).changes(&parse(&policy_toml()));
    let reverse = match direction {
        Direction::Stricter => Direction::Laxer,
        Direction::Laxer => Direction::Stricter,
        same @ (Direction::Other | Direction::Neutral) => same,
    };
    assert_eq!(back.len(), 1, "{back:?}");
    assert_eq!(back[0].direction, reverse, "{to} -> {from}");
}

#[test]
fn the_same_rules_in_other_words_are_no_change() {
    let text = policy_toml().replace(
        r#"["UpToDate", "SWHardeningNeeded"]"#,
        r#"["SWHardeningNeeded", "UpToDate"] # turned round"#,
    );
    let parse = |text: &str| AppraisalPolicy::from_toml(text).unwrap();
    assert_eq!(parse(&policy_toml()).changes(&parse(&text)), []);
}

#[test]
fn each_kind_of_rule_on_platforms_knows_which_way_is_stricter() {
    use Direction::{Laxer, Stricter};
    goes(
        r#", "SWHardeningNeeded""#,
        "",
        "tcb.statuses_allowed",
        Stricter,
    );
    goes(
        "INTEL-SA-00837\"",
        "INTEL-SA-00837\", \"INTEL-SA-00001\"",
        "tcb.advisories_denied",
        Stricter,
    );
    goes(
        "_min = 17",
        "_min = 18",
        "tcb.evaluation_data_number_min",
        Stricter,
    );
    goes(
        "grace_days = 30",
        "grace_days = 31",
        "tcb.grace_days",
        Laxer,
    );
    goes(
        "grace_hours = 2",
        "grace_hours = 0",
        "collateral.grace_hours",
        Stricter,
    );
    goes(
        r#"measurements = "any""#,
        &format!("measurements = [\"{RTMR3}\"]"),
        "seam.measurements",
        Stricter,
    );
}

#[test]
fn each_kind_of_rule_on_evidence_knows_which_way_is_stricter() {
    use Direction::{Laxer, Neutral, Other, Stricter};
    goes(
        r#"gpu = "if-claimed""#,
        r#"gpu = "required""#,
        "evidence.gpu",
        Stricter,
    );
    goes(
        r#"event_log = "required""#,
        r#"event_log = "not-required""#,
        "evidence.event_log",
        Laxer,
    );
    goes(
        "550.90.07",
        "550.144.03",
        "gpu.driver_version_min",
        Stricter,
    );
    goes(
        "96.00.9F.00.01",
        "96.00.5E.00.01",
        "gpu.vbios_versions_min",
        Laxer,
    );
    goes(
        r#"hopper = "96.00.9F.00.01""#,
        r#"hopper = "96.00.9F.00.01", blackwell = "97.00.88.00.0F""#,
        "gpu.vbios_versions_min",
        Laxer,
    );
    goes(
        r#"name = "release""#,
        r#"name = "another""#,
        "releases",
        Neutral,
    );
    goes(
        &format!("rtmr3s = [\"{RTMR3}\"]"),
        "rtmr3s = \"replayed\"",
        "td.rtmr3s",
        Other,
    );
}

#[test]
fn a_new_name_beside_a_new_value_does_not_count() {
    let zero = "0".repeat(96);
    let release = format!("[[releases]]\nname = \"release\"\nrtmr1 = \"{zero}\"");
    let more = format!(
        "[[releases]]\nname = \"next\"\nrtmr1 = \"{}\"\nrtmr2 = \"{zero}\"\n{}",
        "1".repeat(96),
        release.replace("\"release\"", "\"former\"")
    );
    assert_eq!(
        changed(&release, &more),
        [("releases", Direction::Laxer, 2)]
    );
}

#[test]
fn bits_are_compared_by_what_they_let_through() {
    use Direction::{Laxer, Other};
    goes(
        r#"attributes_mask = "ffffffffffffffff""#,
        r#"attributes_mask = "ffffffff00000000""#,
        "td.attributes",
        Laxer,
    );
    goes(
        r#"attributes_required = "0000001000000000""#,
        r#"attributes_required = "0000001100000000""#,
        "td.attributes",
        Other,
    );
}

#[test]
fn what_is_exchanged_is_both_and_each_effect_is_told() {
    let both = changed(r#""SWHardeningNeeded""#, r#""ConfigurationNeeded""#);
    assert_eq!(both, [("tcb.statuses_allowed", Direction::Other, 2)]);
    let zero = "0".repeat(96);
    let release = changed(
        &format!("rtmr1 = \"{zero}\""),
        &format!("rtmr1 = \"{}\"", "1".repeat(96)),
    );
    assert_eq!(release, [("releases", Direction::Other, 2)]);
}

#[test]
fn rules_on_gpus_come_and_go_with_the_demand() {
    let text = policy_toml().replace("if-claimed", "not-required");
    let (without, _) = text.split_once("[gpu]").unwrap();
    let parse = |text: &str| AppraisalPolicy::from_toml(text).unwrap();
    let gone = parse(&policy_toml()).changes(&parse(without));
    assert_eq!(gone.len(), 9, "{gone:?}");
    assert!(
        gone.iter()
            .all(|change| change.direction == Direction::Laxer)
    );
    let come = parse(without).changes(&parse(&policy_toml()));
    assert!(
        come.iter()
            .all(|change| change.direction == Direction::Stricter)
    );
}
