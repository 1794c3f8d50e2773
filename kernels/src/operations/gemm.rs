//! `gemm`: the product of an m × k and a k × n matrix, row by row.

use protocol::catalogue::Values;

use super::element::{Element, elements, elements_mut, round, wide};
use super::{OperationError, count, named};

/// Columns whose sums are kept at once: 4 KiB of them stay in the first-level cache beside a row of b.
const BLOCK_COLUMNS: usize = 512;

/// out\[i\]\[j\] = Σ a\[i\]\[p\] × b\[p\]\[j\] for p from 0 to k − 1. Products are exact in binary64, sums binary64,
/// rounded once. Nothing is skipped: 0 × ∞ is NaN.
pub(super) fn run(
    values: &Values,
    inputs: &[&[u8]],
    output: &mut [u8],
) -> Result<(), OperationError> {
    let [a, b] = named(inputs)?;
    let (n, k) = (count(values, "n")?, count(values, "k")?);
    let (a, b, output) = (elements(a), elements(b), elements_mut(output));
    for first in (0..n).step_by(BLOCK_COLUMNS) {
        for (a_row, output_row) in a.chunks_exact(k).zip(output.chunks_exact_mut(n)) {
            let output_block = output_row.iter_mut().skip(first).take(BLOCK_COLUMNS);
            let sums = row_times_block(a_row, b, n, first);
            for (element, sum) in output_block.zip(sums) {
                *element = round(sum);
            }
        }
    }
    Ok(())
}

/// One row of a times the block of b's columns that begins at `first`.
fn row_times_block(
    a_row: &[Element],
    b: &[Element],
    n: usize,
    first: usize,
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
