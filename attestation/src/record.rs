//! The auditor's record of an attestation: everything that the verdict was reached from, so that anyone can reach it
//! again, offline. Binding and time are the gateway's word.

use serde::{Deserialize, Serialize};

use crate::{
    AppraisalPolicy, Appraiser, Binding, Claims, ClaimsError, Collateral, Evidence, PolicyError,
    ReportData, Transcript, Verifier,
    gpu::{GpuReferences, GpuVerifier, VerifiedReferences},
};

/// One attestation, as JSON. Read back it is untrusted: appraise it again with [`AttestationRecord::audit`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttestationRecord {
    /// The CMW collection's bytes, in hexadecimal.
    #[serde(with = "crate::evidence::hexadecimal")]
    evidence: Evidence,
    binding: Binding,
    collateral: Collateral,
    /// NVIDIA's manifests that the measurements of the GPUs were compared with.
    #[serde(default, skip_serializing_if = "GpuReferences::is_empty")]
    references: GpuReferences,
    policy: String,
    transcript: Transcript,
}

impl AttestationRecord {
    pub(crate) fn new(
        evidence: Evidence,
        binding: Binding,
        collateral: Collateral,
        references: GpuReferences,
        policy: &AppraisalPolicy,
        transcript: Transcript,
    ) -> Self {
        Self {
            evidence,
            binding,
            collateral,
            references,
            policy: policy.text().to_owned(),
            transcript,
        }
    }

    /// The attestation's id: the report data that the quote must carry.
    #[must_use]
    pub fn attestation_id(&self) -> ReportData {
        self.binding
            .preimage(self.evidence.device_evidence_bytes(), &self.evidence.claims)
            .report_data()
    }

    /// The evidence as it was sent.
    #[must_use]
    pub const fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The connection that it was sent over, in the gateway's word.
    #[must_use]
    pub const fn binding(&self) -> &Binding {
        &self.binding
    }

    /// The collateral that it was verified with.
    #[must_use]
    pub const fn collateral(&self) -> &Collateral {
        &self.collateral
    }

    /// The reference manifests of GPUs that it was appraised with; empty where none were needed.
    #[must_use]
    pub const fn references(&self) -> &GpuReferences {
        &self.references
    }

    /// The text of the policy that it was appraised under.
    #[must_use]
    pub fn policy_text(&self) -> &str {
        &self.policy
    }

    /// The gateway's verdict, in its own words.
    #[must_use]
    pub const fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// When the gateway reached it, in seconds since the Unix epoch, in the gateway's word.
    #[must_use]
    pub const fn time_s(&self) -> u64 {
        self.transcript.time_s
    }

    /// The worker's claims, with the key of its receipts. Untrusted unless an audit accepts the record.
    pub fn claims(&self) -> Result<Claims, ClaimsError> {
        Claims::decode(&self.evidence.claims)
    }

    /// Reach the verdict again: under the recorded policy, collateral and time, and the auditor's own trust anchors.
    pub fn audit(
        &self,
        verifier: &Verifier,
        gpu_verifier: &GpuVerifier,
    ) -> Result<Transcript, PolicyError> {
        let policy = AppraisalPolicy::from_toml(&self.policy)?;
        Ok(self.audit_under(verifier, gpu_verifier, &policy, self.time_s()))
    }

    /// Reach a verdict under another policy or time.
    #[must_use]
    pub fn audit_under(
        &self,
        verifier: &Verifier,
        gpu_verifier: &GpuVerifier,
        policy: &AppraisalPolicy,
        now_s: u64,
    ) -> Transcript {
        let references = VerifiedReferences::verify(&self.references, gpu_verifier.anchor());
        Appraiser {
            verifier,
            gpu_verifier,
            policy,
            collateral: &self.collateral,
            references: &references,
        }
        .audit(&self.evidence, &self.binding, now_s)
    }
}
