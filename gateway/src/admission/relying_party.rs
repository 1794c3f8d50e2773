//! Appraising what workers present: a free core, the enrolment secret, the collateral, the verdict, the record.

use std::sync::Arc;

use attestation::{
    AppraisalPolicy, Appraiser, AttestationResult, Binding, Claims, Enrolment, EnrolmentSecret,
    ErrorCode, Evidence, ExecutorKind, Family, PlatformStanding, Quote, Refusal, TrustAnchor,
    Verifier,
    gpu::{Architecture, GpuTrustAnchor, GpuVerifier, VerifiedReferences},
};
use channel::Presented;
use protocol::receipt::ReceiptKey;
use protocol::requirements::GpuArchitecture;
use protocol::{SessionId, Sha256Digest, WorkerId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::collateral::{CollateralShelf, Shelved};
use super::in_force::{Grounds, InForce, PolicyInForce};
use super::reappraisal::Tally;
use crate::limits::{APPRAISAL_WAIT, REAPPRAISALS_IN_FLIGHT_MAX};
use crate::metrics::Metrics;
use crate::receipts::AttestedKey;
use crate::store::{NewAttestation, Store};
use crate::world::Clock;

/// Everything that an admission is decided with.
#[derive(Debug)]
pub(crate) struct RelyingParty {
    pub(super) verifiers: Arc<Verifiers>,
    pub(crate) in_force: Arc<InForce>,
    pub(crate) collateral: Arc<CollateralShelf>,
    /// One permit for each core: an appraisal is 1 to 2 ms of pure CPU.
    pub(super) cores: Arc<Semaphore>,
    /// Appraisals again, from the store and back to it.
    pub(super) reappraisals: Semaphore,
    pub(crate) tally: Tally,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Metrics,
}

/// Each vendor's evidence under its own root.
#[derive(Debug)]
pub(crate) struct Verifiers {
    quote: Verifier,
    gpu: GpuVerifier,
}

/// What one accepted attestation says of a worker. Made from an [`AttestationResult`] and nothing else.
#[derive(Debug, Clone)]
pub(crate) struct Attested {
    pub(crate) worker: WorkerId,
    /// Under which receipts of this attestation are signed; holds the attestation id.
    pub(crate) key: AttestedKey,
    /// When the evidence came.
    pub(crate) at_ms: u64,
    /// When it was appraised, the last time.
    pub(crate) appraised_ms: u64,
    pub(crate) tcb_status: String,
    pub(crate) advisory_ids: Vec<String>,
    pub(crate) trust_anchor: String,
    pub(crate) executor: String,
    /// For how long past its end the collateral was used, by the appraisal policy's grace.
    pub(crate) collateral_grace_used_s: u64,
    /// When the policy's grace for an outdated TCB ends; `None` where it was not needed.
    pub(crate) tcb_grace_ends_ms: Option<u64>,
    /// The GPUs and switches whose evidence was appraised, by UUID.
    pub(crate) devices: Vec<String>,
    /// What tasks may demand of it.
    pub(crate) gpus: Vec<AttestedGpu>,
    /// Of the worker's Linux, and the number of the attestation since its agent's start.
    pub(crate) boot_id: [u8; 16],
    pub(crate) sequence: u64,
    /// What it was accepted under.
    pub(crate) grounds: Grounds,
}

/// A GPU that the worker computes on.
#[derive(Debug, Clone)]
pub(crate) struct AttestedGpu {
    pub(crate) uuid: String,
    /// Of its accepted evidence; absent: none was demanded.
    pub(crate) architecture: Option<GpuArchitecture>,
}

impl Attested {
    /// Whether this can be the next attestation of the session that `former` is of: the same worker in the same boot, and
    /// later. Otherwise somebody else has come to speak on the connection.
    fn follows(&self, former: &Self) -> Result<(), ErrorCode> {
        let is_next = self.worker == former.worker
            && self.boot_id == former.boot_id
            && self.sequence > former.sequence;
        if is_next {
            return Ok(());
        }
        tracing::warn!(
            worker = %former.worker, boot_id = hex::encode(former.boot_id), sequence = former.sequence,
            now_worker = %self.worker, now_boot_id = hex::encode(self.boot_id), now_sequence = self.sequence,
            "a session's worker changed or restarted"
        );
        Err(ErrorCode::SessionWorkerChanged)
    }
}

impl RelyingParty {
    pub(crate) fn new(
        trust_anchor: TrustAnchor,
        gpu_trust_anchor: GpuTrustAnchor,
        policy: AppraisalPolicy,
        store: Store,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let in_force = Arc::new(InForce::new(policy));
        Self {
            verifiers: Arc::new(Verifiers {
                quote: Verifier::new(trust_anchor),
                gpu: GpuVerifier::new(gpu_trust_anchor),
            }),
            collateral: Arc::clone(&in_force.collateral),
            in_force,
            cores: Arc::new(Semaphore::new(cores)),
            reappraisals: Semaphore::new(REAPPRAISALS_IN_FLIGHT_MAX),
            tally: Tally::default(),
            store,
            clock,
            metrics,
        }
    }

    pub(crate) fn trust_anchor(&self) -> &TrustAnchor {
        self.verifiers.quote.anchor()
    }

    pub(crate) fn gpu_trust_anchor(&self) -> &GpuTrustAnchor {
        self.verifiers.gpu.anchor()
    }

    /// Appraises what was presented for a session and records it, before anybody is told. `former` is the session's
    /// attestation until now, if it has one.
    pub(crate) async fn appraise(
        &self,
        session: SessionId,
        presented: Presented,
        former: Option<Attested>,
    ) -> Result<Attested, ErrorCode> {
        let began = self.clock.monotonic();
        let outcome = self.appraise_recorded(session, presented, former).await;
        self.metrics
            .appraised(self.clock.monotonic().saturating_sub(began));
        outcome
    }

    async fn appraise_recorded(
        &self,
        session: SessionId,
        presented: Presented,
        former: Option<Attested>,
    ) -> Result<Attested, ErrorCode> {
        let evidence = presented.evidence.unpack().map_err(|error| error.code())?;
        self.appraise_evidence(session, evidence, presented.binding, former)
            .await
    }

    /// All of it behind the channel, whose [`Presented`] the channel alone makes.
    pub(crate) async fn appraise_evidence(
        &self,
        session: SessionId,
        evidence: Evidence,
        binding: Binding,
        former: Option<Attested>,
    ) -> Result<Attested, ErrorCode> {
        let known = self.known_worker(&evidence).await?;
        let name = known.as_ref().map(|known| known.id.clone());
        let permit = tokio::time::timeout(APPRAISAL_WAIT, self.core()).await;
        let permit = permit.map_err(|_| ErrorCode::Overloaded)??;
        let appraisal = Appraisal {
            verifiers: Arc::clone(&self.verifiers),
            policy: self.in_force.policy(),
            references: self.in_force.references(),
            collateral: Arc::clone(&self.collateral),
            evidence,
            binding,
            known,
            now_us: self.clock.now_us(),
        };
        let outcome = on_core(permit, move || appraisal.run()).await;
        let outcome = outcome.and_then(|(attested, record)| {
            former.map_or(Ok(()), |former| attested.follows(&former))?;
            Ok((attested, record))
        });
        match outcome {
            Ok((attested, record)) => {
                self.record(session, &attested, record).await?;
                self.note_grace(&attested);
                Ok(attested)
            }
            Err(code) => {
                self.record_refusal(name.as_ref(), code).await;
                Err(code)
            }
        }
    }

    /// Waits for a free core.
    pub(super) async fn core(&self) -> Result<OwnedSemaphorePermit, ErrorCode> {
        let core = Arc::clone(&self.cores).acquire_owned().await;
        core.map_err(|_| ErrorCode::Internal)
    }

    /// The worker that the claims name, so that its secret is at hand. The claims are not believed here.
    async fn known_worker(&self, evidence: &Evidence) -> Result<Option<KnownWorker>, ErrorCode> {
        let claims = Claims::decode(&evidence.claims).ok();
        let Some(id) = claims.and_then(|claims| claims.worker_id.parse::<WorkerId>().ok()) else {
            return Ok(None);
        };
        self.known(id).await
    }

    pub(super) async fn known(&self, id: WorkerId) -> Result<Option<KnownWorker>, ErrorCode> {
        match self.store.enrolment_secret(&id).await {
            Ok(secret) => Ok(secret.map(|secret| KnownWorker {
                id,
                secret: EnrolmentSecret::new(secret.as_bytes().to_vec()),
            })),
            Err(error) => {
                tracing::error!(%error, "the register of workers cannot be read");
                Err(ErrorCode::Internal)
            }
        }
    }

    async fn record(
        &self,
        session: SessionId,
        attested: &Attested,
        record: Vec<u8>,
    ) -> Result<(), ErrorCode> {
        let attestation = NewAttestation {
            id: attested.key.attestation.clone(),
            worker: attested.worker.clone(),
            session,
            record,
            recorded_ms: attested.at_ms,
        };
        self.store
            .record_attestation(attestation)
            .await
            .map_err(|error| {
                tracing::error!(%error, worker = %attested.worker, "an attestation cannot be recorded");
                ErrorCode::Internal
            })
    }

    fn note_grace(&self, attested: &Attested) {
        let grace_used_s = attested.collateral_grace_used_s;
        self.metrics.collateral_grace(grace_used_s);
        if grace_used_s > 0 {
            tracing::warn!(worker = %attested.worker, grace_used_s, "admitted with collateral past its end, by the policy's grace");
        }
        if let Some(grace_ends_ms) = attested.tcb_grace_ends_ms {
            tracing::warn!(worker = %attested.worker, grace_ends_ms, "admitted with an outdated TCB, by the policy's grace");
        }
    }

    pub(super) async fn record_refusal(&self, worker: Option<&WorkerId>, code: ErrorCode) {
        // Only names that are enrolled: anyone who reaches the listener could fill the disk with others.
        let Some(worker) = worker else {
            tracing::warn!(%code, title = code.title(), "refused a worker that is not enrolled");
            return;
        };
        let now_ms = self.clock.now_us() / 1_000;
        tracing::warn!(%worker, %code, title = code.title(), "refused a worker");
        if let Err(error) = self
            .store
            .record_refusal(worker, code.to_string(), now_ms)
            .await
        {
            tracing::error!(%error, %worker, "a refusal cannot be recorded");
        }
    }
}

/// Runs an appraisal off the runtime's threads. The core is free as soon as it has ended: nobody who waits for the store, or
/// for a worker, holds one.
pub(super) async fn on_core<T: Send + 'static>(
    permit: OwnedSemaphorePermit,
    appraisal: impl FnOnce() -> Result<T, ErrorCode> + Send + 'static,
) -> Result<T, ErrorCode> {
    let appraising = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        appraisal()
    });
    appraising.await.unwrap_or_else(|error| {
        tracing::error!(%error, "an appraisal did not end");
        Err(ErrorCode::Internal)
    })
}

