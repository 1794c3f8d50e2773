//! The event log that firmware left: whether it is there, and whether it explains the quote.

use std::fs;

use attestation::Quote;

use super::examination::{Examination, NO_TD};
use crate::Machine;

const NAME: &str = "event log (CCEL)";
const TABLE: &str = "/sys/firmware/acpi/tables/CCEL";
const DATA: &str = "/sys/firmware/acpi/tables/data/CCEL";

pub(super) fn examine(machine: &Machine, is_td: bool, _quote: Option<&Quote>) -> Examination {
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
    match fs::read(machine.path(DATA)) {
        Ok(bytes) => Examination::pass(NAME, format!("{} bytes", bytes.len())),
        Err(error) => Examination::fail(
            NAME,
            format!("cannot read {DATA}: {error}"),
            "run this as root",
        ),
    }
}
