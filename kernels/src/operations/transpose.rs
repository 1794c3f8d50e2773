//! `transpose`: rows become columns; the four bytes of an element are moved as they are.

use protocol::catalogue::Values;

use super::element::{elements, elements_mut};
use super::{OperationError, count, named};

/// Input rows moved together: a column through them touches this many cache lines, which the next fifteen columns use
/// again.
const BAND_ROWS: usize = 64;

pub(super) fn run(
    values: &Values,
    inputs: &[&[u8]],
    output: &mut [u8],
) -> Result<(), OperationError> {
    let [x] = named(inputs)?;
    let (rows, columns) = (count(values, "rows")?, count(values, "columns")?);
    let output = elements_mut(output);
    let bands = elements(x).chunks(BAND_ROWS.saturating_mul(columns));
    for (first, band) in (0..rows).step_by(BAND_ROWS).zip(bands) {
        for (column, output_row) in output.chunks_exact_mut(rows).enumerate() {
            let column_of_band = band.iter().skip(column).step_by(columns);
            for (slot, element) in output_row.iter_mut().skip(first).zip(column_of_band) {
                *slot = *element;
            }
        }
    }
    Ok(())
}
