//! What a worker claims of itself.

use anyhow::Context;
use attestation::Claims;
use serde_json::json;

use super::NOT_VERIFIED;
use crate::output::Section;

pub(super) fn section(bytes: &[u8]) -> anyhow::Result<Section> {
    let claims = Claims::decode(bytes).context("the claims cannot be parsed")?;
    Ok(Section::new("claims")
        .field("worker_id", claims.worker_id)
        .field("executor", json!(claims.executor))
        .field("sequence", claims.sequence)
        .bytes("boot_id", claims.boot_id)
        .bytes("receipt_key_spki", claims.receipt_key_spki)
        .bytes("enrolment_mac", claims.enrolment_mac)
        .bytes("agent_digest", claims.agent_digest)
        .bytes("configuration_digest", claims.configuration_digest)
        .bytes("module_digest", claims.module_digest)
        .field("libraries", json!(claims.libraries))
        .field("gpus", json!(claims.gpus))
        .field("length_bytes", bytes.len())
        .field("verified", NOT_VERIFIED))
}
