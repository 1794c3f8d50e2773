//! `softmax`: each row as probabilities.

use protocol::catalogue::Values;

use super::element::{elements, elements_mut, maximum, round, value, wide};
use super::{OperationError, count, named};

/// out = exp(x − largest) / Σ exp(x − largest), in binary64, rounded once. A row that contains NaN or +∞, or nothing but
/// −∞, becomes NaN altogether: its largest element minus itself is NaN.
pub(super) fn run(
    values: &Values,
    inputs: &[&[u8]],
    output: &mut [u8],
) -> Result<(), OperationError> {
    let [x] = named(inputs)?;
    let columns = count(values, "columns")?;
    let rows = elements(x).chunks_exact(columns);
    for (row, output_row) in rows.zip(elements_mut(output).chunks_exact_mut(columns)) {
        let largest = row.iter().map(value).fold(f32::NEG_INFINITY, maximum);
        let largest = f64::from(largest);
        let sum = row
            .iter()
            .fold(0.0, |sum, x| sum + (wide(x) - largest).exp());
        for (slot, x) in output_row.iter_mut().zip(row) {
            *slot = round((wide(x) - largest).exp() / sum);
        }
    }
    Ok(())
}
