//! `layer_norm`: each row shifted to mean 0 and scaled to variance 1, then times gain plus bias.

use protocol::catalogue::Values;

use super::element::{Element, elements, elements_mut, real_count, round, wide};
use super::{OperationError, count, named};

/// out = (x − mean) / √(variance + epsilon) × gain + bias, all in binary64, rounded once. The variance is the mean of
/// the squared deviations (divisor: columns), taken after the mean.
pub(super) fn run(
    values: &Values,
    inputs: &[&[u8]],
    output: &mut [u8],
) -> Result<(), OperationError> {
    let [x, gain, bias] = named(inputs)?;
    let columns = count(values, "columns")?;
    let epsilon = f64::from(values.real("epsilon"));
    let (gain, bias) = (elements(gain), elements(bias));
    let rows = elements(x).chunks_exact(columns);
    for (row, output_row) in rows.zip(elements_mut(output).chunks_exact_mut(columns)) {
        let mean = mean(row, |x| x);
        let variance = mean_of_squares(row, mean);
        let scale = 1.0 / (variance + epsilon).sqrt();
        for (((slot, x), gain), bias) in output_row.iter_mut().zip(row).zip(gain).zip(bias) {
            *slot = round((wide(x) - mean) * scale * wide(gain) + wide(bias));
        }
    }
    Ok(())
}

fn mean_of_squares(row: &[Element], center: f64) -> f64 {
    mean(row, |x| (x - center) * (x - center))
}

fn mean(row: &[Element], of: impl Fn(f64) -> f64) -> f64 {
    let sum = row.iter().fold(0.0, |sum, x| sum + of(wide(x)));
    sum / real_count(row.len())
}