/// One appraisal with all it needs, to be run off the runtime's threads.
pub(super) struct Appraisal {
    pub(super) verifiers: Arc<Verifiers>,
    pub(super) policy: Arc<PolicyInForce>,
    pub(super) references: Arc<VerifiedReferences>,
    pub(super) collateral: Arc<CollateralShelf>,
    pub(super) evidence: Evidence,
    pub(super) binding: Binding,
    pub(super) known: Option<KnownWorker>,
    pub(super) now_us: u64,
}

/// A verdict, and the collateral that it was reached with.
pub(super) struct Judgement {
    pub(super) verdict: Result<AttestationResult, Refusal>,
    pub(super) collateral: Arc<Shelved>,
}

impl Appraisal {
    /// The verdict, and the auditor's record as JSON.
    pub(super) fn run(self) -> Result<(Attested, Vec<u8>), ErrorCode> {
        let Judgement {
            verdict,
            collateral,
        } = self.judge()?;
        let result = verdict.map_err(|refusal| {
            tracing::info!(transcript = %refusal.transcript, "evidence refused");
            refusal.code
        })?;
        let record = self.appraiser(&collateral).record(
            &self.evidence,
            &self.binding,
            result.transcript(),
            result.gpus(),
        );
        let record = serde_json::to_vec(&record).map_err(|_| ErrorCode::Internal)?;
        let attested = self.attested(&result, &collateral)?;
        Ok((attested, record))
    }

