//! `collateral`: Intel's collateral from the network or a bundle into a store, and what is in one.

mod fetch;
mod listing;
mod show;
mod transfer;

use crate::{
    World,
    answer::{Answer, Findings},
    arguments::Collateral,
};

pub(crate) fn run(command: &Collateral, world: &mut World<'_>) -> anyhow::Result<Answer> {
    let listing = match command {
        Collateral::Fetch(arguments) => fetch::run(arguments, world),
        Collateral::Show(arguments) => show::run(arguments, world),
        Collateral::Import(arguments) => transfer::import(arguments, world),
        Collateral::Export(arguments) => transfer::export(arguments, world),
    };
    let listing = listing?;
    Ok(Answer::Findings(Findings {
        json: listing.to_json(),
        text: listing.to_text(),
        exit: listing.exit(),
    }))
}
