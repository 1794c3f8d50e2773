//! Conformance with evidence that others made: every quote and every synthetic case of a vectors directory gives the
//! verdict that its `MANIFEST.tsv` states.
//!
//! The directory is named by `COCOON_VECTORS` and is never part of the repository; without it these tests say that
//! they are skipped. Columns used: file, collateral, time, expect (`accept`, `reject`, `parse`) and detail.
//!
//! The manifest's verdicts are those of a verifier that also looks at a few TD attributes. Ours keeps verification
//! (signatures, collateral) and appraisal (rules) apart: a quote that the manifest rejects for debug mode or for a
//! service TD *verifies* here, and is refused by the appraisal with the code of that rule.

#[cfg(test)]
mod collateral;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod event_logs;
#[cfg(test)]
mod flips;
#[cfg(test)]
mod known_answer;
#[cfg(test)]
mod manifest;
#[cfg(test)]
mod mutation;
#[cfg(test)]
mod nvidia;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod rim;
#[cfg(test)]
mod support;
#[cfg(test)]
mod table;
