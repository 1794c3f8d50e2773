//! `report-data`: recomputes report data and GPU nonce from the facts of a connection, hash by hash.

use attestation::Binding;
use ring::digest;
use serde::Deserialize;
use serde_json::json;

use anyhow::Context;

use crate::{
    World,
    answer::Answer,
    arguments::ReportData,
    input,
    output::{Document, Section},
};

/// The facts, as the JSON file has them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Facts {
    binding: Binding,
    #[serde(default, with = "hex::serde")]
    device_evidence: Vec<u8>,
    #[serde(default, with = "hex::serde")]
    claims: Vec<u8>,
}

pub(crate) fn run(arguments: &ReportData, world: &mut World<'_>) -> anyhow::Result<Answer> {
    let facts = match &arguments.facts {
        Some(path) => {
            let bytes = input::read(path, world.input)?;
            serde_json::from_slice(&bytes)
                .with_context(|| format!("{} does not hold the facts", path.display()))?
        }
        None => from_flags(arguments)?,
    };
    Ok(Answer::Information(document(&facts)))
}

/// Flags take the same road as the file, so that both mean the same.
fn from_flags(arguments: &ReportData) -> anyhow::Result<Facts> {
    let facts = json!({
        "binding": {
            "role": arguments.role,
            "hash": arguments.hash,
            "exported": arguments.exported,
            "attester_spki": arguments.attester_spki,
            "peer_spki": arguments.peer_spki,
        },
        "device_evidence": arguments.device_evidence,
        "claims": arguments.claims,
    });
    serde_json::from_value(facts).context("the flags do not state the facts of a connection")
}

fn document(facts: &Facts) -> Document {
    let binding = &facts.binding;
    let preimage = binding.preimage(&facts.device_evidence, &facts.claims);
    Document::new(
        "cocoon-attest/report-data/1",
        vec![
            Section::new("binding")
                .field("role", json!(binding.role))
                .field("hash", json!(binding.hash))
                .bytes("value", binding.value())
                .bytes("attester_key_hash", binding.attester_key_hash())
                .bytes("peer_key_sha256", sha256(&binding.peer_spki)),
            Section::new("members")
                .bytes("device_evidence_sha256", sha256(&facts.device_evidence))
                .bytes("claims_sha256", sha256(&facts.claims)),
            Section::new("result")
                .bytes("preimage", preimage.bytes())
                .field("report_data", preimage.report_data().to_string())
                .bytes("gpu_nonce", binding.gpu_nonce()),
        ],
    )
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA256, bytes).as_ref().to_vec()
}
