//! Appraising what workers present: a free core, the enrolment secret, the collateral, the verdict, the record.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use attestation::{
    AppraisalPolicy, Appraiser, AttestationResult, Claims, Enrolment, EnrolmentSecret, ErrorCode,
    Evidence, ExecutorKind, Family, PlatformStanding, Quote, TrustAnchor, Verifier,
};
use channel::Presented;
use protocol::receipt::ReceiptKey;
use protocol::{SessionId, Sha256Digest, WorkerId};
use tokio::sync::Semaphore;

use super::CollateralShelf;
use crate::limits::APPRAISAL_WAIT;
use crate::metrics::Metrics;
use crate::receipts::AttestedKey;
use crate::store::{NewAttestation, Store};
use crate::world::Clock;

/// Everything that an admission is decided with.
#[derive(Debug)]
pub(crate) struct RelyingParty {
    verifier: Arc<Verifier>,
    policy: RwLock<PolicyInForce>,
    pub(crate) collateral: Arc<CollateralShelf>,
    /// One permit for each core: an appraisal is 1 to 2 ms of pure CPU.
    cores: Semaphore,
    store: Store,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

/// The appraisal policy with its digest, which every session's driver looks at every few seconds.
#[derive(Debug)]
struct PolicyInForce {
    policy: Arc<AppraisalPolicy>,
    digest: [u8; 32],
}

impl From<AppraisalPolicy> for PolicyInForce {
    fn from(policy: AppraisalPolicy) -> Self {
        Self {
            digest: policy.digest(),
            policy: Arc::new(policy),
        }
    }
}

/// What one accepted attestation says of a worker. Made from an [`AttestationResult`] and nothing else.
#[derive(Debug, Clone)]
pub(crate) struct Attested {
    pub(crate) worker: WorkerId,
    /// Under which receipts of this attestation are signed; holds the attestation id.
    pub(crate) key: AttestedKey,
    pub(crate) at_ms: u64,
    pub(crate) tcb_status: String,
    pub(crate) advisory_ids: Vec<String>,
    pub(crate) trust_anchor: String,
    pub(crate) executor: String,
    /// For how long past its end the collateral was used, by the appraisal policy's grace.
    pub(crate) collateral_grace_used_s: u64,
    /// SHA-256 of the appraisal policy that it was accepted under.
    pub(crate) policy_digest: [u8; 32],
}

impl RelyingParty {
    pub(crate) fn new(
        trust_anchor: TrustAnchor,
        policy: AppraisalPolicy,
        store: Store,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            verifier: Arc::new(Verifier::new(trust_anchor)),
            policy: RwLock::new(policy.into()),
            collateral: Arc::default(),
            cores: Semaphore::new(cores),
            store,
            clock,
            metrics,
        }
    }

    pub(crate) fn trust_anchor(&self) -> &TrustAnchor {
        self.verifier.anchor()
    }

    pub(crate) fn policy(&self) -> Arc<AppraisalPolicy> {
        Arc::clone(&self.in_force().policy)
    }

    /// Whether what was accepted under the policy of this digest was so before the policy was replaced.
    pub(crate) fn is_outdated(&self, policy_digest: [u8; 32]) -> bool {
        policy_digest != self.in_force().digest
    }