    /// The verdict under what is in force, or why none can be asked for.
    pub(super) fn judge(&self) -> Result<Judgement, ErrorCode> {
        let quote = Quote::parse(&self.evidence.quote).map_err(|error| error.code())?;
        if quote.td().is_none() {
            // Said before collateral is looked for: for an enclave there is none here.
            return Err(ErrorCode::QuoteNotTd);
        }
        let family = quote.family().map_err(|error| error.code())?;
        let collateral = self.collateral.find(family);
        let collateral = collateral.ok_or_else(|| self.missed(family))?;
        let verdict = self.appraiser(&collateral).appraise(
            &self.evidence,
            &self.binding,
            &Register(self.known.as_ref()),
            self.now_us / 1_000_000,
        );
        Ok(Judgement {
            verdict,
            collateral,
        })
    }

    /// Collateral is looked for where the claims prove an enrolment secret on this very connection: the quote proves nothing
    /// yet, and a stranger must not choose what the pool asks Intel for.
    fn missed(&self, family: Family) -> ErrorCode {
        let claims = Claims::decode(&self.evidence.claims).ok();
        let proven = self
            .known
            .as_ref()
            .zip(claims)
            .is_some_and(|(known, claims)| {
                let proof = known.secret.verify(&claims.enrolment_mac, &self.binding);
                proof.is_ok()
            });
        tracing::warn!(%family, proven, "no collateral for this platform family");
        if proven {
            self.collateral.miss(family);
        }
        ErrorCode::CollateralMissing
    }

