//! `collateral fetch`: from Intel or a PCCS into a file or a store. The one command that talks to a network.

use std::path::Path;

use anyhow::{Context, anyhow};
use attestation::{Collateral, Family, Quote, Verifier};
use pccs::{
    Acceptance, Attempt, Client, CollateralStore, FetchError, Fetched, Options, Put, Update,
};

use super::listing::{Entry, Listing, Outcome};
use crate::{World, arguments::CollateralFetch, input};

pub(crate) fn run(arguments: &CollateralFetch, world: &mut World<'_>) -> anyhow::Result<Listing> {
    let family = family(arguments, world)?;
    let client = client(arguments, world)?;
    let now_s = (world.now_s)();
    let verifier = Verifier::new(world.anchor.clone());
    let held = held(arguments, family);
    let acceptance = Acceptance {
        verifier: &verifier,
        now_s,
        held: held.as_ref(),
    };
    say(world, &format!("asking for collateral of {family}"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime cannot be started")?;
    let entry = match runtime.block_on(client.fetch(family, &acceptance)) {
        Ok(fetched) => kept(arguments, family, fetched, held.as_ref(), world)?,
        Err(error) => not_fetched(family, &error, world),
    };
    Ok(Listing::new(now_s, vec![entry]))
}

fn family(arguments: &CollateralFetch, world: &mut World<'_>) -> anyhow::Result<Family> {
    match (&arguments.quote, &arguments.fmspc) {
        (Some(path), _) => {
            let bytes = input::read_binary("quote", path, world.input)?;
            let quote =
                Quote::parse(&bytes).with_context(|| format!("{} is no quote", path.display()))?;
            Ok(quote.family()?)
        }
        (None, Some(digits)) => Ok(Family {
            fmspc: input::decode_hex_array("--fmspc", digits)?,
            ca: arguments.ca,
        }),
        (None, None) => Err(anyhow!("--fmspc or --quote says for which platforms")),
    }
}

fn client(arguments: &CollateralFetch, world: &mut World<'_>) -> anyhow::Result<Client> {
    let ca = match &arguments.pccs_ca {
        Some(path) => Some(input::read(path, world.input)?),
        None => None,
    };
    let update = match (arguments.evaluation_number, arguments.early) {
        (Some(number), _) => Update::Number(number),
        (None, true) => Update::Early,
        (None, false) => Update::Standard,
    };
    let options = Options {
        sources: arguments.urls.clone(),
        update,
        ca,
        ..Options::default()
    };
    Ok(Client::new(options)?)
}

/// What the fetched collateral would take the place of.
fn held(arguments: &CollateralFetch, family: Family) -> Option<Collateral> {
    match (&arguments.store, &arguments.output) {
        (Some(folder), _) => CollateralStore::at(folder).find(family),
        (None, Some(path)) => {
            let held = Collateral::from_json(&std::fs::read(path).ok()?).ok()?;
            (held.family() == Some(family)).then_some(held)
        }
        (None, None) => None,
    }
}

fn kept(
    arguments: &CollateralFetch,
    family: Family,
    fetched: Fetched,
    held: Option<&Collateral>,
    world: &mut World<'_>,
) -> anyhow::Result<Entry> {
    report(&fetched.attempts, world);
    say(world, &format!("{} has it", fetched.source));
    let put = match (&arguments.store, &arguments.output) {
        (Some(folder), _) => CollateralStore::at(folder).put(&fetched.collateral)?,
        (None, Some(path)) => write(path, fetched.collateral.collateral(), held)?,
        (None, None) => return Err(anyhow!("--output or --store says where to")),
    };
    Ok(Entry {
        origin: family.to_string(),
        family: Some(family),
        collateral: Some(fetched.collateral.into_collateral()),
        outcome: match put {
            Put::Written => Outcome::Written,
            Put::Unchanged => Outcome::Unchanged,
        },
    })
}

fn write(path: &Path, fetched: &Collateral, held: Option<&Collateral>) -> anyhow::Result<Put> {
    if held == Some(fetched) {
        return Ok(Put::Unchanged);
    }
    pccs::write_whole(path, fetched.to_json()?.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Put::Written)
}

fn not_fetched(family: Family, error: &FetchError, world: &mut World<'_>) -> Entry {
    report(&error.attempts, world);
    let reason = error
        .attempts
        .last()
        .map_or_else(|| error.to_string(), Attempt::to_string);
    Entry {
        origin: family.to_string(),
        family: Some(family),
        collateral: None,
        outcome: if error.is_refusal() {
            Outcome::Refused(reason)
        } else {
            Outcome::Unreachable(reason)
        },
    }
}

fn report(attempts: &[Attempt], world: &mut World<'_>) {
    for attempt in attempts {
        say(world, &attempt.to_string());
    }
}

/// Progress, for the person who waits; the answer does not depend on it.
fn say(world: &mut World<'_>, text: &str) {
    if world.machine.quiet {
        return;
    }
    let _ = writeln!(
        world.errors,
        "cocoon-attest: {}",
        attestation::one_line(text)
    );
}
