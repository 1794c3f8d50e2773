//! Real event logs: which of them replay to which signed registers, and what a changed byte does to them.

use std::path::Path;

use attestation::{
    ErrorCode, EventLog, EventLogError, Measurement, Quote,
    event_log::{Ccel, Change, Register, RunTimeLog, first_difference},
};

use crate::{support, table::Table};

/// Where the registers that a log is held against are signed, or at least reported.
enum Signed {
    /// In a quote.
    Quote(&'static str),
    /// In a TD report.
    TdReport(&'static str),
}

/// Log, signed registers, and the registers that differ.
const PAIRS: &[(&str, Signed, &[Register])] = &[
    (
        "confai-direct/tdx_ccel_live2.dat",
        Signed::Quote("eventlog/confai-direct/tdx_quote_live.dat"),
        &[],
    ),
    (
        "confai-direct/tdx_ccel_live.bin",
        Signed::TdReport("eventlog/confai-direct/tdx_tdreport_live.bin"),
        &[],
    ),
    (
        "confai-direct/tdx_ccel_live.bin",
        Signed::Quote("eventlog/confai-direct/tdx_quote_live.dat"),
        &[Register::Rtmr2],
    ),
    (
        "dstack_ccel.bin",
        Signed::Quote("quotes/tdx_v4_td10_b0c06f000000_dcap-qvl_32f070.bin"),
        // Of another boot of that machine: only the firmware's configuration is the same.
        &[Register::Rtmr1, Register::Rtmr3],
    ),
];

/// Logs without a quote, and how many events each has.
const SAMPLES: &[(&str, usize)] = &[
    ("trustee_CCEL_AAEL_alibabacloud.bin", 87),
    ("trustee_CCEL_data.bin", 5),
    ("trustee_CCEL_data_gcp.bin", 21),
    ("trustee_CCEL_data_grub.bin", 37),
    ("trustee_CCEL_data_ovmf.bin", 20),
];

fn rtmrs(directory: &Path, signed: &Signed) -> [Measurement; 4] {
    match signed {
        Signed::Quote(path) => {
            let quote = Quote::parse(&support::read(directory.join(path))).unwrap();
            quote.td().unwrap().rtmrs
        }
        // TDREPORT_STRUCT: 256 bytes of REPORTMACSTRUCT, 239 of TEE_TCB_INFO, 17 reserved, then TDINFO, where they
        // follow 208 bytes of other fields.
        Signed::TdReport(path) => {
            let report = support::read(directory.join(path));
            [720, 768, 816, 864].map(|at| Measurement(*report[at..].first_chunk().unwrap()))
        }
    }
}

fn event_log(directory: &Path, name: &str) -> EventLog {
    let area = support::read(directory.join("eventlog").join(name));
    EventLog {
        ccel: Ccel::parse(&area).unwrap_or_else(|error| panic!("{name}: {error}")),
        run_time: RunTimeLog::default(),
    }
}

#[test]
fn real_logs_replay_to_the_registers_of_their_quotes() {
    let Some(directory) = support::directory("real_logs_replay_to_the_registers_of_their_quotes")
    else {
        return;
    };
    let mut table = Table::default();
    for (name, signed, differing) in PAIRS {
        let replay = event_log(&directory, name).replay();
        let differ = match replay.compare(&rtmrs(&directory, signed)) {
            Ok(()) => Vec::new(),
            Err(mismatch) => mismatch.registers,
        };
        let shown = |registers: &[Register]| match registers {
            [] => "replays to all registers".to_owned(),
            some => format!("differs in {some:?}"),
        };
        let file = format!("eventlog/{name}");
        table.row(
            &file,
            &shown(differing),
            &shown(&differ),
            differ == *differing,
        );
    }
    table.close(PAIRS.len());
}

#[test]
fn real_logs_parse_and_travel_without_their_padding() {
    let Some(directory) = support::directory("real_logs_parse_and_travel_without_their_padding")
    else {
        return;
    };
    let mut table = Table::default();
    let parsed = |events: usize| format!("parse {events} events");
    for (name, events) in SAMPLES {
        let log = event_log(&directory, name);
        let seen = log.ccel.events().len();
        let file = format!("eventlog/{name}");
        table.row(&file, &parsed(*events), &parsed(seen), seen == *events);
        let bytes = log.encode().unwrap();
        assert_eq!(EventLog::decode(&bytes).unwrap(), log, "{name}");
    }
    // The log of a Hygon CSV machine: SM3 digests, which no TD extends a register by.
    let file = "eventlog/trustee_CCEL_data_csv.bin";
    let error = Ccel::parse(&support::read(directory.join(file))).unwrap_err();
    let fits = matches!(error, EventLogError::NoSha384);
    table.row(file, "reject: no SHA-384", &format!("reject {error}"), fits);
    table.close(SAMPLES.len() + 1);
}

/// Another cloud's agent extends RTMR3 through the CCEL, with digests that nobody can recompute: such a log is never
/// taken for a closed one.
#[test]
fn a_ccel_that_extends_rtmr3_is_not_closed() {
    let Some(directory) = support::directory("a_ccel_that_extends_rtmr3_is_not_closed") else {
        return;
    };
    let mut log = event_log(&directory, "trustee_CCEL_AAEL_alibabacloud.bin");
    log.run_time = "cocoon:closed\n".parse().unwrap();
    let error = log.closing().unwrap_err();
    assert_eq!(error.code(), ErrorCode::ClosingEventInvalid);
    assert!(error.to_string().contains("RTMR3"), "{error}");
}

#[test]
fn two_boots_that_differ_in_the_initrd_are_told_apart() {
    let Some(directory) = support::directory("two_boots_that_differ_in_the_initrd_are_told_apart")
    else {
        return;
    };
    let log = event_log(&directory, "confai-direct/tdx_ccel_live.bin").events();
    let reference = event_log(&directory, "confai-direct/tdx_ccel_live2.dat").events();
    let difference = first_difference(&log, &reference).unwrap();
    println!("{difference}");
    assert_eq!(
        (difference.register, difference.entry, difference.change),
        (Register::Rtmr2, 18, Change::Changed)
    );
    assert_eq!(difference.type_name(), "EV_EVENT_TAG");
    assert_eq!(difference.subject().to_string(), "initrd: Linux initrd");
    assert_eq!(difference.cause(), "another initrd");
}

/// Every byte of two real logs: never a panic, and never the same registers with another digest.
#[test]
fn no_flipped_byte_of_a_real_log_goes_unnoticed() {
    let Some(directory) = support::directory("no_flipped_byte_of_a_real_log_goes_unnoticed") else {
        return;
    };
    for name in [
        "confai-direct/tdx_ccel_live2.dat",
        "trustee_CCEL_data_grub.bin",
    ] {
        let log = event_log(&directory, name).ccel;
        let (mut refused, mut same) = (0, 0);
        let digests = |log: &Ccel| -> Vec<_> {
            let events = log.events().iter().filter(|event| event.extends());
            events.map(|event| (event.register, event.digest)).collect()
        };
        let replay = |log: &Ccel| attestation::event_log::Replay::of(log.events());
        for at in 0..log.bytes().len() {
            let mut flipped = log.bytes().to_vec();
            flipped[at] ^= 0xff;
            match Ccel::parse(&flipped) {
                Err(_) => refused += 1,
                Ok(other) if digests(&other) == digests(&log) => same += 1,
                Ok(other) => assert_ne!(replay(&other), replay(&log), "{name}, byte {at}"),
            }
        }
        let bytes = log.bytes().len();
        println!("{name}: of {bytes} flips {refused} refused, {same} in what no digest is");
        assert!(refused > 0 && same < bytes);
    }
}