    fn appraiser<'a>(&'a self, collateral: &'a Shelved) -> Appraiser<'a> {
        Appraiser {
            verifier: &self.verifiers.quote,
            gpu_verifier: &self.verifiers.gpu,
            policy: &self.policy.policy,
            collateral: &collateral.collateral,
            references: &self.references,
        }
    }

    pub(super) fn attested(
        &self,
        result: &AttestationResult,
        collateral: &Shelved,
    ) -> Result<Attested, ErrorCode> {
        let grounds = Grounds {
            policy: self.policy.document.sha256,
            family: collateral.family,
            collateral: collateral.document.sha256,
        };
        attested(result, self.now_us / 1_000, grounds)
    }
}

fn attested(
    result: &AttestationResult,
    at_ms: u64,
    grounds: Grounds,
) -> Result<Attested, ErrorCode> {
    let claims = result.claims();
    let tcb = result.verified_quote().tcb();
    let executor = match claims.executor {
        ExecutorKind::Cpu => "cpu",
        ExecutorKind::Cuda => "cuda",
    };
    let receipt_key =
        ReceiptKey::from_spki(&claims.receipt_key_spki).map_err(|_| ErrorCode::ClaimsMalformed)?;
    let key = AttestedKey {
        attestation: result.report_data().to_string(),
        receipt_key,
        module_digest: Sha256Digest::from_bytes(claims.module_digest),
        executor: executor.to_owned(),
        gpu_uuids: claims.gpus.iter().map(|gpu| gpu.uuid.clone()).collect(),
    };
    Ok(Attested {
        worker: claims
            .worker_id
            .parse()
            .map_err(|_| ErrorCode::WorkerUnknown)?,
        key,
        at_ms,
        appraised_ms: at_ms,
        tcb_status: tcb.status.to_string(),
        advisory_ids: tcb.advisory_ids.clone(),
        trust_anchor: result.transcript().trust_anchor.clone(),
        executor: executor.to_owned(),
        collateral_grace_used_s: result.collateral_grace_used_s(),
        tcb_grace_ends_ms: result
            .tcb_grace_left_s()
            .map(|left_s| at_ms.saturating_add(left_s.saturating_mul(1_000))),
        devices: result
            .gpus()
            .iter()
            .map(|gpu| gpu.uuid().to_owned())
            .collect(),
        gpus: claims
            .gpus
            .iter()
            .map(|gpu| AttestedGpu {
                uuid: gpu.uuid.clone(),
                architecture: architecture(result, &gpu.uuid),
            })
            .collect(),
        boot_id: claims.boot_id,
        sequence: claims.sequence,
        grounds,
    })
}

/// As the device's accepted evidence has it.
fn architecture(result: &AttestationResult, uuid: &str) -> Option<GpuArchitecture> {
    let device = result.gpus().iter().find(|gpu| gpu.uuid() == uuid)?;
    match device.architecture() {
        Architecture::Hopper => Some(GpuArchitecture::Hopper),
        Architecture::Blackwell => Some(GpuArchitecture::Blackwell),
        // A switch computes nothing.
        Architecture::Ls10 => None,
    }
}

pub(super) struct KnownWorker {
    id: WorkerId,
    secret: EnrolmentSecret,
}

/// The register as far as one appraisal sees it: the one worker that the claims name, or nobody.
struct Register<'a>(Option<&'a KnownWorker>);

impl Enrolment for Register<'_> {
    fn secret(&self, worker_id: &str) -> Option<EnrolmentSecret> {
        let known = self.0.filter(|known| known.id.as_str() == worker_id)?;
        Some(known.secret.clone())
    }

    fn platform(&self, _: &str, _: &[u8; 16]) -> PlatformStanding {
        // Which platforms may serve and which are out is the appraisal policy's list; workers are bound to none.
        PlatformStanding::Admissible
    }
}
