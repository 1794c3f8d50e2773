//! What an appraisal ends in: an attestation result, or a refusal.

use crate::{Claims, ErrorCode, ReportData, Transcript, VerifiedQuote, gpu::VerifiedGpu};

/// Evidence that passed every required step. Only [`crate::Appraiser::appraise`] makes one; whoever holds it may rely
/// on it without looking again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestationResult {
    findings: Findings,
    transcript: Transcript,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) verified: VerifiedQuote,
    pub(crate) claims: Claims,
    pub(crate) gpus: Vec<VerifiedGpu>,
    pub(crate) policy_digest: [u8; 32],
    pub(crate) collateral_grace_used_s: u64,
    pub(crate) tcb_grace_left_s: Option<u64>,
}

impl Findings {
    pub(crate) fn reference_ids(&self) -> Vec<String> {
        let ids = self.gpus.iter().flat_map(VerifiedGpu::reference_ids);
        ids.map(|reference| reference.id).collect()
    }
}

impl AttestationResult {
    pub(crate) const fn new(findings: Findings, transcript: Transcript) -> Self {
        Self {
            findings,
            transcript,
        }
    }

    /// Every step, for store and screen.
    #[must_use]
    pub const fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// The quote's facts.
    #[must_use]
    pub const fn verified_quote(&self) -> &VerifiedQuote {
        &self.findings.verified
    }

    /// The worker's claims, which the quote covers.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.findings.claims
    }

    /// The GPUs and switches whose evidence was appraised; empty where the policy demands none.
    #[must_use]
    pub fn gpus(&self) -> &[VerifiedGpu] {
        &self.findings.gpus
    }

    /// The manifests that describe those devices, by identifier.
    #[must_use]
    pub fn reference_ids(&self) -> Vec<String> {
        self.findings.reference_ids()
    }

    /// The attestation's id: the report data. Never a hash of the quote, which is malleable.
    #[must_use]
    pub fn report_data(&self) -> ReportData {
        self.findings.verified.report_data()
    }

    /// SHA-256 of the appraisal policy's text.
    #[must_use]
    pub const fn policy_digest(&self) -> [u8; 32] {
        self.findings.policy_digest
    }

    /// For how many seconds past its end the collateral was used; 0 when it was in date. Belongs into every metric.
    #[must_use]
    pub const fn collateral_grace_used_s(&self) -> u64 {
        self.findings.collateral_grace_used_s
    }

    /// For how many seconds the policy's grace for an outdated TCB still lasts; `None` where it was not needed.
    #[must_use]
    pub const fn tcb_grace_left_s(&self) -> Option<u64> {
        self.findings.tcb_grace_left_s
    }
}

/// Evidence that was refused. The other side learns the code and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {}", code.title())]
pub struct Refusal {
    /// The first failure's code.
    pub code: ErrorCode,
    /// Every step, for store and screen.
    pub transcript: Transcript,
    /// The manifests that describe the devices that verified, by identifier: an auditor needs them to come to the same.
    pub reference_ids: Vec<String>,
}
