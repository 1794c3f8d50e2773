//! `explain`: events, replay against registers, and the first event that differs from a reference.

use attestation::{EventLog, Evidence, event_log::Ccel};
use serde_json::Value;
use simulator::{QuoteVersion, SimulatedPlatform, TdOptions};

use crate::{
    harness::{Files, Said, shipped, simulated_with_input, text},
    world::Worker,
};

/// A booted TD as files: its quote, the log's area, the evidence's member.
struct Boot {
    files: Files,
    platform: SimulatedPlatform,
}

impl Boot {
    fn new() -> Self {
        let boot = Self {
            files: Files::new(),
            platform: SimulatedPlatform::from_seed(7),
        };
        boot.quote_of(&boot.platform.td());
        boot.files.write("ccel", boot.platform.ccel_area());
        let member = boot.platform.event_log().encode().unwrap();
        boot.files.write("member", member);
        boot
    }

    fn quote_of(&self, td: &TdOptions) {
        let quote = self.platform.quote(QuoteVersion::V4, td, &[1; 64]);
        self.files.write("quote", quote);
    }

    fn explain(&self, arguments: &[&str]) -> Said {
        let arguments: Vec<String> = arguments
            .iter()
            .map(|argument| {
                if argument.starts_with("--") {
                    (*argument).to_owned()
                } else {
                    text(&self.files.path(argument)).to_owned()
                }
            })
            .collect();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        shipped(&[&["explain"], &arguments[..]].concat())
    }

    /// The member again, with one byte of an event's digest changed: event `entry` (from 1) of the CCEL.
    fn write_changed(&self, name: &str, entry: usize) {
        let mut log = self.platform.event_log();
        let digest = log.ccel.events().get(entry - 1).unwrap().digest.0;
        let mut bytes = log.ccel.bytes().to_vec();
        let at = bytes.windows(48).position(|window| window == digest);
        *bytes.get_mut(at.unwrap()).unwrap() ^= 1;
        log.ccel = Ccel::parse(&bytes).unwrap();
        self.files.write(name, log.encode().unwrap());
    }
}

