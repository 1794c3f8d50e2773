//! Is this ack batch what this session may say? Pure: a batch becomes a [`VerifiedBatch`] here or is refused; the store
//! then holds each ack against its lease with [`VerifiedAck::agrees_with`].
//!
//! What concerns the whole batch (signature, worker, session, attestation, tree) refuses all of it. What concerns one
//! leaf refuses that ack alone.

#[cfg(test)]
mod tests;

use protocol::catalogue::Operation;
use protocol::catalogue::models::Model;
use protocol::lease::{Ack, AckRequest, LeaseRef, OperationId, Output};
use protocol::limits::INLINE_BYTES_MAX;
use protocol::receipt::{Leaf, LeafError, ReceiptKey, Statement, StatementError, tree};
use protocol::task::InputDescriptor;
use protocol::{SessionId, Sha256Digest, TaskId, WorkerId};

/// What one attestation of a session bound: the key that may sign, and the code and devices that may be named.
#[derive(Debug, Clone)]
pub struct AttestedKey {
    /// The report data, 128 lower-case hexadecimal digits.
    pub attestation: String,
    pub receipt_key: ReceiptKey,
    pub module_digest: Sha256Digest,
    /// `cpu` or `cuda`.
    pub executor: String,
    pub gpu_uuids: Vec<String>,
}

/// The session on which a batch arrives.
#[derive(Debug, Clone, Copy)]
pub struct Signatory<'a> {
    pub worker: &'a WorkerId,
    pub session: SessionId,
    /// The attestation in force first, then the one before it: a batch may have been under way while the session attested
    /// again.
    pub attested: &'a [AttestedKey],
}

/// Why a whole batch is refused.
#[derive(Debug, thiserror::Error)]
pub enum BatchRefusal {
    #[error("the session has no attested receipt key")]
    NoReceiptKey,
    #[error("the signed statement does not hold")]
    Statement(#[source] StatementError),
    #[error("the statement names attestation {seen}, which is not in force on this session")]
    Attestation { seen: String },
    #[error("the statement names worker {seen}; the session is {wanted}'s")]
    Worker { seen: WorkerId, wanted: WorkerId },
    #[error("the statement names session {seen}; it arrived on {wanted}")]
    Session { seen: SessionId, wanted: SessionId },
    #[error("the statement covers {signed} leaves; the batch has {seen}")]
    TreeSize { seen: usize, signed: u64 },
    #[error("the leaves lead to the root {seen}; {signed} is signed")]
    Root {
        seen: Sha256Digest,
        signed: Sha256Digest,
    },
}

/// Why one leaf does not fit its lease, its output or its attestation.
#[derive(Debug, thiserror::Error)]
pub enum LeafRefusal {
    #[error("the receipt leaf cannot be read: {0}")]
    Leaf(LeafError),
    #[error("the leaf names task {seen}; the lease is of {wanted}")]
    Task { seen: String, wanted: TaskId },
    #[error("the leaf names attempt {seen}; the lease is attempt {wanted}")]
    Attempt { seen: u32, wanted: u32 },
    #[error("the leaf's task digest is not the task's")]
    TaskDigest,
    #[error("the leaf names operation {seen_name} {seen_version}; the task asks for {} {}", .wanted.name, .wanted.version)]
    Operation {
        seen_name: String,
        seen_version: u32,
        wanted: OperationId,
    },
    #[error("the leaf's model is not the one that the operation computes with")]
    Model {
        seen: Option<Sha256Digest>,
        wanted: Option<Sha256Digest>,
    },
    #[error("the leaf's inputs are not the task's")]
    Inputs,
    #[error("the leaf's output is {leaf}; {delivered} was delivered")]
    OutputDigest {
        leaf: Sha256Digest,
        delivered: Sha256Digest,
    },
    #[error("the leaf's output has {leaf} bytes; {delivered} were delivered")]
    OutputBytes { leaf: u64, delivered: u64 },
    #[error("an inline output of {0} bytes is over the limit of {INLINE_BYTES_MAX}")]
    InlineTooLarge(u64),
    #[error("the output has {seen} bytes; the operation gives {wanted}")]
    OutputLayout { seen: u64, wanted: u64 },
    #[error("the leaf names a module that the attestation does not")]
    Module,
    #[error("the leaf names executor `{seen}`; `{wanted}` is attested")]
    Executor { seen: String, wanted: String },
    #[error("the leaf names GPU {0}, which the attestation does not")]
    Gpu(String),
}

/// A batch whose signature and tree hold, from the session that may sign it.
#[derive(Debug)]
pub struct VerifiedBatch {
    worker: WorkerId,
    attestation: String,
    statement: String,
    receipt_key: ReceiptKey,
    leaf_hashes: Vec<Sha256Digest>,
    acks: Vec<(LeaseRef, Result<VerifiedAck, LeafRefusal>)>,
}

impl VerifiedBatch {
    #[must_use]
    pub fn worker(&self) -> &WorkerId {
        &self.worker
    }

