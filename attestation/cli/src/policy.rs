//! `policy`: find mistakes in an appraisal policy, compare two, try one on stored evidence.

mod diff;
mod lint;
mod simulate;
mod warnings;

pub(crate) use {diff::diff, lint::lint, simulate::simulate};
