//! `collateral import` and `export`: a store as one file, for pools without a network.

use anyhow::{Context, bail};
use attestation::Verifier;
use pccs::{Bundle, CollateralStore, Put};

use super::{
    listing::{Entry, Listing, Outcome},
    show::open,
};
use crate::{
    World,
    arguments::{CollateralExport, CollateralImport},
    checks::chain,
};

pub(crate) fn import(
    arguments: &CollateralImport,
    world: &mut World<'_>,
) -> anyhow::Result<Listing> {
    let path = &arguments.bundle;
    let bundle = Bundle::read(open(path)?).with_context(|| path.display().to_string())?;
    let now_s = (world.now_s)();
    let verifier = Verifier::new(world.anchor.clone());
    let store = CollateralStore::at(&arguments.store);
    let offered: Vec<_> = bundle
        .entries
        .iter()
        .map(|entry| {
            entry
                .as_ref()
                .ok()
                .map(|(_, collateral)| collateral.clone())
        })
        .collect();
    let imported = bundle.import(&store, &verifier, now_s);
    let entries = (1_u32..).zip(imported.into_iter().zip(offered));
    let entries = entries.map(|(number, (imported, collateral))| Entry {
        origin: format!("{}, entry {number}", path.display()),
        family: imported.family,
        collateral,
        outcome: match imported.outcome {
            Ok(Put::Written) => Outcome::Written,
            Ok(Put::Unchanged) => Outcome::Unchanged,
            Err(error) => Outcome::Refused(chain(&error)),
        },
    });
    Ok(Listing::of(path, now_s, entries.collect()))
}

/// Writes everything that the store holds for TDs, and says of each whether it would be taken now.
pub(crate) fn export(
    arguments: &CollateralExport,
    world: &mut World<'_>,
) -> anyhow::Result<Listing> {
    let store = CollateralStore::at(&arguments.store);
    let bundle = Bundle::of(&store);
    if bundle.entries.is_empty() {
        bail!("there is no collateral in {}", arguments.store.display());
    }
    let (now_s, output) = ((world.now_s)(), &arguments.output);
    pccs::write_whole(output, bundle.to_json()?.as_bytes())
        .with_context(|| format!("cannot write {}", output.display()))?;
    let verifier = Verifier::new(world.anchor.clone());
    let entries = bundle.entries.into_iter().flatten();
    let entries = entries.map(|(family, collateral)| {
        Entry::verified(family.to_string(), collateral, &verifier, now_s)
    });
    Ok(Listing::new(now_s, entries.collect()))
}
