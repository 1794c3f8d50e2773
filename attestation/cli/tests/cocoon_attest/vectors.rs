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

#[test]
fn real_logs_explain_their_registers() {
    let Some(directory) = directory("real_logs_explain_their_registers") else {
        return;
    };
    let path = |name: &str| text(&directory.join("eventlog").join(name)).to_owned();
    let log = path("confai-direct/tdx_ccel_live.bin");
    let other = path("confai-direct/tdx_ccel_live2.dat");
    let quote = path("confai-direct/tdx_quote_live.dat");
    let report = path("confai-direct/tdx_tdreport_live.bin");
    for (arguments, exit) in [
        (&[&log[..], "--report", &report][..], 0),
        (&[&other, "--quote", &quote], 0),
        (&[&log, "--quote", &quote], 2),
        (&[&path("dstack_quote-report.json")], 0),
        (&[&path("dstack_tdx-lite-getquote.json")], 0),
        (&[&path("trustee_CCEL_data_gcp.bin")], 0),
        (&[&path("trustee_CCEL_data_csv.bin")], 1),
    ] {
        let said = shipped(&[&["explain"], arguments].concat());
        assert_eq!(said.exit, exit, "{arguments:?}: {said:?}");
    }
    let said = shipped(&["explain", &log, "--reference", &other]);
    println!("{}", said.output);
    assert_eq!(said.exit, 2, "{said:?}");
    for words in ["event 2 of RTMR2", "Linux initrd", "another initrd"] {
        assert!(said.output.contains(words), "{}", said.output);
    }
}

/// The digests that a log of dstack's names are not taken for granted: a changed payload is found, whether the log
/// repeats the digest or leaves it out.
#[test]
fn a_changed_payload_of_a_real_dstack_log_is_found() {
    let Some(directory) = directory("a_changed_payload_of_a_real_dstack_log_is_found") else {
        return;
    };
    let files = Files::new();
    for (name, from, to, exit) in [
        ("dstack_quote-report.json", "c3714eb6", "c3714eb7", 1),
        ("dstack_tdx-lite-getquote.json", "050bf895", "050bf896", 2),
    ] {
        let log = std::fs::read_to_string(directory.join("eventlog").join(name)).unwrap();
        assert!(log.contains(from), "{name}");
        let path = files.write(name, log.replacen(from, to, 1));
        let said = shipped(&["explain", text(&path)]);
        assert_eq!(said.exit, exit, "{name}: {said:?}");
        let words = if exit == 1 {
            "its digest is not"
        } else {
            "FAIL  RTMR3"
        };
        let all = said.output + &said.errors;
        assert!(all.contains(words), "{name}: {all}");
    }
}

/// Every file of NVIDIA's but Google's pickled objects and the service's answer, which are no evidence of this form.
#[test]
fn every_real_gpu_evidence_chain_and_manifest_can_be_inspected() {
    let Some(directory) = directory("every_real_gpu_evidence_chain_and_manifest_can_be_inspected")
    else {
        return;
    };
    let mut seen = std::collections::BTreeMap::new();
    for folder in ["nvidia/evidence", "nvidia/rim"] {
        for entry in std::fs::read_dir(directory.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let name = text(&path);
            if name.contains("google__") || name.contains("detached_eat") {
                continue;
            }
            let said = shipped(&["inspect", "--json", name]);
            assert_eq!(said.exit, 0, "{name}: {said:?}");
            let kind = said.json()["kind"].as_str().unwrap().to_owned();
            let is_manifest = folder.ends_with("rim");
            assert_eq!(kind == "manifest", is_manifest, "{name}: {kind}");
            *seen.entry(kind).or_insert(0) += 1;
        }
    }
    println!("{seen:?}");
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[test]
fn real_gpu_evidence_verifies_under_nvidias_root() {
    let Some(directory) = directory("real_gpu_evidence_verifies_under_nvidias_root") else {
        return;
    };
    let path = |name: &str| text(&directory.join("nvidia").join(name)).to_owned();
    let report = path("evidence/trustee__hopperAttestationReport.txt");
    let chain = |case| {
        path(&format!(
            "evidence/trustee__hopper_cert_chain_case{case}.txt"
        ))
    };
    let switch_rim = format!(
        "NV_SWITCH_BIOS_5612_0002_890_9610550001={}",
        path("rim/switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml")
    );
    let switch = path("evidence/attestation-sdk__switch_evidence_ls10.json");
    for (arguments, code, count) in [
        (
            &[&*path("evidence/attestation-sdk__multi_gpu_hopper.json")][..],
            None,
            4,
        ),
        (
            &[&*path("evidence/attestation-sdk__hopper_evidence.json")],
            None,
            1,
        ),
        (&[&*switch], None, 1),
        (&[&*switch, "--rim", &switch_rim], None, 1),
        (&[&*report, "--gpu-chain", &chain(1)], None, 1),
        (&[&*report, "--gpu-chain", &chain(3)], Some("E707"), 1),
        (
            &[
                &*report,
                "--gpu-chain",
                &chain(1),
                "--nonce",
                &"00".repeat(32),
            ],
            Some("E713"),
            1,
        ),
        (
            &[&*report, "--gpu-chain", &chain(1), "--rim", &switch_rim],
            Some("E720"),
            1,
        ),
    ] {
        let time = ["--time", "2026-11-18T00:00:00Z", "--json"];
        let said = shipped(&[&["verify", "--gpu"], arguments, &time].concat());
        assert_eq!(
            said.exit,
            if code.is_none() { 5 } else { 2 },
            "{arguments:?}: {said:?}"
        );
        let json = said.json();
        assert_eq!(json["devices"].as_array().unwrap().len(), count);
        assert_eq!(
            json["devices"][0]["code"].as_str(),
            code,
            "{arguments:?}: {said:?}"
        );
    }
}
