//! What a simulated worker says of itself, and the forged quote over it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use attestation::{Binding, Claims, ExecutorKind, ReportData, enrolment_mac};
use channel::{Attester, AttesterError, OpaqueEvidence};
use protocol::Sha256Digest;
use simulator::QuoteVersion;

use super::{Enrolled, Shared};

/// What is the same in each of one worker's attestations.
pub(super) struct Evidence {
    enrolled: Enrolled,
    receipt_key_spki: Vec<u8>,
    module_digest: Sha256Digest,
    sequence: AtomicU64,
}

impl Evidence {
    pub(super) fn new(
        enrolled: &Enrolled,
        receipt_key_spki: Vec<u8>,
        module_digest: Sha256Digest,
    ) -> Self {
        Self {
            enrolled: enrolled.clone(),
            receipt_key_spki,
            module_digest,
            sequence: AtomicU64::new(0),
        }
    }

    /// For one attestation; remembers which it was.
    pub(super) fn attester<'a>(&'a self, shared: &'a Arc<Shared>) -> SimulatedAttester<'a> {
        SimulatedAttester {
            evidence: self,
            shared,
            made: Mutex::default(),
        }
    }

    fn claims(&self, binding: &Binding) -> Claims {
        Claims {
            worker_id: self.enrolled.id.to_string(),
            enrolment_mac: enrolment_mac(&self.enrolled.secret, binding),
            receipt_key_spki: self.receipt_key_spki.clone(),
            agent_digest: [1; 32],
            configuration_digest: [2; 32],
            module_digest: *self.module_digest.as_bytes(),
            libraries: Vec::new(),
            gpus: Vec::new(),
            boot_id: [4; 16],
            sequence: self.sequence.fetch_add(1, Ordering::Relaxed),
            executor: ExecutorKind::Cpu,
        }
    }
}

/// Makes evidence for one connection.
pub(super) struct SimulatedAttester<'a> {
    evidence: &'a Evidence,
    shared: &'a Arc<Shared>,
    made: Mutex<Option<ReportData>>,
}

impl SimulatedAttester<'_> {
    /// The id of the attestation that was made.
    pub(super) fn attestation(&self) -> Option<String> {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.as_ref().map(ReportData::to_string)
    }
}

impl Attester for SimulatedAttester<'_> {
    async fn evidence(&self, binding: Binding) -> Result<OpaqueEvidence, AttesterError> {
        let claims = self.evidence.claims(&binding);
        let claims = claims.encode().map_err(AttesterError::new)?;
        let report_data = binding.preimage(&[], &claims).report_data();
        let quote =
            self.shared
                .platform
                .quote(QuoteVersion::V4, &self.shared.td, report_data.bytes());
        *self.made.lock().unwrap_or_else(PoisonError::into_inner) = Some(report_data);
        OpaqueEvidence::pack(attestation::Evidence {
            quote,
            claims,
            event_log: None,
            device_evidence: None,
        })
        .map_err(AttesterError::new)
    }
}
