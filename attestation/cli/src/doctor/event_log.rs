//! The event log that firmware left: whether it is there, parses, and replays to the registers of the quote.

use std::{fs, path::Path};

use attestation::{
    Quote,
    event_log::{Ccel, Register, Replay},
};

use super::examination::{Examination, NO_TD};
use crate::{Machine, checks::chain};

const NAME: &str = "event log (CCEL)";
const TABLE: &str = "/sys/firmware/acpi/tables/CCEL";
const DATA: &str = "/sys/firmware/acpi/tables/data/CCEL";
/// Firmware, boot loader and Linux extend these; RTMR3 belongs to run-time events, which the CCEL does not hold.
const EXPLAINED: usize = 3;

pub(super) fn examine(machine: &Machine, is_td: bool, quote: Option<&Quote>) -> Examination {
    if !is_td {
        return Examination::skip(NAME, NO_TD);
    }
    if !machine.path(TABLE).exists() {
        return Examination::fail(
            NAME,
            format!("{TABLE} is not there"),
            "boot with firmware that measures into a CCEL (TDVF of 2023 or later)",
        );
    }
    let log = match read(&machine.path(DATA)) {
        Ok(log) => log,
        Err(failed) => return *failed,
    };
    let events = log.events().len();
    let Some(td) = quote.and_then(Quote::td) else {
        return Examination::pass(NAME, format!("{events} events; no quote to replay them to"));
    };
    let replayed = Replay::of(log.events()).rtmrs;
    let registers = Register::RTMRS.iter().zip(replayed.iter().zip(&td.rtmrs));
    let mut differs = registers
        .take(EXPLAINED)
        .filter(|(_, (replayed, quoted))| replayed != quoted);
    match differs.next() {
        None => Examination::pass(NAME, format!("{events} events, which replay to the quote")),
        Some((register, _)) => Examination::fail(
            NAME,
            format!("{events} events, which do not replay to the quote's {register}"),
            format!("`cocoon-attest explain {DATA} --quote FILE` shows every event"),
        ),
    }
}

fn read(path: &Path) -> Result<Ccel, Box<Examination>> {
    let bytes = fs::read(path).map_err(|error| {
        let seen = format!("cannot read {DATA}: {error}");
        Box::new(Examination::fail(NAME, seen, "run this as root"))
    })?;
    Ccel::parse(&bytes).map_err(|error| {
        let seen = chain(&error);
        let remedy = "boot with other firmware: this one writes a log that nobody can replay";
        Box::new(Examination::fail(NAME, seen, remedy))
    })
}
