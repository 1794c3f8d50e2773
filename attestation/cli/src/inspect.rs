//! `inspect`: what a file says, whatever it is. Nothing here is verified, and the output says so.

mod bits;
mod claims;
mod collateral;
mod collection;
mod devices;
mod event_log;
mod quote;
mod recognise;
mod stored;
mod td_report;

use anyhow::Context;

use crate::{
    World,
    answer::Answer,
    arguments::{Inspect, Kind},
    input,
    output::{Document, Section},
};

/// What stands in every description.
const NOT_VERIFIED: &str = "no; `cocoon-attest verify` does that";

pub(crate) fn run(arguments: &Inspect, world: &mut World<'_>) -> anyhow::Result<Answer> {
    let name = arguments.file.display();
    let bytes = input::read(&arguments.file, world.input)?;
    let (kind, bytes) = recognise::recognise(bytes, arguments.kind)
        .with_context(|| format!("{name} is nothing that this tool knows"))?;
    let sections = sections(kind, &bytes).with_context(|| {
        let noun = recognise::noun(kind);
        match arguments.kind {
            Some(_) => format!("{name} cannot be read as {noun}"),
            None => format!("{name} looks like {noun}, but cannot be read as one"),
        }
    })?;
    let document = Document::new("cocoon-attest/inspect/1", sections);
    Ok(Answer::Information(document.of_kind(recognise::name(kind))))
}

fn sections(kind: Kind, bytes: &[u8]) -> anyhow::Result<Vec<Section>> {
    match kind {
        Kind::Quote => quote::sections(bytes),
        Kind::TdReport => td_report::sections(bytes),
        Kind::Collection => collection::sections(bytes),
        Kind::Claims => Ok(vec![claims::section(bytes)?]),
        Kind::Collateral => Ok(vec![collateral::section(bytes)?]),
        Kind::Record => stored::record(bytes),
        Kind::Bundle => stored::bundle(bytes),
        Kind::GpuEvidence => devices::sections(bytes),
        Kind::CertificateChain => Ok(vec![devices::chain(bytes)?]),
        Kind::Manifest => Ok(vec![devices::manifest(bytes)?]),
        Kind::EventLog => Ok(vec![event_log::section(bytes)?]),
    }
}
