//! One attested worker and what it leaves behind: files for `verify` and `receipt verify`.

use attestation::{
    AppraisalPolicy, Appraiser, AttestationRecord, Binding, Claims, Evidence, ExecutorKind, Role,
    SuiteHash, Verifier,
    gpu::{GpuVerifier, VerifiedReferences},
};
use protocol::{
    SessionId, Sha256Digest, TaskId,
    receipt::{Leaf, Receipt, ReceiptSigner, Statement, tree},
};
use ring::rand::SystemRandom;
use simulator::{
    CollateralOptions, QuoteVersion, SimulatedPlatform, TdOptions, gpu::simulated_gpu_anchor,
};

use crate::harness::{GPU_SEED, NOW_S};

/// An attested worker.
pub(crate) struct Worker {
    pub(crate) platform: SimulatedPlatform,
    /// What the gateway judges it by.
    pub(crate) policy: String,
    pub(crate) binding: Binding,
    pub(crate) signer: ReceiptSigner,
    pub(crate) claims: Claims,
    pub(crate) device_evidence: Option<Vec<u8>>,
}

impl Worker {
    pub(crate) fn new() -> Self {
        let signer = ReceiptSigner::generate(&SystemRandom::new()).unwrap();
        let platform = SimulatedPlatform::from_seed(7);
        Self {
            policy: platform.policy_toml(),
            platform,
            binding: Binding {
                role: Role::Client,
                hash: SuiteHash::Sha384,
                exported: [1; 32],
                attester_spki: vec![2; 91],
                peer_spki: vec![3; 91],
            },
            claims: Claims {
                worker_id: "worker-1".into(),
                enrolment_mac: [4; 32],
                receipt_key_spki: signer.key().spki(),
                agent_digest: [5; 32],
                configuration_digest: [6; 32],
                module_digest: [7; 32],
                libraries: Vec::new(),
                gpus: Vec::new(),
                boot_id: [8; 16],
                sequence: 0,
                executor: ExecutorKind::Cpu,
            },
            signer,
            device_evidence: None,
        }
    }

    /// Evidence of the good TD.
    pub(crate) fn evidence(&self) -> Evidence {
        self.evidence_of(&self.platform.td())
    }

    pub(crate) fn evidence_of(&self, td: &TdOptions) -> Evidence {
        let claims = self.claims.encode().unwrap();
        let device_evidence = self.device_evidence.as_deref().unwrap_or_default();
        let report_data = self
            .binding
            .preimage(device_evidence, &claims)
            .report_data();
        Evidence {
            quote: self
                .platform
                .quote(QuoteVersion::V5, td, report_data.bytes()),
            claims,
            event_log: None,
            device_evidence: self.device_evidence.clone(),
        }
    }

    /// The gateway's record of that evidence.
    pub(crate) fn record(&self, evidence: &Evidence) -> AttestationRecord {
        let policy = AppraisalPolicy::from_toml(&self.policy).unwrap();
        let appraiser = Appraiser {
            verifier: &Verifier::new(self.platform.trust_anchor()),
            gpu_verifier: &GpuVerifier::new(simulated_gpu_anchor(GPU_SEED)),
            policy: &policy,
            collateral: &self.platform.collateral(&CollateralOptions::at(NOW_S)),
            references: &VerifiedReferences::default(),
        };
        let transcript = appraiser.audit(evidence, &self.binding, NOW_S);
        appraiser.record(evidence, &self.binding, &transcript, &[])
    }

    /// The receipts of a batch of three tasks under that attestation.
    pub(crate) fn receipts(&self, attestation: &AttestationRecord) -> Vec<Receipt> {
        let leaves: Vec<Leaf> = (1..=3).map(leaf).collect();
        self.receipts_of(&leaves, attestation)
    }

    pub(crate) fn receipts_of(
        &self,
        leaves: &[Leaf],
        attestation: &AttestationRecord,
    ) -> Vec<Receipt> {
        let leaves: Vec<Vec<u8>> = leaves.iter().map(Leaf::encode).collect();
        let hashes: Vec<_> = leaves.iter().map(|leaf| tree::leaf_hash(leaf)).collect();
        let statement = Statement {
            root: tree::root(&hashes),
            tree_size: u64::try_from(leaves.len()).unwrap(),
            worker: "worker-1".parse().unwrap(),
            session: SessionId::from_parts(1, 2),
            attestation: attestation.attestation_id().to_string(),
            batch: 1,
        };
        let statement = statement.sign(&self.signer, &SystemRandom::new()).unwrap();
        (0u64..)
            .zip(leaves)
            .map(|(index, leaf)| Receipt {
                leaf,
                index,
                proof: tree::inclusion_proof(&hashes, usize::try_from(index).unwrap()).unwrap(),
                statement: statement.clone(),
                receipt_key: self.signer.key().spki(),
            })
            .collect()
    }
}

/// What a worker says of a task.
pub(crate) fn leaf(task: u128) -> Leaf {
    Leaf {
        version: 1,
        task: TaskId::from_parts(NOW_S * 1_000, task).to_string(),
        task_digest: Sha256Digest::of(b"task"),
        operation: "sha256_batch".into(),
        operation_version: 1,
        module_digest: Sha256Digest::from_bytes([7; 32]),
        model_digest: None,
        inputs: vec![Sha256Digest::of(b"input")],
        output: Sha256Digest::of(b"output"),
        output_bytes: 6,
        executor: "cpu".into(),
        gpu_uuid: None,
        attempt: 1,
        started_ms: NOW_S * 1_000,
        finished_ms: NOW_S * 1_000 + 25,
    }
}
