//! `explain`: what an event log says was measured, whether it explains a TD's registers, and where it parts from
//! another log.

mod dstack;
mod log;
mod text;

use std::path::Path;

use anyhow::{Context, ensure};
use attestation::{
    Measurement, Outcome, Quote,
    event_log::{Change, Coverage, Difference, Event, Register, Replay, Subject, differences},
};
use serde_json::{Value, json};

use crate::{
    Exit, World,
    answer::{Answer, Findings},
    arguments::Explain,
    input,
};
use log::Log;

/// Length of a `TDREPORT_STRUCT` (Intel TDX Module ABI).
const TD_REPORT_BYTES: usize = 1024;
/// `REPORTTYPE.TYPE` of a TD.
const TD_REPORT_TYPE: u8 = 0x81;
/// `TDINFO.RTMR`: behind 512 bytes of report and TEE TCB information and 208 of `TDINFO`.
const TD_REPORT_RTMRS_AT: [usize; 4] = [720, 768, 816, 864];

pub(crate) fn run(arguments: &Explain, world: &mut World<'_>) -> anyhow::Result<Answer> {
    let log = log::read(&arguments.log, world)?;
    let registers = match (&arguments.quote, &arguments.report) {
        (Some(path), _) => Some(read_registers(path, "quote", quoted, world)?),
        (None, Some(path)) => Some(read_registers(path, "TD report", reported, world)?),
        (None, None) => log.quote.as_deref().map(quoted).transpose()?,
    };
    let reference = match &arguments.reference {
        Some(path) => Some(log::read(path, world)?),
        None => None,
    };
    let explanation = Explanation {
        replay: Replay::of(&log.events),
        log,
        registers,
        reference,
    };
    Ok(Answer::Findings(Findings {
        json: explanation.to_json(),
        text: text::render(&explanation),
        exit: if explanation.passed() {
            Exit::Success
        } else {
            Exit::Findings
        },
    }))
}

/// Quotes and TD reports come raw, in hexadecimal or in base64.
fn read_registers(
    path: &Path,
    what: &str,
    registers: fn(&[u8]) -> anyhow::Result<Registers>,
    world: &mut World<'_>,
) -> anyhow::Result<Registers> {
    let bytes = input::read_binary(what, path, world.input)?;
    registers(&bytes).with_context(|| format!("cannot use {}", path.display()))
}

/// Registers that a log can be held against.
#[derive(Debug)]
struct Registers {
    /// Where they stand.
    source: &'static str,
    rtmrs: [Measurement; 4],
}

fn quoted(bytes: &[u8]) -> anyhow::Result<Registers> {
    let quote = Quote::parse(bytes).context("the quote cannot be parsed")?;
    let td = quote.td().context("the quote is not a TD's")?;
    Ok(Registers {
        source: "quote",
        rtmrs: td.rtmrs,
    })
}

fn reported(bytes: &[u8]) -> anyhow::Result<Registers> {
    ensure!(
        bytes.len() == TD_REPORT_BYTES && bytes.first() == Some(&TD_REPORT_TYPE),
        "it is no TD report, which has {TD_REPORT_BYTES} bytes and starts with {TD_REPORT_TYPE:#04x}; it has {} and starts with {:#04x}",
        bytes.len(),
        bytes.first().copied().unwrap_or_default()
    );
    let rtmrs = TD_REPORT_RTMRS_AT.map(|at| {
        let mut register = Measurement::ZERO;
        for (byte, source) in register.0.iter_mut().zip(bytes.iter().skip(at)) {
            *byte = *source;
        }
        register
    });
    Ok(Registers {
        source: "TD report",
        rtmrs,
    })
}

/// What a log explains, and what it does not.
#[derive(Debug)]
struct Explanation {
    log: Log,
    replay: Replay,
    registers: Option<Registers>,
    reference: Option<Log>,
}

/// A register as the log replays it, and as it was held against.
struct Row {
    register: Register,
    replayed: Measurement,
    wanted: Option<Measurement>,
    outcome: Outcome,
}

impl Explanation {
    /// Nothing that was compared differs.
    fn passed(&self) -> bool {
        let outcomes = self.rows().into_iter().map(|row| row.outcome);
        let closing = self.closing().map(|(outcome, _)| outcome);
        let failed = |outcome| outcome == Outcome::Fail;
        !outcomes.chain(closing).any(failed) && self.differences().is_empty()
    }