    /// The attestation under which it was signed.
    #[must_use]
    pub fn attestation(&self) -> &str {
        &self.attestation
    }

    /// The compact JWS.
    #[must_use]
    pub fn statement(&self) -> &str {
        &self.statement
    }

    #[must_use]
    pub fn receipt_key(&self) -> &ReceiptKey {
        &self.receipt_key
    }

    /// Of every leaf, those of refused acks included: the tree is over all of them.
    #[must_use]
    pub fn leaf_hashes(&self) -> &[Sha256Digest] {
        &self.leaf_hashes
    }

    /// In the order of the request.
    pub fn acks(&self) -> &[(LeaseRef, Result<VerifiedAck, LeafRefusal>)] {
        &self.acks
    }

    /// What it holds in memory.
    pub(crate) fn payload_bytes(&self) -> u64 {
        let acks = self.acks.iter().filter_map(|(_, ack)| ack.as_ref().ok());
        acks.map(VerifiedAck::payload_bytes)
            .fold(0, u64::saturating_add)
    }
}

/// An ack whose leaf fits its output and its attestation. Whether it fits its lease, the store decides.
#[derive(Debug)]
pub struct VerifiedAck {
    leaf: Leaf,
    leaf_bytes: Vec<u8>,
    output: Output,
}

impl VerifiedAck {
    #[must_use]
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    /// As they were signed.
    #[must_use]
    pub fn leaf_bytes(&self) -> &[u8] {
        &self.leaf_bytes
    }

    #[must_use]
    pub fn output(&self) -> &Output {
        &self.output
    }

    fn payload_bytes(&self) -> u64 {
        let inline = match &self.output {
            Output::Inline(bytes) => bytes.len(),
            Output::Uploaded { .. } => 0,
        };
        u64::try_from(inline.saturating_add(self.leaf_bytes.len())).unwrap_or(u64::MAX)
    }

    /// Holds the leaf against what was leased.
    pub fn agrees_with(&self, leased: &LeasedTask) -> Result<(), LeafRefusal> {
        let leaf = &self.leaf;
        if leaf.attempt != leased.attempt {
            return Err(LeafRefusal::Attempt {
                seen: leaf.attempt,
                wanted: leased.attempt,
            });
        }
        if leaf.task_digest != leased.digest {
            return Err(LeafRefusal::TaskDigest);
        }
        if leaf.operation != leased.operation.name
            || leaf.operation_version != leased.operation.version
        {
            return Err(LeafRefusal::Operation {
                seen_name: leaf.operation.clone(),
                seen_version: leaf.operation_version,
                wanted: leased.operation.clone(),
            });
        }
        let wanted = model_digest(&leased.operation);
        if leaf.model_digest != wanted {
            let seen = leaf.model_digest;
            return Err(LeafRefusal::Model { seen, wanted });
        }
        if leaf.inputs != leased.inputs {
            return Err(LeafRefusal::Inputs);
        }
        if leaf.output_bytes != leased.output_bytes {
            return Err(LeafRefusal::OutputLayout {
                seen: leaf.output_bytes,
                wanted: leased.output_bytes,
            });
        }
        Ok(())
    }
}

/// Of the model that the catalogue pins for the operation.
fn model_digest(operation: &OperationId) -> Option<Sha256Digest> {
    let operation = Operation::find(&operation.name, operation.version).ok()?;
    operation.model().map(Model::digest)
}

/// What a lease handed out, as the gateway has it on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeasedTask {
    pub attempt: u32,
    pub digest: Sha256Digest,
    pub operation: OperationId,
    pub inputs: Vec<Sha256Digest>,
    /// What the catalogue says the output has.
    pub output_bytes: u64,
}

