//! Tests of the appraisal policy: complete or refused, every mistake with its path.

use super::*;

const ZERO: &str = "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000";
/// What a TD shows that has extended something.
pub(crate) const RTMR3: &str = "333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333333";

pub(crate) fn policy_toml() -> String {
    format!(
        r#"
schema = 1
[tcb]
statuses_allowed = ["UpToDate", "SWHardeningNeeded"]
advisories_denied = ["INTEL-SA-00837"]
evaluation_data_number_min = 17
statuses_in_grace = ["OutOfDate"]
grace_days = 30
[collateral]
grace_hours = 2
[td]
attributes_mask = "ffffffffffffffff"
attributes_required = "0000001000000000"
xfam_mask = "ffffffffffffffff"
xfam_required = "e702060000000000"
mr_config_ids = ["{ZERO}"]
mr_owners = ["{ZERO}"]
mr_owner_configs = ["{ZERO}"]
rtmr3s = ["{RTMR3}"]
service_td = "absent"
[seam]
signers = ["{ZERO}"]
measurements = "any"
[[platform_profiles]]
name = "profile"
mrtd = "{ZERO}"
rtmr0 = "{ZERO}"
[[releases]]
name = "release"
rtmr1 = "{ZERO}"
rtmr2 = "{ZERO}"
[platforms]
enrolled = "any"
revoked = ["d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0"]
[evidence]
event_log = "required"
gpu = "if-claimed"
[gpu]
driver_version_min = "550.90.07"
driver_versions_denied = ["555.01"]
vbios_versions_min = {{ hopper = "96.00.9F.00.01" }}
reference_measurements = "required"
ocsp = "required"
ocsp_grace_hours = 1
enrolled = "any"
revoked = ["0123"]
"#
    )
}

