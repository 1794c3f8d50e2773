//! What the worker says of itself, and the quote over it: the channel's [`Attester`].

mod event_log;
mod facts;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use attestation::gpu::{DeviceEvidence, DeviceEvidenceError};
use attestation::{Binding, Claims, ClaimsError, Evidence, LibraryClaim, ReportData};
use channel::{Attester, AttesterError, OpaqueEvidence, OpaqueEvidenceError};

pub use event_log::{EventLogFileError, read_event_log};
pub use facts::{Facts, FactsError, boot_id, file_digest};

use crate::config::EnrolmentSecret;
use crate::executor::LoadedLibraries;
use crate::gpus::{AttestedGpus, GpuAttester, GpuError};
use crate::quote::client::{QuoteClient, QuoteClientError};

/// The gate gives the worker thirty seconds, of which the GPUs may take half. A child that does not start in the rest is
/// there for the next connection.
const LIBRARIES_LIMIT: Duration = Duration::from_secs(10);

/// Makes this worker's evidence for any connection.
#[derive(Debug)]
pub struct WorkerEvidence {
    facts: Facts,
    secret: EnrolmentSecret,
    quotes: QuoteClient,
    event_log: Option<Vec<u8>>,
    /// Nothing where tasks run on the CPU: claimed are the GPUs that they run on.
    gpus: Option<GpuAttester>,
    /// What the executor child loaded beside the module; nothing where it computes with the module alone.
    libraries: Option<LoadedLibraries>,
    /// Attestations since the agent's start.
    sequence: AtomicU64,
}

/// Why there is no evidence.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    #[error("the GPUs give no evidence")]
    Gpus(#[source] GpuError),
    #[error("the GPUs' evidence cannot be encoded")]
    Devices(#[source] DeviceEvidenceError),
    #[error(
        "the executor child has not started within {LIBRARIES_LIMIT:?}, so that the libraries it computes with are unknown"
    )]
    Libraries,
    #[error("the claims cannot be encoded")]
    Claims(#[source] ClaimsError),
    #[error("no quote")]
    Quote(#[source] QuoteClientError),
    #[error("the evidence cannot be packed")]
    Pack(#[source] OpaqueEvidenceError),
}

impl WorkerEvidence {
    #[must_use]
    pub fn new(facts: Facts, secret: EnrolmentSecret, quotes: QuoteClient) -> Self {
        Self {
            facts,
            secret,
            quotes,
            event_log: None,
            gpus: None,
            libraries: None,
            sequence: AtomicU64::new(0),
        }
    }

    /// The same with an event log, in the encoding of [`attestation::EventLog`].
    #[must_use]
    pub fn with_event_log(self, event_log: Option<Vec<u8>>) -> Self {
        Self { event_log, ..self }
    }

    /// The same with the GPUs that tasks run on.
    #[must_use]
    pub fn with_gpus(self, gpus: Option<GpuAttester>) -> Self {
        Self { gpus, ..self }
    }

    /// The same with the libraries that the executor child loads.
    #[must_use]
    pub fn with_libraries(self, libraries: Option<LoadedLibraries>) -> Self {
        Self { libraries, ..self }
    }

    /// For one attestation; remembers what it was made for.
    #[must_use]
    pub fn attester(self: &Arc<Self>) -> WorkerAttester {
        WorkerAttester {
            evidence: Arc::clone(self),
            made: Mutex::default(),
        }
    }

    /// Whether the evidence is about GPUs, too.
    #[must_use]
    pub fn has_gpus(&self) -> bool {
        self.gpus.is_some()
    }

    fn claims(
        &self,
        binding: &Binding,
        gpus: &AttestedGpus,
        computing: Vec<LibraryClaim>,
    ) -> Claims {
        let facts = &self.facts;
        Claims {
            worker_id: facts.worker_id.as_str().to_owned(),
            enrolment_mac: self.secret.mac(binding),
            receipt_key_spki: facts.receipt_key_spki.clone(),
            agent_digest: *facts.agent_digest.as_bytes(),
            configuration_digest: *facts.configuration_digest.as_bytes(),
            module_digest: *facts.module_digest.as_bytes(),
            libraries: [gpus.libraries.clone(), computing].concat(),
            gpus: gpus.claims.clone(),
            boot_id: facts.boot_id,
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed),
            executor: facts.executor,
        }
    }

    /// The GPUs' evidence comes first, because its nonce is the connection's; the quote last, because it covers
    /// everything else.
    async fn make(&self, binding: &Binding) -> Result<(Evidence, ReportData), EvidenceError> {
        let gpus = match &self.gpus {
            None => AttestedGpus::default(),
            Some(gpus) => gpus
                .attest(binding.gpu_nonce())
                .await
                .map_err(EvidenceError::Gpus)?,
        };
        // Only now: a GPU in confidential mode accepts no executor before its evidence verified.
        let computing = match &self.libraries {
            None => Vec::new(),
            Some(libraries) => libraries
                .wait(LIBRARIES_LIMIT)
                .await
                .ok_or(EvidenceError::Libraries)?,
        };
        let claims = self
            .claims(binding, &gpus, computing)
            .encode()
            .map_err(EvidenceError::Claims)?;
        let device_evidence = encode(gpus).map_err(EvidenceError::Devices)?;
        let preimage = binding.preimage(device_evidence.as_deref().unwrap_or_default(), &claims);
        let quote = self
            .quotes
            .quote(&preimage)
            .await
            .map_err(EvidenceError::Quote)?;
        let evidence = Evidence {
            quote,
            claims,
            event_log: self.event_log.clone(),
            device_evidence,
        };
        Ok((evidence, preimage.report_data()))
    }
}

/// The member's content; nothing where there is no report.
fn encode(gpus: AttestedGpus) -> Result<Option<Vec<u8>>, DeviceEvidenceError> {
    if gpus.reports.is_empty() {
        return Ok(None);
    }
    let devices = gpus.reports;
    DeviceEvidence { devices }.encode().map(Some)
}

/// Makes evidence once, for the connection that asks.
#[derive(Debug)]
pub struct WorkerAttester {
    evidence: Arc<WorkerEvidence>,
    made: Mutex<Option<ReportData>>,
}

impl WorkerAttester {
    /// The attestation id (report data, lower-case hexadecimal) of the evidence that was made.
    #[must_use]
    pub fn attestation(&self) -> Option<String> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.as_ref().map(ReportData::to_string)
    }
}

impl Attester for WorkerAttester {
    async fn evidence(&self, binding: Binding) -> Result<OpaqueEvidence, AttesterError> {
        let (evidence, report_data) = self
            .evidence
            .make(&binding)
            .await
            .map_err(AttesterError::new)?;
        let packed = OpaqueEvidence::pack(evidence)
            .map_err(EvidenceError::Pack)
            .map_err(AttesterError::new)?;
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = Some(report_data);
        Ok(packed)
    }
}
