//! `gemm` and `gemm_bf16`: the product of an m × k and a k × n matrix, row by row.

use protocol::catalogue::Values;

use super::element::{round, round_short, wide, wide_short};
use super::{OperationError, count, named};

/// Columns whose sums are kept at once: 4 KiB of them stay in the first-level cache beside a row of b.
const BLOCK_COLUMNS: usize = 512;

/// Elements are binary32.
pub(super) fn run(
    values: &Values,
    inputs: &[&[u8]],
    output: &mut [u8],
) -> Result<(), OperationError> {
    multiply(values, inputs, output, wide, round)
}

/// Elements are bfloat16.
pub(super) fn run_bf16(
    values: &Values,
    inputs: &[&[u8]],
    output: &mut [u8],
) -> Result<(), OperationError> {
    multiply(values, inputs, output, wide_short, round_short)
}

/// out\[i\]\[j\] = Σ a\[i\]\[p\] × b\[p\]\[j\] for p from 0 to k − 1. Products are exact in binary64, sums binary64,
/// rounded once. Nothing is skipped: 0 × ∞ is NaN.
fn multiply<const BYTES: usize>(
    values: &Values,
    inputs: &[&[u8]],
    output: &mut [u8],
    wide: impl Fn(&[u8; BYTES]) -> f64 + Copy,
    round: impl Fn(f64) -> [u8; BYTES],
) -> Result<(), OperationError> {
    let [a, b] = named(inputs)?;
    let (n, k) = (count(values, "n")?, count(values, "k")?);
    let (a, b, output) = (a.as_chunks().0, b.as_chunks().0, output.as_chunks_mut().0);
    for first in (0..n).step_by(BLOCK_COLUMNS) {
        for (a_row, output_row) in a.chunks_exact(k).zip(output.chunks_exact_mut(n)) {
            let output_block = output_row.iter_mut().skip(first).take(BLOCK_COLUMNS);
            let sums = row_times_block(a_row, b, n, first, wide);
            for (element, sum) in output_block.zip(sums) {
                *element = round(sum);
            }
        }
    }
    Ok(())
}

/// One row of a times the block of b's columns that begins at `first`.
fn row_times_block<const BYTES: usize>(
    a_row: &[[u8; BYTES]],
    b: &[[u8; BYTES]],
    n: usize,
    first: usize,
    wide: impl Fn(&[u8; BYTES]) -> f64,
) -> [f64; BLOCK_COLUMNS] {
    let mut sums = [0.0; BLOCK_COLUMNS];
    for (factor, b_row) in a_row.iter().zip(b.chunks_exact(n)) {
        let factor = wide(factor);
        let b_block = b_row.get(first..).unwrap_or_default();
        for (sum, element) in sums.iter_mut().zip(b_block) {
            *sum += factor * wide(element);
        }
    }
    sums
}
