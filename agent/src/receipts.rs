//! Receipts: one leaf for each finished task, one signature for each ack batch.

use std::fmt;
use std::sync::Arc;

use protocol::catalogue::Operation;
use protocol::lease::{Ack, AckRequest, Output};
use protocol::receipt::{KeyError, LEAF_VERSION, Leaf, ReceiptSigner, Statement, tree};
use protocol::task::TaskBody;
use protocol::{Sha256Digest, WorkerId};
use ring::rand::SystemRandom;
use serde_bytes::ByteBuf;

use crate::machine::{Finished, Session};

/// Signs this worker's ack batches. The key is made at the agent's start and lives in memory only.
pub struct Receipts {
    signer: ReceiptSigner,
    random: SystemRandom,
    worker: WorkerId,
    executor: &'static str,
    module_digest: Sha256Digest,
    model_digest: Option<Sha256Digest>,
    gpu_uuid: Option<String>,
}

impl fmt::Debug for Receipts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Receipts")
            .field("signer", &self.signer)
            .field("module_digest", &self.module_digest)
            .finish_non_exhaustive()
    }
}

impl Receipts {
    /// A new receipt key. `executor` is `cpu` or `cuda`; `gpu_uuid` names the GPU that computes, if one does.
    pub fn new(
        worker: WorkerId,
        executor: &'static str,
        module_digest: Sha256Digest,
        gpu_uuid: Option<String>,
    ) -> Result<Self, KeyError> {
        let random = SystemRandom::new();
        Ok(Self {
            signer: ReceiptSigner::generate(&random)?,
            random,
            worker,
            executor,
            module_digest,
            model_digest: None,
            gpu_uuid,
        })
    }

    /// With the digest of the model that the executor child has.
    #[must_use]
    pub fn with_model(self, model_digest: Option<Sha256Digest>) -> Self {
        Self {
            model_digest,
            ..self
        }
    }

    /// SubjectPublicKeyInfo of the receipt key, for the claims.
    #[must_use]
    pub fn key_spki(&self) -> Vec<u8> {
        self.signer.key().spki()
    }

    /// The ack of a batch, signed for the session and the attestation in force.
    pub fn ack(
        &self,
        session: &Session,
        batch: u64,
        finished: &[Arc<Finished>],
    ) -> Result<AckRequest, KeyError> {
        let acks: Vec<_> = finished.iter().map(|finished| self.one(finished)).collect();
        let hashes: Vec<_> = acks.iter().map(|ack| tree::leaf_hash(&ack.leaf)).collect();
        let statement = Statement {
            root: tree::root(&hashes),
            tree_size: u64::try_from(hashes.len()).unwrap_or(u64::MAX),
            worker: self.worker.clone(),
            session: session.id,
            attestation: session.attestation.clone(),
            batch,
        };
        Ok(AckRequest {
            statement: statement.sign(&self.signer, &self.random)?,
            acks,
        })
    }

    fn one(&self, finished: &Finished) -> Ack {
        let output_bytes = u64::try_from(finished.output.len()).unwrap_or(u64::MAX);
        Ack {
            lease: finished.offer.lease,
            leaf: ByteBuf::from(self.leaf(finished, output_bytes).encode()),
            output: if finished.is_inline() {
                Output::Inline(ByteBuf::from(finished.output.to_vec()))
            } else {
                Output::Uploaded {
                    sha256: finished.sha256,
                    bytes: output_bytes,
                }
            },
        }
    }

    fn leaf(&self, finished: &Finished, output_bytes: u64) -> Leaf {
        let offer = &finished.offer;
        Leaf {
            version: LEAF_VERSION,
            task: offer.lease.task.to_string(),
            task_digest: offer.digest(),
            operation: offer.task.operation.clone(),
            operation_version: offer.task.version,
            module_digest: self.module_digest,
            model_digest: self
                .model_digest
                .filter(|_| computes_with_model(&offer.task)),
            inputs: offer.task.inputs.iter().map(|input| input.sha256).collect(),
            output: finished.sha256,
            output_bytes,
            executor: self.executor.to_owned(),
            gpu_uuid: self.gpu_uuid.clone(),
            attempt: offer.attempt,
            started_ms: finished.started_ms,
            finished_ms: finished.finished_ms,
        }
    }
}

