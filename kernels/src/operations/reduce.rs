//! `reduce`: one number for each row, its sum, largest or smallest element.

use protocol::catalogue::Values;

use super::element::{Element, elements, elements_mut, maximum, minimum, round, value, wide};
use super::{OperationError, count, named};

/// `sum` in binary64 from +0 upwards, rounded once; `max` and `min` as IEEE 754-2019 has them.
pub(super) fn run(
    values: &Values,
    inputs: &[&[u8]],
    output: &mut [u8],
) -> Result<(), OperationError> {
    let [x] = named(inputs)?;
    let of_row = match values.choice("kind") {
        "max" => largest,
        "min" => smallest,
        // The catalogue has no fourth.
        _ => sum,
    };
    let rows = elements(x).chunks_exact(count(values, "columns")?);
    for (row, slot) in rows.zip(elements_mut(output)) {
        *slot = of_row(row);
    }
    Ok(())
}

fn sum(row: &[Element]) -> Element {
    round(row.iter().fold(0.0, |sum, x| sum + wide(x)))
}

fn largest(row: &[Element]) -> Element {
    row.iter()
        .map(value)
        .fold(f32::NEG_INFINITY, maximum)
        .to_le_bytes()
}

fn smallest(row: &[Element]) -> Element {
    row.iter()
        .map(value)
        .fold(f32::INFINITY, minimum)
        .to_le_bytes()
}
