//! What a submitter hands over: a task that fits the catalogue, and how its life shall go.

use bytes::Bytes;
use protocol::catalogue::{Call, TaskFault};
use protocol::lease::OperationId;
use protocol::limits::INLINE_BYTES_MAX;
use protocol::requirements::Requirements;
use protocol::task::{InputDescriptor, TaskBody, TaskBodyError, task_digest};
use protocol::{IdempotencyKey, Sha256Digest, TaskId, UserName};
use serde_json::{Map, Value};

use super::queue::inputs;

/// The bytes of one input, or the blob that holds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputBytes {
    Inline(Bytes),
    Blob(InputDescriptor),
}

impl InputBytes {
    fn stored(&self) -> StoredInput {
        match self {
            Self::Inline(bytes) => StoredInput {
                descriptor: InputDescriptor::of(bytes),
                is_inline: true,
            },
            Self::Blob(descriptor) => StoredInput {
                descriptor: *descriptor,
                is_inline: false,
            },
        }
    }

    fn inline(self) -> Option<Bytes> {
        match self {
            Self::Inline(bytes) => Some(bytes),
            Self::Blob(_) => None,
        }
    }
}

/// One input as it is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoredInput {
    pub(super) descriptor: InputDescriptor,
    /// Otherwise it is a blob.
    pub(super) is_inline: bool,
}

/// Why a task is not queued.
#[derive(Debug, thiserror::Error)]
pub enum SpecificationError {
    #[error("the task does not fit the catalogue")]
    Fault(#[source] TaskFault),
    #[error(
        "input {index} has {seen} bytes; up to {INLINE_BYTES_MAX} travel inline, more are a blob"
    )]
    InlineTooLarge { index: usize, seen: usize },
    #[error("the task has no canonical form")]
    Body(#[source] TaskBodyError),
}

/// What is to be computed: accepted by the catalogue, in canonical bytes, with its digest. Only
/// [`TaskSpecification::parse`] makes one, so that nothing else can be queued.
#[derive(Debug, Clone)]
pub struct TaskSpecification {
    pub(super) operation: OperationId,
    pub(super) canonical: Vec<u8>,
    pub(super) digest: Sha256Digest,
    pub(super) inputs: Vec<StoredInput>,
    /// The same as one column.
    pub(super) records: Vec<u8>,
    /// Of those that are inline, end to end.
    pub(super) data: Bytes,
    pub(super) output_bytes: u64,
}

impl TaskSpecification {
    /// Reads a task against the catalogue. Digests every inline input: not for the writer's thread.
    pub fn parse(
        operation: &str,
        version: u32,
        parameters: Map<String, Value>,
        inputs: Vec<InputBytes>,
    ) -> Result<Self, SpecificationError> {
        for (index, input) in inputs.iter().enumerate() {
            refuse_large_inline(index, input)?;
        }
        let stored: Vec<_> = inputs.iter().map(InputBytes::stored).collect();
        let body = TaskBody {
            operation: operation.to_owned(),
            version,
            parameters,
            inputs: stored.iter().map(|input| input.descriptor).collect(),
        };
        let call: Call = body.call().map_err(SpecificationError::Fault)?;
        let canonical = body.canonical().map_err(SpecificationError::Body)?;
        Ok(Self {
            operation: OperationId {
                name: body.operation,
                version,
            },
            digest: task_digest(&canonical),
            canonical,
            records: inputs::write(&stored),
            inputs: stored,
            data: end_to_end(inputs),
            output_bytes: call.output_bytes(),
        })
    }

    #[must_use]
    pub fn operation(&self) -> &OperationId {
        &self.operation
    }

    #[must_use]
    pub fn digest(&self) -> Sha256Digest {
        self.digest
    }

    /// What the catalogue says the output will have.
    #[must_use]
    pub fn output_bytes(&self) -> u64 {
        self.output_bytes
    }

    /// Body and inline inputs: what a lease carries, and what waits in memory until it is written.
    pub(super) fn payload_bytes(&self) -> u64 {
        let bytes = self.canonical.len().saturating_add(self.data.len());
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

fn refuse_large_inline(index: usize, input: &InputBytes) -> Result<(), SpecificationError> {
    match input {
        InputBytes::Inline(bytes)
            if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > INLINE_BYTES_MAX =>
        {
            Err(SpecificationError::InlineTooLarge {
                index,
                seen: bytes.len(),
            })
        }
        _ => Ok(()),
    }
}

/// Most tasks have one, which stays where it is.
fn end_to_end(inputs: Vec<InputBytes>) -> Bytes {
    let mut inline: Vec<_> = inputs.into_iter().filter_map(InputBytes::inline).collect();
    if inline.len() > 1 {
        return inline.concat().into();
    }
    inline.pop().unwrap_or_default()
}

/// One task to be queued.
#[derive(Debug, Clone)]
pub struct NewTask {
    pub id: TaskId,
    pub user: UserName,
    pub specification: TaskSpecification,
    /// 0 (last) to [`protocol::limits::PRIORITY_MAX`] (first).
    pub priority: u8,
    pub max_attempts: u32,
    pub submitted_ms: u64,
    pub deadline_ms: Option<u64>,
    pub idempotency_key: Option<IdempotencyKey>,
    pub requirements: Requirements,
}

/// A task that is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    /// The id to give out: the earlier task's where the idempotency key was known.
    pub task: TaskId,
    pub was_known: bool,
}

/// Why one task of a batch is not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    #[error("the idempotency key was used for another task, {task}")]
    IdempotencyConflict { task: TaskId },
    #[error("input {index} is the blob {sha256}, which its user has not uploaded with this size")]
    MissingBlob { index: usize, sha256: Sha256Digest },
    #[error("its user has {queued_max} tasks queued, which is the limit")]
    QuotaExceeded { queued_max: u64 },
    #[error(
        "its user has tasks queued that demand {requirements_max} different things, which is the limit"
    )]
    TooManyRequirements { requirements_max: u64 },
    #[error(
        "its user has tasks, finished ones too, that demand {requirements_max} different things, which is the limit"
    )]
    TooManyRequirementsKept { requirements_max: u64 },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_inputs_stand_end_to_end_without_blobs() {
        let inline = |text: &'static str| InputBytes::Inline(text.into());
        let blob = InputBytes::Blob(InputDescriptor::of(b"large"));
        let several = vec![inline("one"), blob.clone(), inline(""), inline("three")];
        assert_eq!(end_to_end(several), "onethree");
        assert_eq!(end_to_end(vec![blob.clone(), inline("one")]), "one");
        assert_eq!(end_to_end(vec![blob]), "");
    }
}