fn computes_with_model(task: &TaskBody) -> bool {
    Operation::find(&task.operation, task.version)
        .is_ok_and(|operation| operation.model().is_some())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use protocol::SessionId;
    use protocol::receipt::ReceiptKey;

    use super::*;
    use crate::session::Offer;

    fn finished(number: u64, output_bytes: usize) -> Arc<Finished> {
        let output = Bytes::from(vec![3; output_bytes]);
        Arc::new(Finished {
            offer: Arc::new(Offer::read(crate::session::tests::lease(number, &[0; 8])).unwrap()),
            sha256: Sha256Digest::of(&output),
            output,
            started_ms: 5,
            finished_ms: 9,
        })
    }

    fn receipts() -> Receipts {
        Receipts::new(
            "worker-1".parse().unwrap(),
            "cpu",
            Sha256Digest::of(b"module"),
            None,
        )
        .unwrap()
    }

    #[test]
    fn a_batch_is_signed_once_over_all_its_leaves() {
        let receipts = receipts();
        let session = Session {
            id: SessionId::from_parts(1, 2),
            attestation: "ab".repeat(64),
        };
        let batch = [finished(1, 8), finished(2, 8), finished(3, 100_000)];
        let request = receipts.ack(&session, 7, &batch).unwrap();
        let key = ReceiptKey::from_spki(&receipts.key_spki()).unwrap();
        let statement = Statement::verify(&request.statement, &key).unwrap();
        let hashes: Vec<_> = request
            .acks
            .iter()
            .map(|ack| tree::leaf_hash(&ack.leaf))
            .collect();
        assert_eq!(statement.root, tree::root(&hashes));
        assert_eq!(
            (statement.tree_size, statement.batch, statement.session),
            (3, 7, session.id)
        );
        assert_eq!(statement.attestation, session.attestation);
    }

    #[test]
    fn a_leaf_says_what_ran_on_what() {
        let request = receipts().ack(
            &Session {
                id: SessionId::from_parts(1, 2),
                attestation: "ab".repeat(64),
            },
            0,
            &[finished(4, 8), finished(5, 65_537)],
        );
        let acks = request.unwrap().acks;
        let leaf = Leaf::decode(&acks[0].leaf).unwrap();
        assert_eq!(leaf.task_digest, finished(4, 8).offer.digest());
        assert_eq!(leaf.inputs, [Sha256Digest::of(&[0; 8])]);
        assert_eq!(
            (leaf.output_bytes, leaf.started_ms, leaf.finished_ms),
            (8, 5, 9)
        );
        assert_eq!(leaf.model_digest, None);
        assert!(matches!(&acks[0].output, Output::Inline(bytes) if bytes.len() == 8));
        assert!(matches!(
            acks[1].output,
            Output::Uploaded { bytes: 65_537, .. }
        ));
    }

    #[test]
    fn a_leaf_names_the_model_where_the_operation_computes_with_one() {
        let digest = Sha256Digest::of(b"model");
        let receipts = receipts().with_model(Some(digest));
        let leaf = |finished: &Finished| receipts.leaf(finished, 8).model_digest;
        assert_eq!(leaf(&finished(1, 8)), None);
        let mut embedding = Arc::into_inner(finished(2, 8)).unwrap();
        let mut offer = Offer::clone(&embedding.offer);
        "embed".clone_into(&mut offer.task.operation);
        embedding.offer = Arc::new(offer);
        assert_eq!(leaf(&embedding), Some(digest));
    }
}
