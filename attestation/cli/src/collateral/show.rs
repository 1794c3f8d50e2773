//! `collateral show`: what is in a store, a bundle or a file, and whether it verifies.

use std::{fs::File, path::Path};

use anyhow::Context;
use attestation::{Collateral, Verifier};
use pccs::{Bundle, BundleError, CollateralStore};

use super::listing::{Entry, Listing};
use crate::{World, arguments::CollateralShow, input};

pub(crate) fn run(arguments: &CollateralShow, world: &mut World<'_>) -> anyhow::Result<Listing> {
    let path = &arguments.path;
    let now_s = input::parse_time(&arguments.time, world.now_s)?;
    let verifier = Verifier::new(world.anchor.clone());
    let entries = if path.is_dir() {
        of_store(path, &verifier, now_s)
    } else {
        match Bundle::read(open(path)?) {
            Ok(bundle) => of_bundle(path, bundle, &verifier, now_s),
            // One set of collateral is JSON of another shape.
            Err(BundleError::Json(_)) => vec![of_file(path, &verifier, now_s, world)?],
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
    };
    Ok(Listing::of(path, now_s, entries))
}

pub(super) fn open(path: &Path) -> anyhow::Result<File> {
    File::open(path).with_context(|| format!("cannot open {}", path.display()))
}

fn of_store(path: &Path, verifier: &Verifier, now_s: u64) -> Vec<Entry> {
    let reading = CollateralStore::at(path).read();
    let stored = reading.stored.into_iter().map(|stored| {
        let origin = stored.path.display().to_string();
        Entry::verified(origin, stored.collateral, verifier, now_s)
    });
    let faults = reading.faults.iter();
    let faults = faults.map(|fault| Entry::refused(path.display().to_string(), fault));
    stored.chain(faults).collect()
}

fn of_bundle(path: &Path, bundle: Bundle, verifier: &Verifier, now_s: u64) -> Vec<Entry> {
    let numbered = (1_u32..).zip(bundle.entries);
    numbered
        .map(|(number, entry)| {
            let origin = format!("{}, entry {number}", path.display());
            match entry {
                Ok((_, collateral)) => Entry::verified(origin, collateral, verifier, now_s),
                Err(error) => Entry::refused(origin, &error),
            }
        })
        .collect()
}

fn of_file(
    path: &Path,
    verifier: &Verifier,
    now_s: u64,
    world: &mut World<'_>,
) -> anyhow::Result<Entry> {
    let origin = path.display().to_string();
    let json = input::read(path, world.input)?;
    let collateral = Collateral::from_json(&json).with_context(|| origin.clone())?;
    Ok(Entry::verified(origin, collateral, verifier, now_s))
}