/// Verifies a batch: one signature, and a digest over each leaf and inline output.
pub fn verify(
    request: AckRequest,
    signatory: &Signatory<'_>,
) -> Result<VerifiedBatch, BatchRefusal> {
    let (statement, attested) = verify_statement(&request.statement, signatory.attested)?;
    if statement.worker != *signatory.worker {
        return Err(BatchRefusal::Worker {
            seen: statement.worker,
            wanted: signatory.worker.clone(),
        });
    }
    if statement.session != signatory.session {
        return Err(BatchRefusal::Session {
            seen: statement.session,
            wanted: signatory.session,
        });
    }
    let leaf_hashes = verify_tree(&statement, &request.acks)?;
    let acks = request
        .acks
        .into_iter()
        .map(|ack| (ack.lease, verify_ack(ack, attested)));
    Ok(VerifiedBatch {
        worker: statement.worker,
        attestation: statement.attestation,
        acks: acks.collect(),
        statement: request.statement,
        receipt_key: attested.receipt_key.clone(),
        leaf_hashes,
    })
}

/// The statement, and the attestation in force that bound the key which signed it.
fn verify_statement<'a>(
    jws: &str,
    attested: &'a [AttestedKey],
) -> Result<(Statement, &'a AttestedKey), BatchRefusal> {
    let mut refusal = BatchRefusal::NoReceiptKey;
    for candidate in attested {
        match Statement::verify(jws, &candidate.receipt_key) {
            Ok(statement) if statement.attestation == candidate.attestation => {
                return Ok((statement, candidate));
            }
            Ok(statement) => {
                refusal = BatchRefusal::Attestation {
                    seen: statement.attestation,
                };
            }
            Err(error) if matches!(refusal, BatchRefusal::NoReceiptKey) => {
                refusal = BatchRefusal::Statement(error);
            }
            Err(_) => {}
        }
    }
    Err(refusal)
}

fn verify_tree(statement: &Statement, acks: &[Ack]) -> Result<Vec<Sha256Digest>, BatchRefusal> {
    if u64::try_from(acks.len()) != Ok(statement.tree_size) {
        return Err(BatchRefusal::TreeSize {
            seen: acks.len(),
            signed: statement.tree_size,
        });
    }
    let hashes: Vec<_> = acks.iter().map(|ack| tree::leaf_hash(&ack.leaf)).collect();
    let seen = tree::root(&hashes);
    if seen == statement.root {
        Ok(hashes)
    } else {
        Err(BatchRefusal::Root {
            seen,
            signed: statement.root,
        })
    }
}

fn verify_ack(ack: Ack, attested: &AttestedKey) -> Result<VerifiedAck, LeafRefusal> {
    let leaf = Leaf::decode(&ack.leaf).map_err(LeafRefusal::Leaf)?;
    if leaf.task != ack.lease.task.to_string() {
        return Err(LeafRefusal::Task {
            seen: leaf.task,
            wanted: ack.lease.task,
        });
    }
    verify_output(&leaf, &ack.output)?;
    verify_executor(&leaf, attested)?;
    Ok(VerifiedAck {
        leaf,
        leaf_bytes: ack.leaf.into_vec(),
        output: ack.output,
    })
}

fn verify_output(leaf: &Leaf, output: &Output) -> Result<(), LeafRefusal> {
    let delivered = match output {
        Output::Inline(bytes) => InputDescriptor::of(bytes),
        Output::Uploaded { sha256, bytes } => InputDescriptor {
            sha256: *sha256,
            bytes: *bytes,
        },
    };
    if matches!(output, Output::Inline(_)) && delivered.bytes > INLINE_BYTES_MAX {
        return Err(LeafRefusal::InlineTooLarge(delivered.bytes));
    }
    if leaf.output_bytes != delivered.bytes {
        return Err(LeafRefusal::OutputBytes {
            leaf: leaf.output_bytes,
            delivered: delivered.bytes,
        });
    }
    if leaf.output != delivered.sha256 {
        return Err(LeafRefusal::OutputDigest {
            leaf: leaf.output,
            delivered: delivered.sha256,
        });
    }
    Ok(())
}

/// A receipt may name only what the attestation proved.
fn verify_executor(leaf: &Leaf, attested: &AttestedKey) -> Result<(), LeafRefusal> {
    if leaf.module_digest != attested.module_digest {
        return Err(LeafRefusal::Module);
    }
    if leaf.executor != attested.executor {
        return Err(LeafRefusal::Executor {
            seen: leaf.executor.clone(),
            wanted: attested.executor.clone(),
        });
    }
    if let Some(uuid) = &leaf.gpu_uuid
        && !attested.gpu_uuids.contains(uuid)
    {
        return Err(LeafRefusal::Gpu(uuid.clone()));
    }
    Ok(())
}
