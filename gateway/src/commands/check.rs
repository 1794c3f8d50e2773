//! `cocoon-gateway config check`, behind the mistakes: what a gateway would start with all the same, and refuse workers for. It
//! picks files up as they come.

use std::fmt::Write;
use std::path::Path;

use attestation::gpu::VerifiedReferences;
use attestation::policy::rules::{Constraint, Presence};
use attestation::{
    AppraisalPolicy, Collateral, ErrorCode, Family, Verifier, VerifyError, one_line, rfc_3339,
};

use crate::config::Config;
use crate::problem::chain;
use crate::references::{self, read_folder};
use crate::world::World;

/// One line for each thing that is amiss.
pub(super) fn notes(config: &Config, policy: &AppraisalPolicy, world: &World) -> String {
    let mut notes = collateral(policy, world);
    notes.extend(gpu_references(config, policy, world));
    notes.iter().fold(String::new(), |mut text, note| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "note: {}", one_line(note));
        text
    })
}

fn collateral(policy: &AppraisalPolicy, world: &World) -> Vec<String> {
    let reading = world.collateral.read();
    let mut notes: Vec<_> = reading.faults.iter().map(|fault| chain(fault)).collect();
    if reading.stored.is_empty() {
        let code = ErrorCode::CollateralMissing;
        notes.push(format!(
            "there is no collateral yet: every worker would be refused with {code}"
        ));
    }
    let verifier = Verifier::new(world.trust_anchor.clone());
    let now_s = world.clock.now_us() / 1_000_000;
    let families = reading.families().into_iter();
    notes.extend(families.filter_map(|(family, collateral)| {
        one_family(family, collateral, &verifier, policy, now_s)
    }));
    notes
}

fn one_family(
    family: Family,
    collateral: Collateral,
    verifier: &Verifier,
    policy: &AppraisalPolicy,
    now_s: u64,
) -> Option<String> {
    let ends_s = collateral
        .next_update_s()
        .saturating_add(policy.collateral_grace_s());
    let error = verifier.verify_collateral(collateral, now_s).err()?;
    let reason = chain(&error);
    match error {
        // No store keeps it, but an appraisal takes it.
        VerifyError::ForeignPckChain => None,
        VerifyError::Expired { .. } if now_s < ends_s => Some(format!(
            "collateral of {family}: {reason}; by the policy's grace it counts until {}",
            rfc_3339(ends_s)
        )),
        error => Some(format!(
            "collateral of {family}: {reason}: its workers would be refused with {}",
            error.code()
        )),
    }
}

fn gpu_references(config: &Config, policy: &AppraisalPolicy, world: &World) -> Vec<String> {
    let missing = ErrorCode::GpuReferenceMissing;
    let consequence = if demands_references(policy) {
        format!(": every GPU would be refused with {missing}")
    } else {
        String::new()
    };
    let Some(folder) = &config.attestation.gpu_references_dir else {
        if consequence.is_empty() {
            return Vec::new();
        }
        return vec![format!(
            "the policy demands reference measurements, and there is no attestation.gpu_references_dir{consequence}"
        )];
    };
    let documents = match read_folder(folder) {
        Ok(documents) => documents,
        Err(error) => return vec![format!("{}{consequence}", chain(&error))],
    };
    let mut notes = strangers(folder);
    if documents.is_empty() {
        notes.push(format!(
            "{} holds no reference manifests{consequence}",
            folder.display()
        ));
    }
    let references = VerifiedReferences::verify(&documents, &world.gpu_trust_anchor);
    let refused = references.refused();
    notes.extend(refused.map(|(id, error)| format!("reference manifest {id}: {}", chain(error))));
    notes
}

fn demands_references(policy: &AppraisalPolicy) -> bool {
    let required = Constraint::Presence(Presence::Required);
    let rules = policy.rules();
    let mut rules = rules.iter();
    rules.any(|rule| rule.path == "gpu.reference_measurements" && rule.constraint == required)
}

/// Files that look like none of the manifests that the gateway reads.
fn strangers(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    let mut strangers: Vec<_> = paths
        .filter(|path| references::identifier(path).is_none())
        .map(|path| {
            format!(
                "{} is not read: manifests end with .xml or .swidtag",
                path.display()
            )
        })
        .collect();
    strangers.sort_unstable();
    strangers
}

#[cfg(test)]
mod tests;
