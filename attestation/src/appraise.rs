//! Appraising evidence: the gate's steps 3 to 11 in order, each with its own codes, all of them in one transcript.
//!
//! Steps 1 and 2 (frames and authenticator) are the channel's and come before. A quote that does not parse or verify
//! ends the appraisal, since nothing it says can be looked at. Behind that, every step is taken even after one has
//! failed: an operator wants to see all that is wrong at once. The first failure names the refusal.

mod event_log;
mod gpu;
mod measurements;
mod quote_alone;
mod steps;
mod tcb;
mod td;
mod verification;
mod worker;

use crate::{
    AppraisalPolicy, AttestationRecord, AttestationResult, Binding, Claims, Collateral, Enrolment,
    ErrorCode, Evidence, Refusal, Transcript, VerifiedQuote, Verifier,
    gpu::{GpuVerifier, VerifiedGpu, VerifiedReferences},
    result::Findings,
};
use gpu::GpuAppraisal;
use steps::{Steps, Verdict};

/// Everything that an appraisal needs besides evidence, connection and time.
#[derive(Clone, Copy, Debug)]
pub struct Appraiser<'a> {
    /// Verifies the quote, under its trust anchor.
    pub verifier: &'a Verifier,
    /// Verifies GPU evidence, under its own.
    pub gpu_verifier: &'a GpuVerifier,
    /// The operator's rules.
    pub policy: &'a AppraisalPolicy,
    /// Intel's statements on the quote's platform.
    pub collateral: &'a Collateral,
    /// NVIDIA's statements on drivers and firmware.
    pub references: &'a VerifiedReferences,
}

impl Appraiser<'_> {
    /// Appraise evidence that came over the connection of `binding`, at `now_s` (seconds since the Unix epoch).
    ///
    /// Also appraises again what was admitted before, under a new policy, newer collateral or a later time.
    pub fn appraise(
        &self,
        evidence: &Evidence,
        binding: &Binding,
        enrolment: &dyn Enrolment,
        now_s: u64,
    ) -> Result<AttestationResult, Refusal> {
        let (transcript, findings) = self.run(evidence, binding, Some(enrolment), now_s);
        match (transcript.refusal(), findings) {
            (None, Some(findings)) => Ok(AttestationResult::new(findings, transcript)),
            (code, findings) => Err(Refusal {
                code: code.unwrap_or(ErrorCode::Internal),
                transcript,
                reference_ids: findings.map_or_else(Vec::new, |findings| findings.reference_ids()),
            }),
        }
    }

    /// Appraise as an auditor does: without the register of workers. The steps that need it are skipped, and the
    /// transcript says so; it admits nobody.
    #[must_use]
    pub fn audit(&self, evidence: &Evidence, binding: &Binding, now_s: u64) -> Transcript {
        self.run(evidence, binding, None, now_s).0
    }

    /// What an auditor needs to appraise again what `transcript` is the transcript of, with the manifests of those `gpus`.
    #[must_use]
    pub fn record(
        &self,
        evidence: &Evidence,
        binding: &Binding,
        transcript: &Transcript,
        gpus: &[VerifiedGpu],
    ) -> AttestationRecord {
        let ids: Vec<_> = gpus.iter().flat_map(VerifiedGpu::reference_ids).collect();
        let ids = ids.iter().map(|reference| reference.id.as_str());
        AttestationRecord::new(
            evidence.clone(),
            binding.clone(),
            self.collateral.clone(),
            self.references.documents().only(ids),
            self.policy,
            transcript.clone(),
        )
    }

    fn run(
        &self,
        evidence: &Evidence,
        binding: &Binding,
        enrolment: Option<&dyn Enrolment>,
        now_s: u64,
    ) -> (Transcript, Option<Findings>) {
        let mut steps = Steps::default();
        let findings = self.findings(&mut steps, evidence, binding, enrolment, now_s);
        (self.transcript(steps, now_s), findings)
    }

    fn transcript(&self, steps: Steps, now_s: u64) -> Transcript {
        Transcript {
            trust_anchor: self.verifier.anchor().label().to_owned(),
            policy_digest: hex::encode(self.policy.digest()),
            time_s: now_s,
            steps: steps.into_vec(),
        }
    }

    fn findings(
        &self,
        steps: &mut Steps,
        evidence: &Evidence,
        binding: &Binding,
        enrolment: Option<&dyn Enrolment>,
        now_s: u64,
    ) -> Option<Findings> {
        let (verified, collateral_grace_used_s) =
            self.verified(steps, &evidence.quote, now_s, worker::CLAIMS)?;
        let bound = report_data(steps, evidence, binding, &verified);
        td::appraise(steps, self.policy, &verified);
        let tcb_grace_left_s = tcb::appraise(steps, self.policy, verified.tcb(), now_s);
        measurements::appraise(steps, self.policy, &verified, Some(evidence));
        let claims = Claims::decode(&evidence.claims);
        worker::platform(
            steps,
            self.policy,
            &verified,
            claims.as_ref().ok(),
            enrolment,
        );
        let gpus = GpuAppraisal {
            verifier: self.gpu_verifier,
            references: self.references,
            demand: &self.policy.gpu,
            binding,
            now_s,
        };
        let gpus = match bound {
            Verdict::Holds => gpus.appraise(steps, evidence, claims.as_ref().ok()),
            Verdict::Fails => gpus.unbound(steps),
        };
        let claims = worker::claims(steps, claims, &gpus, binding, enrolment)?;
        let policy_digest = self.policy.digest();
        Some(Findings {
            verified,
            claims,
            gpus,
            policy_digest,
            collateral_grace_used_s,
            tcb_grace_left_s,
        })
    }
}

/// Step 5. The preimage is built from this side's view of the connection; nothing is read out of a message.
fn report_data(
    steps: &mut Steps,
    evidence: &Evidence,
    binding: &Binding,
    verified: &VerifiedQuote,
) -> Verdict {
    let wanted = binding
        .preimage(evidence.device_evidence_bytes(), &evidence.claims)
        .report_data();
    let seen = verified.report_data();
    let verdict = Verdict::from(seen == wanted);
    steps.step(5, "report data", wanted.to_string()).end(
        verdict,
        ErrorCode::ReportDataMismatch,
        seen.to_string(),
    );
    verdict
}
