//! `saxpy`: alpha × x + y, element by element.

use protocol::catalogue::Values;

use super::element::{elements, elements_mut, value};
use super::{OperationError, named};

/// One fused multiply-add for each element: the exact alpha × x + y, rounded once.
pub(super) fn run(
    values: &Values,
    inputs: &[&[u8]],
    output: &mut [u8],
) -> Result<(), OperationError> {
    let [x, y] = named(inputs)?;
    let alpha = values.real("alpha");
    for ((slot, x), y) in elements_mut(output)
        .iter_mut()
        .zip(elements(x))
        .zip(elements(y))
    {
        *slot = alpha.mul_add(value(x), value(y)).to_le_bytes();
    }
    Ok(())
}