    fn rows(&self) -> Vec<Row> {
        let wanted = self.registers.as_ref().map(|registers| registers.rtmrs);
        let wanted = wanted.map_or([None; 4], |rtmrs| rtmrs.map(Some));
        Register::RTMRS
            .into_iter()
            .zip(self.replay.rtmrs)
            .zip(wanted)
            .map(|((register, replayed), wanted)| Row {
                register,
                replayed,
                wanted,
                outcome: match wanted {
                    None => Outcome::Skip,
                    Some(wanted) if wanted == replayed => Outcome::Pass,
                    Some(_) => Outcome::Fail,
                },
            })
            .collect()
    }

    /// How the run-time events end, where the log has any.
    fn closing(&self) -> Option<(Outcome, String)> {
        match self.log.closing.as_ref()? {
            Ok(before) => Some((
                Outcome::Pass,
                format!("once and last, after {before} events"),
            )),
            Err(error) => Some((Outcome::Fail, error.to_string())),
        }
    }

    fn differences(&self) -> Vec<Difference<'_>> {
        self.reference
            .as_ref()
            .map(|reference| differences(&self.log.events, &reference.events))
            .unwrap_or_default()
    }

    fn notes(&self) -> Vec<&'static str> {
        let registers = self.registers.as_ref();
        let quote = registers
            .filter(|registers| registers.source == "quote")
            .map(|_| "the quote was not verified; `cocoon-attest verify` does that");
        let report = registers
            .filter(|registers| registers.source == "TD report")
            .map(|_| "a TD report proves nothing outside its machine");
        let uncovered = self
            .log
            .events
            .iter()
            .any(|event| event.extends() && event.coverage() == Coverage::Nothing)
            .then_some(
                "where `covers` says nothing, the digest is of data outside the log, and the description is only said",
            );
        [quote, report, uncovered].into_iter().flatten().collect()
    }

    fn to_json(&self) -> Value {
        let registers: Vec<Value> = self.rows().iter().map(row_json).collect();
        let events: Vec<Value> = (1..)
            .zip(&self.log.events)
            .map(|(entry, event)| event_json(entry, event))
            .collect();
        let differences: Vec<Value> = self.differences().iter().map(difference_json).collect();
        let closing = self
            .closing()
            .map(|(outcome, seen)| json!({ "outcome": outcome, "seen": seen }));
        json!({
            "schema": "cocoon-attest/explain/1",
            "verdict": if self.passed() { "same" } else { "different" },
            "format": self.log.format,
            "events": events,
            "closing_event": closing,
            "registers_from": self.registers.as_ref().map(|registers| registers.source),
            "registers": registers,
            "reference": self.reference.as_ref().map(|reference| reference.format),
            "differences": differences,
            "notes": self.notes(),
        })
    }
}

fn row_json(row: &Row) -> Value {
    json!({
        "register": row.register.name(),
        "outcome": row.outcome,
        "replayed": row.replayed,
        "wanted": row.wanted,
    })
}

fn event_json(entry: usize, event: &Event) -> Value {
    json!({
        "entry": entry,
        "register": event.register.name(),
        "type": event.type_name(),
        "digest": event.digest,
        "extends": event.extends(),
        "covers": covers(event),
        "description": Subject::of(event).to_string(),
    })
}

fn difference_json(difference: &Difference<'_>) -> Value {
    json!({
        "register": difference.register.name(),
        "position": difference.position,
        "entry": difference.entry,
        "type": difference.type_name(),
        "description": difference.subject().to_string(),
        "change": match difference.change {
            Change::Changed => "changed",
            Change::Extra => "extra",
            Change::Missing => "missing",
            Change::Moved => "moved",
            Change::Replaced => "replaced",
        },
        "digest": difference.event.map(|event| event.digest),
        "reference_digest": difference.reference.map(|event| event.digest),
        "likely_cause": difference.cause(),
    })
}

/// What of an entry its digest vouches for.
fn covers(event: &Event) -> &'static str {
    match event.coverage() {
        Coverage::Content => "content",
        Coverage::VariableValue => "value",
        Coverage::Nothing => "nothing",
    }
}