    fn in_force(&self) -> RwLockReadGuard<'_, PolicyInForce> {
        self.policy.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn replace_policy(&self, policy: AppraisalPolicy) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = policy.into();
    }

    /// Appraises what was presented for a session and records it, before anybody is told.
    pub(crate) async fn appraise(
        &self,
        session: SessionId,
        presented: Presented,
    ) -> Result<Attested, ErrorCode> {
        let began = self.clock.monotonic();
        let outcome = self.appraise_recorded(session, presented).await;
        self.metrics
            .appraised(self.clock.monotonic().saturating_sub(began));
        outcome
    }

    async fn appraise_recorded(
        &self,
        session: SessionId,
        presented: Presented,
    ) -> Result<Attested, ErrorCode> {
        let permit = tokio::time::timeout(APPRAISAL_WAIT, self.cores.acquire()).await;
        let Ok(Ok(_permit)) = permit else {
            return Err(ErrorCode::Overloaded);
        };
        let evidence = presented.evidence.unpack().map_err(|error| error.code())?;
        let known = self.known_worker(&evidence).await?;
        let name = known.as_ref().map(|known| known.id.clone());
        let appraisal = Appraisal {
            verifier: Arc::clone(&self.verifier),
            policy: self.policy(),
            collateral: Arc::clone(&self.collateral),
            evidence,
            presented,
            known,
            now_us: self.clock.now_us(),
        };
        let outcome = tokio::task::spawn_blocking(move || appraisal.run()).await;
        let outcome = outcome.unwrap_or_else(|error| {
            tracing::error!(%error, "an appraisal did not end");
            Err(ErrorCode::Internal)
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

    /// The worker that the claims name, so that its secret is at hand. The claims are not believed here.
    async fn known_worker(&self, evidence: &Evidence) -> Result<Option<KnownWorker>, ErrorCode> {
        let claims = Claims::decode(&evidence.claims).ok();
        let Some(id) = claims.and_then(|claims| claims.worker_id.parse::<WorkerId>().ok()) else {
            return Ok(None);
        };
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
    }

    async fn record_refusal(&self, worker: Option<&WorkerId>, code: ErrorCode) {
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

/// One appraisal with all it needs, to be run off the runtime's threads.
struct Appraisal {
    verifier: Arc<Verifier>,
    policy: Arc<AppraisalPolicy>,
    collateral: Arc<CollateralShelf>,
    evidence: Evidence,
    presented: Presented,
    known: Option<KnownWorker>,
    now_us: u64,
}

impl Appraisal {
    /// The verdict, and the auditor's record as JSON.
    fn run(self) -> Result<(Attested, Vec<u8>), ErrorCode> {
        let quote = Quote::parse(&self.evidence.quote).map_err(|error| error.code())?;
        if quote.td().is_none() {
            // Said before collateral is looked for: for an enclave there is none here.
            return Err(ErrorCode::QuoteNotTd);
        }
        let family = quote.family().map_err(|error| error.code())?;
        let collateral = self.collateral.find(family);
        let collateral = collateral.ok_or_else(|| self.missed(family))?;
        let appraiser = Appraiser {
            verifier: &self.verifier,
            policy: &self.policy,
            collateral: &collateral,
        };
        let now_s = self.now_us / 1_000_000;
        let binding = &self.presented.binding;
        let result = appraiser
            .appraise(
                &self.evidence,
                binding,
                &Register(self.known.as_ref()),
                now_s,
            )
            .map_err(|refusal| {
                tracing::info!(transcript = %refusal.transcript, "evidence refused");
                refusal.code
            })?;
        let record = appraiser.record(&self.evidence, binding, result.transcript());
        let record = serde_json::to_vec(&record).map_err(|_| ErrorCode::Internal)?;
        Ok((attested(&result, self.now_us / 1_000)?, record))
    }
}

impl Appraisal {
    /// Collateral is looked for where the claims prove an enrolment secret on this very connection: the quote proves nothing
    /// yet, and a stranger must not choose what the pool asks Intel for.
    fn missed(&self, family: Family) -> ErrorCode {
        let claims = Claims::decode(&self.evidence.claims).ok();
        let proven = self
            .known
            .as_ref()
            .zip(claims)
            .is_some_and(|(known, claims)| {
                let proof = known
                    .secret
                    .verify(&claims.enrolment_mac, &self.presented.binding);
                proof.is_ok()
            });
        tracing::warn!(%family, proven, "no collateral for this platform family");
        if proven {
            self.collateral.miss(family);
        }
        ErrorCode::CollateralMissing
    }
}

fn attested(result: &AttestationResult, at_ms: u64) -> Result<Attested, ErrorCode> {
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
        // GPU evidence is not appraised yet, and a receipt must not say otherwise.
        gpus_attested: false,
    };
    Ok(Attested {
        worker: claims
            .worker_id
            .parse()
            .map_err(|_| ErrorCode::WorkerUnknown)?,
        key,
        at_ms,
        tcb_status: tcb.status.to_string(),
        advisory_ids: tcb.advisory_ids.clone(),
        trust_anchor: result.transcript().trust_anchor.clone(),
        executor: executor.to_owned(),
        collateral_grace_used_s: result.collateral_grace_used_s(),
        policy_digest: result.policy_digest(),
    })
}

struct KnownWorker {
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