fn outcomes(json: &Value) -> Vec<String> {
    let registers = json["registers"].as_array().unwrap().iter();
    registers
        .map(|row| row["outcome"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_log_that_explains_its_quote_passes() {
    let boot = Boot::new();
    let said = boot.explain(&["member", "--quote", "quote", "--json"]);
    assert_eq!(said.exit, 0, "{said:?}");
    let json = said.json();
    assert_eq!(json["schema"], "cocoon-attest/explain/1");
    assert_eq!(json["verdict"], "same");
    assert_eq!(outcomes(&json), ["PASS"; 4]);
    assert_eq!(json["closing_event"]["outcome"], "PASS");
    assert_eq!(json["events"].as_array().unwrap().len(), 14);
    assert_eq!(json["events"][0]["description"], "TD HOB: TdxTable");
    assert_eq!(json["events"][0]["covers"], "nothing");
    assert_eq!(json["events"][4]["covers"], "value");
    assert_eq!(json["events"][13]["covers"], "content");
    assert!(json["notes"][0].as_str().unwrap().contains("not verified"));
}

#[test]
fn a_register_that_is_not_explained_fails() {
    let boot = Boot::new();
    // The firmware's log alone does not know what was measured into RTMR3.
    let said = boot.explain(&["ccel", "--quote", "quote", "--json"]);
    assert_eq!(said.exit, 2, "{said:?}");
    assert_eq!(outcomes(&said.json()), ["PASS", "PASS", "PASS", "FAIL"]);
    let mut td = boot.platform.td();
    td.rtmrs[1] = [1; 48];
    boot.quote_of(&td);
    let said = boot.explain(&["member", "--quote", "quote"]);
    assert_eq!(said.exit, 2, "{said:?}");
    assert!(said.output.contains("FAIL  RTMR1"), "{}", said.output);
    assert!(said.output.contains("PASS  RTMR0"), "{}", said.output);
    assert!(said.output.contains(&"01".repeat(48)), "{}", said.output);
}

#[test]
fn without_registers_none_is_judged() {
    let boot = Boot::new();
    let said = boot.explain(&["ccel", "--json"]);
    assert_eq!(said.exit, 0, "{said:?}");
    assert_eq!(outcomes(&said.json()), ["SKIP"; 4]);
    assert_eq!(said.json()["registers"][0]["wanted"], Value::Null);
}

#[test]
fn a_td_report_serves_as_well_as_a_quote() {
    let boot = Boot::new();
    let mut report = vec![0; 1024];
    report[0] = 0x81;
    let rtmrs = boot.platform.td().rtmrs.concat();
    report[720..720 + rtmrs.len()].copy_from_slice(&rtmrs);
    boot.files.write("report", &report);
    let said = boot.explain(&["member", "--report", "report", "--json"]);
    assert_eq!(said.exit, 0, "{said:?}");
    assert_eq!(said.json()["registers_from"], "TD report");
    report[864] ^= 1;
    boot.files.write("report", &report);
    let said = boot.explain(&["member", "--report", "report", "--json"]);
    assert_eq!(outcomes(&said.json()), ["PASS", "PASS", "PASS", "FAIL"]);
    for (name, bytes) in [("short", &report[..1023]), ("sgx", &[0; 1024])] {
        boot.files.write(name, bytes);
        let said = boot.explain(&["member", "--report", name]);
        assert_eq!(said.exit, 1, "{said:?}");
        assert!(said.errors.contains("no TD report"), "{said:?}");
        assert!(said.errors.contains("; it has "), "{said:?}");
    }
}

#[test]
fn the_first_difference_is_named_with_its_likely_cause() {
    let boot = Boot::new();
    assert_eq!(
        boot.explain(&["member", "--reference", "member"]).exit,
        0,
        "a log does not differ from itself"
    );
    for (entry, register, what, cause) in [
        (1, "RTMR0", "TD HOB", "memory size"),
        (2, "RTMR0", "firmware volume", "firmware file"),
        (3, "RTMR0", "SecureBoot", "Secure Boot"),
        (4, "RTMR0", "ACPI", "vCPU count"),
        (5, "RTMR0", "BootOrder", "boot options"),
        (8, "RTMR1", "BOOTX64.EFI", "kernel"),
        (9, "RTMR2", "command line", "command line"),
        (10, "RTMR2", "initrd", "initrd"),
    ] {
        boot.write_changed("changed", entry);
        let said = boot.explain(&["changed", "--reference", "member", "--json"]);
        assert_eq!(said.exit, 2, "{said:?}");
        let json = said.json();
        let difference = &json["differences"][0];
        assert_eq!(difference["register"], register);
        assert_eq!(difference["entry"], entry);
        assert_eq!(difference["change"], "changed");
        let has = |member: &str, words: &str| {
            let value = difference[member].as_str().unwrap();
            assert!(value.contains(words), "{value}");
        };
        has("description", what);
        has("likely_cause", cause);
        let said = boot.explain(&["changed", "--reference", "member"]);
        assert!(said.output.contains(cause), "{}", said.output);
    }
}

#[test]
fn a_missing_event_is_told_from_a_changed_one() {
    let boot = Boot::new();
    let mut log = boot.platform.event_log();
    log.run_time = "cocoon:closed\n".parse().unwrap();
    boot.files.write("short", log.encode().unwrap());
    let said = boot.explain(&["short", "--reference", "member"]);
    assert_eq!(said.exit, 2, "{said:?}");
    for words in ["is only in the reference", "cocoon:configuration", "RTMR3"] {
        assert!(said.output.contains(words), "{}", said.output);
    }
}

#[test]
fn a_log_that_is_not_closed_is_a_finding() {
    let boot = Boot::new();
    let mut log = boot.platform.event_log();
    log.run_time = "cocoon:closed\nlate\n".parse().unwrap();
    boot.files.write("open", log.encode().unwrap());
    let said = boot.explain(&["open"]);
    assert_eq!(said.exit, 2, "{said:?}");
    assert!(said.output.contains("FAIL  an event follows"), "{said:?}");
}

#[test]
fn an_attestation_record_brings_log_and_quote() {
    let worker = Worker::new();
    let mut evidence = worker.evidence();
    let boot = Boot::new();
    let record = |evidence: &Evidence| serde_json::to_vec(&worker.record(evidence)).unwrap();
    boot.files.write("without", record(&evidence));
    let said = boot.explain(&["without"]);
    assert_eq!(said.exit, 1, "{said:?}");
    assert!(said.errors.contains("holds no event log"), "{said:?}");
    evidence.event_log = Some(boot.platform.event_log().encode().unwrap());
    boot.files.write("record", record(&evidence));
    let said = boot.explain(&["record", "--json"]);
    assert_eq!(said.exit, 0, "{said:?}");
    assert_eq!(outcomes(&said.json()), ["PASS"; 4]);
}

#[test]
fn what_is_no_log_is_an_error_and_not_a_finding() {
    let boot = Boot::new();
    for (name, bytes) in [
        ("empty", &b""[..]),
        ("words", b"no log at all, only words"),
        ("cbor", &[0xa2, 0x00]),
        ("json", b"{\"events\": []}"),
        ("list", b"[{\"imr\": 0}]"),
    ] {
        boot.files.write(name, bytes);
        let said = boot.explain(&[name]);
        assert_eq!(said.exit, 1, "{name}: {said:?}");
        assert!(said.errors.contains("is no event log"), "{name}: {said:?}");
    }
    let said = boot.explain(&["member", "--quote", "quote", "--report", "quote"]);
    assert_eq!(said.exit, 1, "{said:?}");
}

#[test]
fn a_dash_reads_standard_input() {
    let platform = SimulatedPlatform::from_seed(7);
    let said = simulated_with_input(&platform, &["explain", "-"], &platform.ccel_area());
    assert_eq!(said.exit, 0, "{said:?}");
    assert!(said.output.starts_with("CCEL, 12 events\n"), "{said:?}");
}

/// Nothing in a log, which anyone may have written, reaches the terminal as a control character.
#[test]
fn a_hostile_log_draws_no_verdict_of_its_own() {
    let boot = Boot::new();
    let log = boot.platform.event_log();
    let action = b"Exit Boot Services Invocation";
    let mut bytes = log.ccel.bytes().to_vec();
    let at = bytes
        .windows(action.len())
        .position(|window| window == action);
    let at = at.unwrap();
    bytes[at..at + 13].copy_from_slice(b"\r\n\x1b[2J  PASS ");
    let hostile = EventLog {
        ccel: Ccel::parse(&bytes).unwrap(),
        ..log
    };
    boot.files.write("hostile", hostile.encode().unwrap());
    let said = boot.explain(&["hostile"]);
    assert!(said.output.contains("\\u{1b}[2J"), "{said:?}");
    assert!(
        said.output.chars().all(|c| c == '\n' || !c.is_control()),
        "{said:?}"
    );
}
