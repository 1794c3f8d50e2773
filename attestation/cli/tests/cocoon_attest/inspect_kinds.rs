//! `inspect` on everything but quotes: what it is shown is recognised, printed, and where it is malformed, named.

use serde_json::Value;
use simulator::{CollateralOptions, QuoteVersion, SimulatedPlatform};

use crate::{
    harness::{Files, NOW_S, Said, shipped, text},
    world::Worker,
};

fn inspect(contents: impl AsRef<[u8]>, more: &[&str]) -> Said {
    let files = Files::new();
    let path = files.write("file", contents);
    shipped(&[&["inspect", "--json", text(&path)][..], more].concat())
}

fn shown(contents: impl AsRef<[u8]>) -> Value {
    let said = inspect(contents, &[]);
    assert_eq!(said.exit, 0, "{said:?}");
    said.json()
}

fn refused(contents: impl AsRef<[u8]>, words: &str) {
    let said = inspect(contents, &[]);
    assert_eq!(said.exit, 1, "{said:?}");
    assert!(said.errors.contains(words), "{words}: {}", said.errors);
    assert_eq!(said.json()["schema"], "cocoon-attest/error/1");
}

#[test]
fn a_collection_is_shown_with_every_member() {
    let worker = Worker::new();
    let mut evidence = worker.evidence();
    let bytes = evidence.encode().unwrap();
    for spelling in [bytes.clone(), hex::encode(&bytes).into_bytes()] {
        let json = shown(spelling);
        assert_eq!(json["kind"], "collection");
        assert_eq!(json["claims"]["worker_id"], "worker-1");
        assert_eq!(json["quote"]["structure"], "sound");
        assert_eq!(json["collection"]["members"][1]["label"], "claims");
    }
    // A member that cannot be read does not hide the others.
    evidence.claims = vec![0xff];
    let json = shown(evidence.encode().unwrap());
    assert!(json["claims"]["unreadable"].is_string(), "{json}");
    assert_eq!(json["quote"]["structure"], "sound");
    refused(&bytes[..200], "looks like a CMW collection");
}

#[test]
fn claims_are_shown_by_name() {
    let worker = Worker::new();
    let bytes = worker.claims.encode().unwrap();
    let json = shown(&bytes);
    assert_eq!(json["kind"], "claims");
    assert_eq!(json["claims"]["executor"], "cpu");
    assert_eq!(json["claims"]["boot_id"], "08".repeat(16));
    refused(&bytes[..40], "looks like a worker's claims");
}

#[test]
fn a_td_report_is_shown_and_its_hashes_recomputed() {
    let mut report = vec![0; 1024];
    report[0] = 0x81;
    let json = shown(&report);
    assert_eq!(json["kind"], "td-report");
    assert_eq!(json["report_mac"]["tee_info_hash_fits"], false);
    refused(&report[..1023], "1023 bytes instead of 1024");
}

#[test]
fn collateral_and_records_are_shown_with_whose_word_they_are() {
    let worker = Worker::new();
    let collateral = worker
        .platform
        .collateral_json(&CollateralOptions::at(NOW_S));
    let json = shown(&collateral);
    assert_eq!(json["kind"], "collateral");
    assert_eq!(json["collateral"]["fmspc"], hex::encode(simulator::FMSPC));
    let record = serde_json::to_string(&worker.record(&worker.evidence())).unwrap();
    let json = shown(&record);
    assert_eq!(json["kind"], "record");
    assert_eq!(json["record"]["verdict_claimed"], "accepted");
    let words = json["record"]["whose_word"].as_str().unwrap();
    assert!(words.contains("the gateway's"), "{words}");
    refused(
        record.replace("\"binding\"", "\"bond\""),
        "looks like an attestation record",
    );
    refused(
        collateral.replace("nextUpdate", "n"),
        "looks like collateral",
    );
}

#[test]
fn a_malformed_quote_is_named_with_the_byte_at_which_it_fails() {
    let platform = SimulatedPlatform::from_seed(7);
    let v4 = platform.quote(QuoteVersion::V4, &platform.td(), &[0; 64]);
    let v5 = platform.quote(QuoteVersion::V5, &platform.td(), &[0; 64]);
    refused(&v4[..40], "the header at byte 0");
    refused(&v4[..100], "the body at byte 48");
    refused(&v4[..632], "the signature data's length at byte 632");
    refused(&v4[..1000], "the quoting enclave's report at byte 770");
    refused(&v5[..50], "the body's length at byte 50");
    refused(&v4[..v4.len() - 1], "the certification data at byte");
}

#[test]
fn what_nobody_knows_is_an_error_that_says_what_was_seen() {
    refused("", "it is empty");
    refused("{\"a\": 1}", "nor collateral, nor GPU evidence");
    refused("[", "it begins like JSON");
    refused([0xff; 40], "begins with ffffffffffffffffffffffffffffffff");
    refused("hello, world!", "neither hexadecimal nor base64");
}

#[test]
fn a_kind_that_is_given_is_tried_whatever_the_looks() {
    let worker = Worker::new();
    let claims = worker.claims.encode().unwrap();
    assert_eq!(inspect(&claims, &["--kind", "claims"]).exit, 0);
    let said = inspect(&claims, &["--kind", "td-report"]);
    assert_eq!(said.exit, 1, "{said:?}");
    assert!(
        said.errors.contains("file cannot be read as a TD report: "),
        "{}",
        said.errors
    );
    assert_eq!(inspect(&claims, &["--kind", "nonsense"]).exit, 1);
}

/// The chain stands in the middle of a quote, its first certificate behind bytes that end no line.
#[test]
fn the_chain_of_a_quote_is_shown_whole() {
    let platform = SimulatedPlatform::from_seed(7);
    let quote = platform.quote(QuoteVersion::V4, &platform.td(), &[0; 64]);
    let said = inspect(&quote, &["--kind", "certificate-chain"]);
    assert_eq!(said.exit, 0, "{said:?}");
    let json = said.json();
    let first = &json["certificate_chain"]["certificates"][0]["subject"];
    assert!(
        first.as_str().unwrap().contains("PCK Certificate"),
        "{json}"
    );
}

/// What a library says of malformed bytes may have lines and tabs of its own.
#[test]
fn a_refusal_is_one_line() {
    let platform = SimulatedPlatform::from_seed(7);
    let quote = platform.quote(QuoteVersion::V4, &platform.td(), &[0; 64]);
    let said = inspect(&quote[..100], &[]);
    let line = said.errors.trim_end();
    assert!(!line.contains(char::is_control), "{line:?}");
}
