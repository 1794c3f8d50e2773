//! One task's leaf: deterministic CBOR (RFC 8949, section 4.2) with integer keys, opaque to the tree above it.

use minicbor::{Decode, Encode};

use crate::digest::Sha256Digest;
use crate::ids::TaskId;
use crate::limits::{INPUTS_COUNT_MAX, RECEIPT_LEAF_BYTES_MAX, RECEIPT_NAME_BYTES_MAX};

/// What the worker says of one finished task.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Leaf {
    /// 1: this layout.
    #[n(0)]
    pub version: u32,
    /// The task's ULID, in text.
    #[n(1)]
    pub task: String,
    /// Over the canonical bytes of the task's body.
    #[n(2)]
    pub task_digest: Sha256Digest,
    #[n(3)]
    pub operation: String,
    #[n(4)]
    pub operation_version: u32,
    /// The machine code that ran it: the worker's executable for the CPU, the kernel module for a GPU.
    #[n(5)]
    pub module_digest: Sha256Digest,
    #[n(6)]
    pub model_digest: Option<Sha256Digest>,
    #[n(7)]
    pub inputs: Vec<Sha256Digest>,
    #[n(8)]
    pub output: Sha256Digest,
    #[n(9)]
    pub output_bytes: u64,
    /// `cpu` or `cuda`.
    #[n(10)]
    pub executor: String,
    /// As NVML names it; absent on the CPU. What its evidence was worth is the attestation's to say, not the worker's.
    #[n(11)]
    pub gpu_uuid: Option<String>,
    #[n(12)]
    pub attempt: u32,
    /// By the worker's clock, Unix milliseconds.
    #[n(13)]
    pub started_ms: u64,
    #[n(14)]
    pub finished_ms: u64,
}

/// The only layout there is.
pub const LEAF_VERSION: u32 = 1;

/// Why bytes are no leaf.
#[derive(Debug, thiserror::Error)]
pub enum LeafError {
    #[error("{0} bytes are more than the {RECEIPT_LEAF_BYTES_MAX} that a leaf may have")]
    TooLarge(usize),
    #[error("the bytes are not a leaf's CBOR")]
    Cbor(#[source] minicbor::decode::Error),
    #[error("version {0} is not known; expected {LEAF_VERSION}")]
    Version(u32),
    #[error("{0} inputs are more than the {INPUTS_COUNT_MAX} that a task may have")]
    Inputs(usize),
    #[error("`task` is not the text of a task's id")]
    Task,
    #[error("`{0}` is not 1 to {RECEIPT_NAME_BYTES_MAX} printable ASCII characters")]
    Name(&'static str),
    #[error("the CBOR is not in its deterministic form")]
    NotDeterministic,
}

impl Leaf {
    /// The deterministic bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Most have some 300.
        let mut bytes = Vec::with_capacity(512);
        match minicbor::encode(self, &mut bytes) {
            Ok(()) => bytes,
            // Writing to a Vec is infallible, and so is every field's encoder.
            Err(error) => unreachable!("{error}"),
        }
    }

    /// Reads deterministic bytes; any other encoding of the same values is refused.
    pub fn decode(bytes: &[u8]) -> Result<Self, LeafError> {
        if bytes.len() > RECEIPT_LEAF_BYTES_MAX {
            return Err(LeafError::TooLarge(bytes.len()));
        }
        let leaf: Self = minicbor::decode(bytes).map_err(LeafError::Cbor)?;
        if leaf.version != LEAF_VERSION {
            return Err(LeafError::Version(leaf.version));
        }
        if leaf.inputs.len() > INPUTS_COUNT_MAX {
            return Err(LeafError::Inputs(leaf.inputs.len()));
        }
        leaf.texts()?;
        if leaf.encode() == bytes {
            Ok(leaf)
        } else {
            Err(LeafError::NotDeterministic)
        }
    }

    /// Leaves end up in terminals and logs before anyone knows whose key signed them.
    fn texts(&self) -> Result<(), LeafError> {
        // An id has one text but for its case.
        let has_small = self.task.bytes().any(|byte| byte.is_ascii_lowercase());
        if has_small || self.task.parse::<TaskId>().is_err() {
            return Err(LeafError::Task);
        }
        name("operation", &self.operation)?;
        name("executor", &self.executor)?;
        self.gpu_uuid
            .as_ref()
            .map_or(Ok(()), |uuid| name("gpu_uuid", uuid))
    }
}

fn name(field: &'static str, text: &str) -> Result<(), LeafError> {
    let fits = (1..=RECEIPT_NAME_BYTES_MAX).contains(&text.len());
    if fits && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        Ok(())
    } else {
        Err(LeafError::Name(field))
    }
}

impl<C> Encode<C> for Sha256Digest {
    fn encode<W: minicbor::encode::Write>(
        &self,
        encoder: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.bytes(self.as_bytes())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Sha256Digest {
    fn decode(
        decoder: &mut minicbor::Decoder<'b>,
        _: &mut C,
    ) -> Result<Self, minicbor::decode::Error> {
        let bytes = decoder.bytes()?;
        let bytes = bytes
            .try_into()
            .map_err(|_| minicbor::decode::Error::message("a digest has 32 bytes"))?;
        Ok(Self::from_bytes(bytes))
    }
}
