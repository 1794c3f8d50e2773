//! Appraising again what was accepted before, from its record: policy or collateral were replaced, and the worker has
//! nothing to do with it. No new quote is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use attestation::{AttestationRecord, ErrorCode, Outcome, Refusal, Transcript};
use protocol::WorkerId;

use super::relying_party::{Appraisal, Attested, Judgement, RelyingParty, on_core};
use crate::store::{Document, NewReappraisal, StoredAttestation};

/// How it ended.
#[derive(Debug)]
pub(crate) enum Reappraisal {
    /// The evidence is accepted under what is in force now.
    Stands(Box<Attested>),
    /// It is refused: its session ends, and the worker learns the code that it would learn at the gate.
    Cut(ErrorCode),
    /// There is no verdict, for want of the record or of usable collateral. New evidence may do better.
    Undecided,
}

impl Reappraisal {
    /// For the metrics.
    const fn label(&self) -> &'static str {
        match self {
            Self::Stands(_) => "stands",
            Self::Cut(_) => "cut",
            Self::Undecided => "undecided",
        }
    }
}

/// Since the gateway's start, for the log; the metrics tell every outcome.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) reappraised: AtomicU64,
    pub(crate) cut: AtomicU64,
}

impl Tally {
    fn count(&self, reappraisal: &Reappraisal) {
        self.reappraised.fetch_add(1, Ordering::Relaxed);
        if matches!(reappraisal, Reappraisal::Cut(_)) {
            self.cut.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A verdict and its record.
struct Verdict {
    outcome: Result<Attested, ErrorCode>,
    record: NewReappraisal,
    transcript: Transcript,
}

impl RelyingParty {
    /// Appraises a live session's evidence again, under what is in force now. Records the verdict before anybody is told.
    pub(crate) async fn reappraise(&self, worker: &WorkerId, attestation: &str) -> Reappraisal {
        let reappraisal = match self.reappraise_recorded(worker, attestation).await {
            Ok(Ok(attested)) => Reappraisal::Stands(Box::new(attested)),
            Ok(Err(code)) => Reappraisal::Cut(code),
            Err(code) => {
                tracing::warn!(%worker, attestation, %code, title = code.title(), "a session cannot be appraised again; it is to attest");
                Reappraisal::Undecided
            }
        };
        self.metrics.reappraised(reappraisal.label());
        self.tally.count(&reappraisal);
        reappraisal
    }

    /// The verdict, or why there is none.
    async fn reappraise_recorded(
        &self,
        worker: &WorkerId,
        attestation: &str,
    ) -> Result<Result<Attested, ErrorCode>, ErrorCode> {
        let place = self.reappraisals.acquire().await;
        let _place = place.map_err(|_| ErrorCode::Internal)?;
        let verdict = self.verdict(worker, attestation).await?;
        let recorded = self.store.record_reappraisal(verdict.record).await;
        match (verdict.outcome, recorded) {
            (Ok(attested), Ok(())) => Ok(Ok(attested)),
            (Ok(_), Err(error)) => {
                tracing::error!(%error, %worker, "a verdict cannot be recorded");
                Err(ErrorCode::Internal)
            }
            // A refusal holds whether or not it can be written down.
            (Err(code), _) => {
                tracing::warn!(%worker, %code, transcript = %verdict.transcript, "a session does not stand under what is in force now");
                self.metrics.refused("reappraisal", code);
                self.record_refusal(Some(worker), code).await;
                Ok(Err(code))
            }
        }
    }

    async fn verdict(&self, worker: &WorkerId, attestation: &str) -> Result<Verdict, ErrorCode> {
        let stored = self.store.attestation(attestation).await.map_err(|error| {
            tracing::error!(%error, %worker, "an attestation's record cannot be read");
            ErrorCode::Internal
        })?;
        let stored = stored.ok_or(ErrorCode::Internal)?;
        let known = self.known(worker.clone()).await?;
        let permit = self.core().await?;
        let (verifiers, policy) = (Arc::clone(&self.verifiers), self.in_force.policy());
        let references = self.in_force.references();
        let collateral = Arc::clone(&self.collateral);
        let now_us = self.clock.now_us();
        on_core(permit, move || {
            let record: AttestationRecord =
                serde_json::from_slice(&stored.record).map_err(|_| ErrorCode::Internal)?;
            let appraisal = Appraisal {
                verifiers,
                policy,
                references,
                collateral,
                evidence: record.evidence().clone(),
                binding: record.binding().clone(),
                known,
                now_us,
            };
            verdict(&appraisal, &stored)
        })
        .await
    }
}

/// The first failure that new evidence from the same worker would not mend. Without one there is no verdict, whatever else
/// failed first.
fn lasting(refusal: &Refusal) -> Option<ErrorCode> {
    let steps = refusal.transcript.steps.iter();
    let failed = steps.filter(|step| step.outcome == Outcome::Fail);
    let codes = failed.map(|step| step.code.unwrap_or(ErrorCode::Internal));
    // A required step that was skipped refuses too, and has no code of its own.
    let mut codes = std::iter::once(refusal.code).chain(codes);
    codes.find(|code| !is_of_the_moment(*code))
}

/// Whether new evidence may be accepted though this was said: collateral that cannot be used says nothing of the evidence, and
/// OCSP responses are stapled anew each time.
fn is_of_the_moment(code: ErrorCode) -> bool {
    code.is_verifiers_own() || code == ErrorCode::GpuOcspExpired
}

fn verdict(appraisal: &Appraisal, stored: &StoredAttestation) -> Result<Verdict, ErrorCode> {
    let Judgement {
        verdict,
        collateral,
    } = appraisal.judge()?;
    let (outcome, transcript, reference_ids) = match verdict {
        Ok(result) => {
            let attested = appraisal.attested(&result, &collateral)?;
            let at_ms = stored.recorded_ms;
            let attested = Attested { at_ms, ..attested };
            let ids = result.reference_ids();
            (Ok(attested), result.transcript().clone(), ids)
        }
        Err(refusal) => {
            let code = lasting(&refusal).ok_or(refusal.code)?;
            (Err(code), refusal.transcript, refusal.reference_ids)
        }
    };
    let record = NewReappraisal {
        attestation: stored.id.clone(),
        appraised_ms: appraisal.now_us / 1_000,
        code: outcome.as_ref().err().map(ToString::to_string),
        policy: appraisal.policy.document.clone(),
        collateral: collateral.document.clone(),
        references: references(appraisal, &reference_ids)?,
        transcript: serde_json::to_vec(&transcript).map_err(|_| ErrorCode::Internal)?,
    };
    Ok(Verdict {
        outcome,
        record,
        transcript,
    })
}

/// Those manifests alone, as the record has them.
fn references(appraisal: &Appraisal, ids: &[String]) -> Result<Option<Document>, ErrorCode> {
    let all = appraisal.references.documents();
    let used = all.only(ids.iter().map(String::as_str));
    if used.is_empty() {
        return Ok(None);
    }
    let json = serde_json::to_string(&used).map_err(|_| ErrorCode::Internal)?;
    Ok(Some(Document::new(&json)))
}

#[cfg(test)]
pub(crate) mod tests;
