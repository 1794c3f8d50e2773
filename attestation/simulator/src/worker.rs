//! A worker on a simulated machine, and the register that knows it: evidence that an appraisal admits.

use attestation::{
    Binding, Claims, Enrolment, EnrolmentSecret, Evidence, ExecutorKind, PlatformStanding,
    enrolment_mac,
};

use crate::{QuoteVersion, SimulatedPlatform};

const WORKER_ID: &str = "worker-1";
const SECRET: &[u8] = &[7; 32];
/// As long as the `SubjectPublicKeyInfo` of a P-256 key, and no key: nothing here signs receipts.
const RECEIPT_KEY: [u8; 91] = [4; 91];

impl SimulatedPlatform {
    /// The claims of the one worker on this machine, for the connection of `binding`.
    #[must_use]
    pub fn claims(&self, binding: &Binding) -> Claims {
        Claims {
            worker_id: WORKER_ID.to_owned(),
            enrolment_mac: enrolment_mac(SECRET, binding),
            receipt_key_spki: RECEIPT_KEY.to_vec(),
            agent_digest: self.seed.bytes("agent"),
            configuration_digest: self.seed.bytes("configuration"),
            module_digest: self.seed.bytes("module"),
            libraries: Vec::new(),
            gpus: Vec::new(),
            boot_id: self.seed.bytes("boot"),
            sequence: 0,
            executor: ExecutorKind::Cpu,
        }
    }

    /// Evidence without an event log, its quote made over these members for the connection of `binding`.
    #[must_use]
    pub fn evidence(
        &self,
        binding: &Binding,
        claims: Vec<u8>,
        device_evidence: Option<Vec<u8>>,
    ) -> Evidence {
        let devices = device_evidence.as_deref().unwrap_or_default();
        let report_data = binding.preimage(devices, &claims).report_data();
        Evidence {
            quote: self.quote(QuoteVersion::V4, &self.td(), report_data.bytes()),
            claims,
            event_log: None,
            device_evidence,
        }
    }
}

/// A register of workers that knows the one of [`SimulatedPlatform::claims`], on any machine.
#[derive(Clone, Copy, Debug)]
pub struct OneWorker;

impl Enrolment for OneWorker {
    fn secret(&self, worker_id: &str) -> Option<EnrolmentSecret> {
        (worker_id == WORKER_ID).then(|| EnrolmentSecret::new(SECRET.to_vec()))
    }

    fn platform(&self, _: &str, _: &[u8; 16]) -> PlatformStanding {
        PlatformStanding::Admissible
    }
}