fn mistakes(text: &str) -> Vec<String> {
    match AppraisalPolicy::from_toml(text) {
        Err(PolicyError::Mistakes(mistakes)) => mistakes,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_complete_policy_parses() {
    let policy = AppraisalPolicy::from_toml(&policy_toml()).unwrap();
    assert_eq!(policy.collateral_grace_s(), 7200);
    assert_eq!(policy.tcb.statuses_allowed.len(), 2);
    assert!(policy.platforms.enrolled.allows(&[1; 16]));
    assert_eq!(
        policy.digest(),
        AppraisalPolicy::from_toml(policy.text()).unwrap().digest()
    );
}

#[test]
fn rules_that_nobody_would_apply_are_a_mistake() {
    let without_gpu = policy_toml().replace("if-claimed", "not-required");
    assert_eq!(
        mistakes(&without_gpu),
        ["gpu: is never applied: evidence.gpu is \"not-required\""]
    );
    let (before, _) = without_gpu.split_once("[gpu]").unwrap();
    assert!(AppraisalPolicy::from_toml(before).is_ok());
    let table_missing = policy_toml();
    let (before, _) = table_missing.split_once("[gpu]").unwrap();
    assert_eq!(mistakes(before), ["gpu: missing"]);
}

#[test]
fn a_register_is_replayed_only_from_a_log_that_is_required() {
    let replayed =
        policy_toml().replace(&format!("rtmr3s = [\"{RTMR3}\"]"), "rtmr3s = \"replayed\"");
    assert!(AppraisalPolicy::from_toml(&replayed).is_ok());
    let without_log = replayed.replace("event_log = \"required\"", "event_log = \"not-required\"");
    assert_eq!(
        mistakes(&without_log),
        ["td.rtmr3s: `replayed` wants evidence.event_log = \"required\""]
    );
}

/// The closing event is extended into RTMR3: a log that is required leaves no zeros there.
#[test]
fn zeros_that_a_required_log_rules_out_are_a_mistake() {
    let zeros = policy_toml().replace(RTMR3, ZERO);
    assert_eq!(
        mistakes(&zeros),
        [
            "td.rtmr3s: zeros admit nobody with evidence.event_log = \"required\": the log's closing event is \
             extended into RTMR3; write \"replayed\", or the register's value"
        ]
    );
    let without_log = zeros.replace("event_log = \"required\"", "event_log = \"not-required\"");
    assert!(AppraisalPolicy::from_toml(&without_log).is_ok());
    let beside_another = policy_toml().replace(
        &format!("[\"{RTMR3}\"]"),
        &format!("[\"{ZERO}\", \"{RTMR3}\"]"),
    );
    assert!(AppraisalPolicy::from_toml(&beside_another).is_ok());
}

#[test]
fn every_missing_key_is_named() {
    let complete = policy_toml();
    let mut header = String::new();
    for line in complete.lines().filter(|line| !line.is_empty()) {
        let path = match line.split_once(" = ") {
            None => {
                header = line.trim_matches(['[', ']']).to_owned();
                continue;
            }
            Some(("schema", _)) => "schema".to_owned(),
            Some((key, _)) if line_is_in_array(&header) => format!("{header}[0].{key}"),
            Some((key, _)) => format!("{header}.{key}"),
        };
        let without = complete.replacen(&format!("{line}\n"), "", 1);
        let found = mistakes(&without);
        assert!(
            found.iter().any(|mistake| mistake.ends_with(": missing")),
            "{path}: {found:?}"
        );
        if line.contains(ZERO) || complete.matches(line).count() > 1 {
            continue; // the same line elsewhere may have gone instead
        }
        assert_eq!(found, [format!("{path}: missing")]);
    }
}

fn line_is_in_array(header: &str) -> bool {
    matches!(header, "platform_profiles" | "releases")
}

#[test]
fn all_mistakes_are_reported_at_once() {
    let text = policy_toml()
        .replace("schema = 1", "schema = 2")
        .replace(r#""UpToDate""#, r#""uptodate", "Revoked""#)
        .replace("INTEL-SA-00837", "SA-1")
        .replace("grace_hours = 2", "grace_hours = 100000\ngrace_days = 1")
        .replace(r#""required""#, r#""wanted""#)
        .replace("if-claimed", "maybe")
        .replace("550.90.07", "550")
        .replace("96.00.9F.00.01", "96.00.9F.00")
        .replace("hopper", "grasshopper")
        .replace(r#""0123""#, r#""x""#)
        .replace("absent", "any")
        .replace("d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0", "d0");
    let found = mistakes(&text);
    for path in [
        "schema: wants 1, not 2",
        "tcb.statuses_allowed[0]: `uptodate` is no TCB status",
        "tcb.statuses_allowed[1]: `Revoked` is never allowed",
        "tcb.advisories_denied[0]: `SA-1` is no advisory",
        "collateral.grace_hours: wants a number from 0 to 720, not 100000",
        "collateral.grace_days: unknown key",
        "td.service_td: wants `absent`, not `any`",
        "platforms.revoked[0]: wants 16 bytes in hexadecimal, not 2 digits",
        "evidence.event_log: wants `required` or `not-required`, not `wanted`",
        "evidence.gpu: wants `required` or `if-claimed` or `not-required`, not `maybe`",
        "gpu.driver_version_min: `550` is no driver version",
        "gpu.vbios_versions_min.grasshopper: is no known architecture",
        "gpu.vbios_versions_min.grasshopper: `96.00.9F.00` is no VBIOS version",
        "gpu.reference_measurements: wants `required` or `not-required`",
        "gpu.ocsp: wants `required` or `not-required`",
        "gpu.revoked[0]: wants a certificate's serial",
    ] {
        assert!(
            found.iter().any(|mistake| mistake.starts_with(path)),
            "{path} is not in {found:#?}"
        );
    }
    assert_eq!(found.len(), 16, "{found:#?}");
}

/// An advisory that Intel cannot have written would be denied in vain.
#[test]
fn an_advisory_that_can_never_apply_is_a_mistake() {
    for advisory in ["INTEL-SA-837", "INTEL-SA-000837", "intel-sa-00837"] {
        let text = policy_toml().replace("INTEL-SA-00837", advisory);
        let found = mistakes(&text);
        assert_eq!(found.len(), 1, "{advisory}: {found:?}");
        assert!(found[0].starts_with("tcb.advisories_denied[0]: "));
    }
}

/// Names are printed into verdicts, and a record brings a policy of its own.
#[test]
fn a_name_is_one_short_line() {
    for name in [
        r#""a\nACCEPTED under Intel SGX Root CA""#,
        r#""\u001b[2J""#,
        r#""""#,
        &format!("\"{}\"", "n".repeat(129)),
    ] {
        let text = policy_toml().replace(r#""release""#, name);
        let found = mistakes(&text);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert!(found[0].starts_with("releases[0].name: "), "{found:?}");
    }
}

#[test]
fn contradictions_and_wrong_shapes_are_mistakes() {
    let contradiction = policy_toml().replace(
        r#"attributes_mask = "ffffffffffffffff""#,
        r#"attributes_mask = "ffffff0000000000""#,
    );
    assert_eq!(
        mistakes(&contradiction),
        ["td.attributes_required: sets bits that attributes_mask leaves out"]
    );
    let shape = policy_toml().replacen(r#"enrolled = "any""#, r#"enrolled = "all""#, 1);
    assert_eq!(
        mistakes(&shape),
        ["platforms.enrolled: wants a list or `any`, not `all`"]
    );
    let table = policy_toml()
        .replace("[collateral]\ngrace_hours = 2\n", "")
        .replace("schema = 1", "schema = 1\ncollateral = 3");
    assert_eq!(mistakes(&table), ["collateral: wants a table"]);
    let endless = policy_toml().replace(r#"["OutOfDate"]"#, r#"["SWHardeningNeeded"]"#);
    assert_eq!(
        mistakes(&endless),
        ["tcb.statuses_in_grace: `SWHardeningNeeded` is allowed already, without an end"]
    );
    let root = policy_toml().replace("schema = 1", "schema = 1\ndebug = true");
    assert_eq!(mistakes(&root), ["debug: unknown key"]);
    assert!(matches!(
        AppraisalPolicy::from_toml(&" ".repeat(POLICY_BYTES_MAX + 1)),
        Err(PolicyError::TooLong(_))
    ));
    assert!(mistakes("").len() > 8);
}

#[test]
fn what_is_no_toml_is_named_by_its_place_in_one_line() {
    let fault = |text: &str| match AppraisalPolicy::from_toml(text) {
        Err(PolicyError::Toml(fault)) => fault.to_string(),
        other => panic!("{other:?}"),
    };
    let unclosed = fault("schema = 1\n\n# ä\n[tcb\nx = 1");
    assert!(unclosed.starts_with("line 4, column 5: "), "{unclosed}");
    let twice = fault("schema = 1\nschema = 1");
    assert!(twice.starts_with("line 2, column 1: "), "{twice}");
    for fault in [unclosed, twice, fault("= 1"), fault("a = \"\n")] {
        assert!(!fault.contains(char::is_control), "{fault:?}");
    }
}

/// A list of what is allowed is never empty: nobody would pass.
#[test]
fn a_list_that_admits_nobody_is_a_mistake() {
    let zeros = format!("[\"{ZERO}\"]");
    for (from, to, path) in [
        (
            format!("mr_config_ids = {zeros}"),
            "mr_config_ids = []",
            "td.mr_config_ids",
        ),
        (
            format!("mr_owners = {zeros}"),
            "mr_owners = []",
            "td.mr_owners",
        ),
        (
            format!("mr_owner_configs = {zeros}"),
            "mr_owner_configs = []",
            "td.mr_owner_configs",
        ),
        (
            format!("rtmr3s = [\"{RTMR3}\"]"),
            "rtmr3s = []",
            "td.rtmr3s",
        ),
        (format!("signers = {zeros}"), "signers = []", "seam.signers"),
        (
            "measurements = \"any\"".to_owned(),
            "measurements = []",
            "seam.measurements",
        ),
        (
            "enrolled = \"any\"".to_owned(),
            "enrolled = []",
            "platforms.enrolled",
        ),
    ] {
        let text = policy_toml();
        assert!(text.contains(&from), "{from}");
        let found = mistakes(&text.replacen(&from, to, 1));
        assert_eq!(found, [format!("{path}: {EMPTY}")]);
    }
    let none = policy_toml().replace(r#"["UpToDate", "SWHardeningNeeded"]"#, "[]");
    assert!(
        AppraisalPolicy::from_toml(&none).is_ok(),
        "those in grace are admitted"
    );
    assert_eq!(
        mistakes(&none.replace(r#"["OutOfDate"]"#, "[]")),
        [format!("tcb.statuses_allowed: {EMPTY}")]
    );
}

#[test]
fn attributes_that_every_appraisal_refuses_are_a_mistake() {
    for (required, words) in [
        ("0100001000000000", "demands DEBUG"),
        ("1000001000000000", "demands profiling"),
        ("0000003000000000", "demands MIGRATABLE"),
        ("0000000000000000", "SEPT_VE_DISABLE (bit 28) is clear"),
    ] {
        let found = mistakes(&policy_toml().replace("0000001000000000", required));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("td.attributes_required: "),
            "{found:?}"
        );
        assert!(found[0].contains(words), "{found:?}");
    }
}

#[test]
fn a_release_or_profile_that_is_there_twice_is_a_mistake() {
    let release =
        format!("[[releases]]\nname = \"again\"\nrtmr1 = \"{ZERO}\"\nrtmr2 = \"{ZERO}\"\n");
    let text = policy_toml().replace("[platforms]", &format!("{release}[platforms]"));
    assert_eq!(
        mistakes(&text),
        ["releases[1]: has the measurements of releases[0]"]
    );
    let other = text.replace(
        &format!("again\"\nrtmr1 = \"{ZERO}\""),
        &format!("again\"\nrtmr1 = \"{RTMR3}\""),
    );
    assert!(AppraisalPolicy::from_toml(&other).is_ok());
    let profile =
        format!("[[platform_profiles]]\nname = \"again\"\nmrtd = \"{ZERO}\"\nrtmr0 = \"{ZERO}\"\n");
    let text = policy_toml().replace("[[releases]]", &format!("{profile}[[releases]]"));
    assert_eq!(
        mistakes(&text),
        ["platform_profiles[1]: has the measurements of platform_profiles[0]"]
    );
}

#[test]
fn a_mistake_shows_what_was_seen() {
    for (to, words) in [
        (&ZERO[2..], "not 94 digits"),
        (&*format!("z{}", &ZERO[1..]), "not 'z' at digit 1"),
        ("", "not an empty text"),
    ] {
        let text =
            policy_toml().replace(&format!("mrtd = \"{ZERO}\""), &format!("mrtd = \"{to}\""));
        let found = mistakes(&text);
        assert_eq!(
            found,
            [format!(
                "platform_profiles[0].mrtd: wants 48 bytes in hexadecimal, {words}"
            )]
        );
    }
    let found = mistakes(&policy_toml().replace("\"UpToDate\"", "\"uptodate\""));
    assert!(!found[0].contains("Revoked"), "{found:?}");
    let long = policy_toml().replace("\"if-claimed\"", &format!("\"{}\"", "é\\n".repeat(100)));
    assert!(mistakes(&long)[0].len() < 300);
}
