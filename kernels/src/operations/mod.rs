//! The CPU definition of each operation: the specification of what it computes, and the oracle for every other executor.
//!
//! # Numbers
//!
//! Arrays are little-endian IEEE 754 binary32, row by row; in `gemm_bf16` bfloat16, the upper half of a binary32. The definitions are written to be the most accurate simple
//! form, so that they can serve as the oracle:
//!
//! - Sums ([`gemm`], [`layer_norm`], [`reduce`], [`softmax`]) are taken in binary64, from +0 upwards in index order, and
//!   rounded to the output's elements once, at the end. An executor may add in another order and in binary32 as long as it stays
//!   within the catalogue's tolerance. Where the magnitudes that are added sum to more than `f32::MAX` though no input is
//!   infinite or NaN, executors may differ: such an output is unspecified.
//! - The largest and smallest elements ([`reduce`], [`softmax`]) are `maximum` and `minimum` of IEEE 754-2019: NaN if any
//!   element is NaN, and −0 is less than +0.
//! - [`saxpy`] is one fused multiply-add, rounded once: the same bits everywhere.
//! - Infinities and NaN follow from the formula by IEEE 754 arithmetic; which NaN results is unspecified.
//! - Subnormal numbers are kept, never flushed to zero.
//! - [`transpose`] moves the four bytes of an element as they are, and [`sha256_batch`] knows no numbers.
//! - [`embed`] is binary32 throughout, with sums in no given order; its tolerance is stated for the vectors' numbers, and
//!   token counts are exact.
//!
//! The CUDA sources in `cuda/` keep to the same definition.

mod element;
pub mod embed;
pub mod gemm;
pub mod layer_norm;
pub mod reduce;
pub mod saxpy;
pub mod sha256_batch;
pub mod softmax;
pub mod transpose;

#[cfg(test)]
mod tests;

use protocol::catalogue::{Call, Values};

use crate::embed::TextError;

/// An implementation: parameters, inputs, output. Sizes are those that the catalogue computed.
type Definition = fn(&Values, &[&[u8]], &mut [u8]) -> Result<(), OperationError>;

/// Every operation of the catalogue by name and version, in its order.
static DEFINITIONS: &[(&str, u32, Definition)] = &[
    ("embed", 1, embed::without_model),
    ("gemm", 1, gemm::run),
    ("gemm_bf16", 1, gemm::run_bf16),
    ("layer_norm", 1, layer_norm::run),
    ("reduce", 1, reduce::run),
    ("saxpy", 1, saxpy::run),
    ("sha256_batch", 1, sha256_batch::run),
    ("softmax", 1, softmax::run),
    ("transpose", 1, transpose::run),
];

/// Why an operation could not run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    #[error("this executor has no operation `{name}` of version {version}")]
    Unknown { name: &'static str, version: u32 },
    #[error("the call has {wanted} inputs, {seen} are at hand")]
    InputCount { wanted: usize, seen: usize },
    #[error("input {index} has {seen} bytes, the call says {wanted}")]
    InputBytes {
        index: usize,
        wanted: u64,
        seen: usize,
    },
    #[error("the output has {seen} bytes, the call says {wanted}")]
    OutputBytes { wanted: u64, seen: usize },
    #[error("the call's sizes do not fit this machine")]
    Size,
    #[error("text {index} cannot be read")]
    Text {
        index: usize,
        #[source]
        error: TextError,
    },
    #[error("this executor was started without a model")]
    ModelMissing,
}

/// Runs the CPU definition of the call. Every byte of `output` is written.
pub fn run(call: &Call, inputs: &[&[u8]], output: &mut [u8]) -> Result<(), OperationError> {
    let operation = call.operation();
    compare_sizes(call, inputs, output)?;
    let found = DEFINITIONS
        .iter()
        .find(|(name, version, _)| (*name, *version) == (operation.name, operation.version));
    let Some((_, _, definition)) = found else {
        return Err(OperationError::Unknown {
            name: operation.name,
            version: operation.version,
        });
    };
    definition(call.values(), inputs, output)
}

fn compare_sizes(call: &Call, inputs: &[&[u8]], output: &[u8]) -> Result<(), OperationError> {
    let wanted = call.input_bytes();
    if inputs.len() != wanted.len() {
        return Err(OperationError::InputCount {
            wanted: wanted.len(),
            seen: inputs.len(),
        });
    }
    for (index, (input, &wanted)) in inputs.iter().zip(wanted).enumerate() {
        if u64::try_from(input.len()) != Ok(wanted) {
            return Err(OperationError::InputBytes {
                index,
                wanted,
                seen: input.len(),
            });
        }
    }
    if u64::try_from(output.len()) != Ok(call.output_bytes()) {
        return Err(OperationError::OutputBytes {
            wanted: call.output_bytes(),
            seen: output.len(),
        });
    }
    Ok(())
}

/// A count parameter as an index of this machine.
fn count(values: &Values, name: &str) -> Result<usize, OperationError> {
    usize::try_from(values.count(name)).map_err(|_| OperationError::Size)
}

/// The inputs of an operation that takes `N` of them.
fn named<'a, const N: usize>(inputs: &[&'a [u8]]) -> Result<[&'a [u8]; N], OperationError> {
    <[&[u8]; N]>::try_from(inputs).map_err(|_| OperationError::InputCount {
        wanted: N,
        seen: inputs.len(),
    })
}
