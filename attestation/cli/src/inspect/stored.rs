//! What an attestation record or a bundle holds.

use anyhow::Context;
use attestation::{AttestationRecord, Binding, rfc_3339};
use serde_json::json;

use super::{NOT_VERIFIED, collateral, collection, quote};
use crate::{
    bundle::{Bundle, Subject},
    output::Section,
};

pub(super) fn record(bytes: &[u8]) -> anyhow::Result<Vec<Section>> {
    let record: AttestationRecord =
        serde_json::from_slice(bytes).context("the record cannot be parsed")?;
    let refusal = record.transcript().refusal();
    let summary = Section::new("record")
        .field("attestation_id", record.attestation_id().to_string())
        .field("time", rfc_3339(record.time_s()))
        .field("policy_digest", record.transcript().policy_digest.clone())
        .field("trust_anchor_claimed", record.transcript().trust_anchor.clone())
        .field("verdict_claimed", refusal.map_or("accepted", |_| "refused"))
        .field("code_claimed", refusal.map(attestation::ErrorCode::as_str))
        .field("whose_word", "binding, time and verdict are the gateway's; the quote is the platform's, the collateral Intel's")
        .field("verified", NOT_VERIFIED);
    let mut sections = vec![summary];
    sections.extend(parts(&Bundle::from(&record)));
    Ok(sections)
}

pub(super) fn bundle(bytes: &[u8]) -> anyhow::Result<Vec<Section>> {
    let bundle = Bundle::parse(bytes)?;
    let policy = bundle.own_policy()?;
    let id = bundle.attestation_id().map(|id| id.to_string());
    let summary = Section::new("bundle")
        .field("attestation_id", id)
        .field("time", rfc_3339(bundle.time_s))
        .field("policy_digest", hex::encode(policy.digest()))
        .field("whose_word", "policy, binding and time are its author's; the quote is the platform's, the collateral Intel's")
        .field("verified", NOT_VERIFIED);
    let mut sections = vec![summary];
    sections.extend(parts(&bundle));
    Ok(sections)
}

fn parts(bundle: &Bundle) -> Vec<Section> {
    let mut sections = Vec::new();
    match &bundle.subject {
        Subject::Quote { bytes, .. } => sections.extend(match quote::sections(bytes) {
            Ok(sections) => sections,
            Err(error) => vec![Section::new("quote").field("unreadable", format!("{error:#}"))],
        }),
        Subject::Evidence {
            collection,
            binding: facts,
        } => {
            sections.extend(facts.as_ref().map(binding));
            sections.extend(collection::contents(collection));
        }
    }
    sections.push(collateral::describe(&bundle.collateral));
    sections
}

fn binding(binding: &Binding) -> Section {
    Section::new("binding")
        .field("role", json!(binding.role))
        .field("hash", json!(binding.hash))
        .bytes("exported", binding.exported)
        .bytes("attester_spki", &binding.attester_spki)
        .bytes("peer_spki", &binding.peer_spki)
        .bytes("gpu_nonce", binding.gpu_nonce())
}
