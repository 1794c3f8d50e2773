//! `doctor`: examines the machine that a worker is to run on, one thing after the other, each failure with its remedy.

mod collateral;
mod event_log;
mod examination;
mod gpu;
mod quote;
mod socket;
mod trust_domain;
mod tsm;

use std::fmt::Write as _;

use attestation::{Outcome, Verifier, one_line};
use serde_json::json;

use crate::{
    Exit, World,
    answer::{Answer, Findings},
    arguments::Doctor,
    output::Paint,
    verify::read_collateral,
};
use collateral::Service;
use examination::Examination;

pub(crate) fn run(arguments: &Doctor, world: &mut World<'_>) -> anyhow::Result<Answer> {
    let collateral = match &arguments.collateral {
        Some(path) => Some(read_collateral(path, world)?),
        None => None,
    };
    let service = match &arguments.url {
        Some(url) => Some(Service::new(url, arguments.pccs_ca.as_deref())?),
        None => None,
    };
    let now_s = (world.now_s)();
    let machine = &world.machine;
    let mut examinations = trust_domain::examine(machine);
    let is_td = examinations.first().is_some_and(Examination::passed);
    let socket = machine.path(&arguments.socket);
    let subject = quote::Subject {
        machine,
        socket: &socket,
        is_td,
        collateral,
        service: service.as_ref(),
        verifier: Verifier::new(world.anchor.clone()),
        now_s,
    };
    let (quotes, quote) = quote::examine(&subject);
    examinations.extend(quotes);
    examinations.push(event_log::examine(machine, is_td, quote.as_ref()));
    examinations.extend(gpu::examine(machine, arguments.require_gpu));
    let paint = Paint(machine.colour);
    let failed = count(&examinations, Outcome::Fail);
    Ok(Answer::Findings(Findings {
        json: json!({
            "schema": "cocoon-attest/doctor/1",
            "trust_domain": is_td,
            "passed": count(&examinations, Outcome::Pass),
            "failed": failed,
            "skipped": count(&examinations, Outcome::Skip),
            "examinations": examinations,
        }),
        text: shown(&examinations, is_td, paint),
        exit: if failed == 0 {
            Exit::Success
        } else {
            Exit::Findings
        },
    }))
}

fn count(examinations: &[Examination], outcome: Outcome) -> usize {
    let same = |examination: &&Examination| examination.outcome == outcome;
    examinations.iter().filter(same).count()
}

fn shown(examinations: &[Examination], is_td: bool, paint: Paint) -> String {
    let widths = examinations
        .iter()
        .map(|examination| examination.name.len());
    let width = widths.max().unwrap_or_default();
    let mut text = String::new();
    for examination in examinations {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{}  {:width$}  {}",
            paint.outcome(examination.outcome),
            examination.name,
            one_line(&examination.seen)
        );
        if let Some(remedy) = &examination.remedy {
            let _ = writeln!(text, "{:6}{:width$}  remedy: {}", "", "", one_line(remedy));
        }
    }
    if !is_td {
        text.push_str("\nThis machine is no TDX trust domain: no worker can attest on it.\n");
    }
    let _ = writeln!(
        text,
        "\n{} passed, {} failed, {} skipped",
        count(examinations, Outcome::Pass),
        count(examinations, Outcome::Fail),
        count(examinations, Outcome::Skip)
    );
    text
}
