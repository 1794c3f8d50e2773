//! Real quotes, made by others: read from the directory that `COCOON_VECTORS` names, never part of the repository.

use std::path::PathBuf;

use crate::harness::{Files, shipped, text};

/// The directory of vectors, or nothing, and then the test says so.
fn directory(test: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "the one switch of these tests")]
    let directory = std::env::var_os("COCOON_VECTORS").map(PathBuf::from);
    if directory.is_none() {
        eprintln!("SKIPPED {test}: COCOON_VECTORS names no directory of vectors");
    }
    directory
}

#[test]
fn every_real_quote_can_be_inspected() {
    let Some(directory) = directory("every_real_quote_can_be_inspected") else {
        return;
    };
    let quotes: Vec<_> = std::fs::read_dir(directory.join("quotes"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert!(!quotes.is_empty());
    for path in quotes {
        let name = path.file_name().unwrap().to_str().unwrap();
        let said = shipped(&["inspect", "--json", text(&path)]);
        assert_eq!(said.exit, 0, "{name}: {said:?}");
        let json = said.json();
        let kind = json["quote"]["kind"].as_str().unwrap();
        assert_eq!(
            kind.starts_with("SGX"),
            name.starts_with("sgx"),
            "{name}: {kind}"
        );
        let subject = json["pck_certificate"]["subject"].as_str().unwrap();
        assert!(
            subject.contains("Intel SGX PCK Certificate"),
            "{name}: {subject}"
        );
    }
}

/// A policy that asks for nothing this quote lacks, but names no measurement: the signatures hold, the release does not.
#[test]
fn a_real_quote_verifies_under_intels_root_and_is_refused_for_its_measurements() {
    let Some(directory) = directory("a_real_quote_verifies_under_intels_root") else {
        return;
    };
    let quote = directory.join("quotes/tdx_v4_td10_b0c06f000000_dcap-qvl_f1c850.bin");
    let collateral = directory.join("collateral/tdx_b0c06f000000_2025-06-19_25e3ff.json");
    let files = Files::new();
    let policy = simulator::SimulatedPlatform::from_seed(7).policy_toml();
    let policy = files.write("policy.toml", policy);
    let said = shipped(&[
        "verify",
        "--json",
        "--quote",
        text(&quote),
        "--collateral",
        text(&collateral),
        "--policy",
        text(&policy),
        "--time",
        "2025-06-23T02:49:24Z",
    ]);
    assert_eq!(said.exit, 2, "{said:?}");
    let json = said.json();
    assert_eq!(json["simulated"], false);
    let steps = json["transcript"]["steps"].as_array().unwrap();
    let outcome = |name: &str| {
        let step = steps.iter().find(|step| step["name"] == name);
        step.map(|step| step["outcome"].as_str().unwrap().to_owned())
    };
    assert_eq!(
        outcome("signatures, certificates and collateral").as_deref(),
        Some("PASS")
    );
    assert_eq!(outcome("platform profile").as_deref(), Some("FAIL"));
}

#[test]
fn every_real_td_report_can_be_inspected() {
    let Some(directory) = directory("every_real_td_report_can_be_inspected") else {
        return;
    };
    for name in [
        "reports/SGXDataCenterAttestationPrimitives_tdreport_for_test.dat",
        "reports/guest-components_tdx_report_1.bin",
        "eventlog/confai-direct/tdx_tdreport_live.bin",
    ] {
        let path = directory.join(name);
        let said = shipped(&["inspect", "--json", text(&path)]);
        assert_eq!(said.exit, 0, "{path:?}: {said:?}");
        let json = said.json();
        assert_eq!(json["kind"], "td-report", "{path:?}");
        // The TDX module fills both in, so a layout that is off by a byte shows.
        assert_eq!(json["report_mac"]["tee_info_hash_fits"], true, "{path:?}");
        assert_eq!(
            json["report_mac"]["tee_tcb_info_hash_fits"], true,
            "{path:?}"
        );
    }
    // Filler of the length of a report: taken for one only where the user says so.
    let filler = directory.join("reports/go-tdx-guest_report.dat");
    assert_eq!(shipped(&["inspect", text(&filler)]).exit, 1);
    let forced = shipped(&["inspect", "--json", "--kind", "td-report", text(&filler)]);
    assert_eq!(forced.json()["report_mac"]["tee_info_hash_fits"], false);
}

#[test]
fn every_real_collateral_can_be_inspected() {
    let Some(directory) = directory("every_real_collateral_can_be_inspected") else {
        return;
    };
    for entry in std::fs::read_dir(directory.join("collateral")).unwrap() {
        let path = entry.unwrap().path();
        let said = shipped(&["inspect", "--json", text(&path)]);
        assert_eq!(said.exit, 0, "{path:?}: {said:?}");
        let json = said.json();
        assert_eq!(json["kind"], "collateral", "{path:?}");
        let root = json["collateral"]["claimed_root"].as_str().unwrap();
        assert!(root.contains("Intel SGX Root CA"), "{path:?}: {root}");
    }
}

#[test]
fn a_real_event_log_is_recognised() {
    let Some(directory) = directory("a_real_event_log_is_recognised") else {
        return;
    };
    let log = directory.join("eventlog/trustee_CCEL_data.bin");
    let json = shipped(&["inspect", "--json", text(&log)]).json();
    assert_eq!(json["kind"], "event-log");
}
