//! `inspect`.

use simulator::{QuoteVersion, SimulatedPlatform};

use crate::harness::{Files, shipped, simulated, simulated_with_input, text};

#[test]
fn a_version_4_quote_is_shown_field_by_field() {
    let platform = SimulatedPlatform::from_seed(7);
    let td = platform.td();
    let quote = platform.quote(QuoteVersion::V4, &td, &[0x42; 64]);
    let files = Files::new();
    let said = shipped(&["inspect", "--json", text(&files.write("quote.bin", &quote))]);
    assert_eq!(said.exit, 0, "{said:?}");
    let json = said.json();
    assert_eq!(json["schema"], "cocoon-attest/inspect/1");
    assert_eq!(json["quote"]["kind"], "TDX, TD 1.0 body, version 4");
    assert_eq!(json["quote"]["structure"], "sound");
    assert_eq!(json["header"]["tee_type"], "0x81 (TDX)");
    assert_eq!(json["td_quote_body"]["mrtd"], hex::encode(td.mrtd));
    assert_eq!(json["td_quote_body"]["report_data"], "42".repeat(64));
    assert_eq!(
        json["td_quote_body"]["td_attributes_set"],
        serde_json::json!(["SEPT_VE_DISABLE"])
    );
    assert_eq!(
        json["quoting_enclave"]["certification_type"],
        "5 (PCK certificate chain)"
    );
    let pck = &json["pck_certificate"];
    assert_eq!(pck["fmspc"], hex::encode(simulator::FMSPC));
    assert_eq!(pck["ppid"], hex::encode(platform.ppid()));
    assert!(
        pck["subject"]
            .as_str()
            .unwrap()
            .contains("SIMULATED - not Intel")
    );
}

#[test]
fn a_version_5_quote_shows_what_td_1_5_adds() {
    let platform = SimulatedPlatform::from_seed(7);
    let mut td = platform.td();
    td.debug = true;
    td.mr_service_td = [9; 48];
    let quote = platform.quote(QuoteVersion::V5, &td, &[0; 64]);
    let files = Files::new();
    let json = shipped(&["inspect", "--json", text(&files.write("quote.bin", &quote))]).json();
    assert_eq!(json["quote"]["kind"], "TDX, TD 1.5 body, version 5");
    assert_eq!(json["td_quote_body"]["mr_service_td"], "09".repeat(48));
    assert_eq!(json["td_quote_body"]["td_attributes_set"][0], "DEBUG");
}

#[test]
fn an_sgx_quote_is_shown_for_what_it_is() {
    let quote = SimulatedPlatform::from_seed(7).sgx_quote(&[1; 64]);
    let files = Files::new();
    let json = shipped(&["inspect", "--json", text(&files.write("quote.bin", &quote))]).json();
    assert_eq!(json["quote"]["kind"], "SGX enclave, version 3");
    assert_eq!(json["enclave_report"]["report_data"], "01".repeat(64));
    assert_eq!(
        json["enclave_report"]["attributes_set"],
        serde_json::json!(["INIT", "MODE64BIT", "PROVISIONKEY"])
    );
}

#[test]
fn text_is_aligned_and_says_that_nothing_was_verified() {
    let platform = SimulatedPlatform::from_seed(7);
    let quote = hex::encode(platform.quote(QuoteVersion::V4, &platform.td(), &[0; 64]));
    let files = Files::new();
    let said = shipped(&["inspect", text(&files.write("quote.hex", quote))]);
    assert_eq!(said.exit, 0, "{said:?}");
    assert!(said.output.starts_with("quote\n  kind "), "{}", said.output);
    assert!(
        said.output.contains("cocoon-attest verify"),
        "{}",
        said.output
    );
    for field in said.output.lines().filter(|line| line.starts_with("  ")) {
        assert!(
            field.as_bytes()[23] == b' ' && field.as_bytes()[24] != b' ',
            "{field}"
        );
    }
}

#[test]
fn a_dash_reads_standard_input() {
    let platform = SimulatedPlatform::from_seed(7);
    let quote = platform.quote(QuoteVersion::V4, &platform.td(), &[0; 64]);
    let said = simulated_with_input(&platform, &["inspect", "-"], &quote);
    assert_eq!(said.exit, 0, "{said:?}");
}

#[test]
fn bytes_that_are_no_quote_are_an_error_and_not_a_finding() {
    let files = Files::new();
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("nonsense", b"\x04\x00\x02"),
        ("words", b"no quote!"),
    ] {
        let said = shipped(&["inspect", "--json", text(&files.write(name, bytes))]);
        assert_eq!(said.exit, 1, "{name}: {said:?}");
        assert_eq!(said.json()["schema"], "cocoon-attest/error/1", "{name}");
        assert!(
            said.errors.starts_with("cocoon-attest: "),
            "{name}: {said:?}"
        );
    }
}

#[test]
fn every_truncation_is_answered() {
    let platform = SimulatedPlatform::from_seed(7);
    let quote = platform.quote(QuoteVersion::V5, &platform.td(), &[0; 64]);
    let files = Files::new();
    for length in (1..quote.len()).step_by(97) {
        let path = files.write("cut.bin", &quote[..length]);
        let said = simulated(&platform, &["inspect", text(&path)]);
        assert_eq!(said.exit, 1, "{length} bytes");
    }
}
