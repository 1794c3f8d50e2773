//! Elements: binary32 numbers in little-endian bytes, without a requirement on the bytes' alignment.

/// One number as it lies in an input or output.
pub(super) type Element = [u8; 4];

pub(super) fn elements(bytes: &[u8]) -> &[Element] {
    bytes.as_chunks().0
}

pub(super) fn elements_mut(bytes: &mut [u8]) -> &mut [Element] {
    bytes.as_chunks_mut().0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "slices of elements are iterated by reference"
)]
pub(super) fn value(element: &Element) -> f32 {
    f32::from_le_bytes(*element)
}

/// Exact: every binary32 is a binary64.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "slices of elements are iterated by reference"
)]
pub(super) fn wide(element: &Element) -> f64 {
    f64::from(value(element))
}

/// The element nearest to `real`; beyond the range of binary32 an infinity.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "rounding to binary32 is the purpose; no std function does it"
)]
pub(super) fn round(real: f64) -> Element {
    (real as f32).to_le_bytes()
}

/// How many there are, as a divisor: exact below 2^53, far above any array of the catalogue.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "array lengths stay below 2^28"
)]
pub(super) fn real_count(count: usize) -> f64 {
    count as f64
}

/// `maximum` of IEEE 754-2019: a NaN wins, and +0 over −0.
#[expect(clippy::float_cmp, reason = "only the two zeros are equal and differ")]
pub(super) fn maximum(a: f32, b: f32) -> f32 {
    if a.is_nan() || a > b || (a == b && b.is_sign_negative()) {
        a
    } else {
        b
    }
}

/// `minimum` of IEEE 754-2019: a NaN wins, and −0 over +0.
pub(super) fn minimum(a: f32, b: f32) -> f32 {
    -maximum(-a, -b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_follow_ieee_754_2019() {
        let bits = |a: f32, b: f32| (maximum(a, b).to_bits(), minimum(a, b).to_bits());
        for (a, b) in [(1.0, -2.0), (0.0, -0.0), (f32::INFINITY, f32::MAX)] {
            assert_eq!(bits(a, b), (a.to_bits(), b.to_bits()));
            assert_eq!(bits(b, a), (a.to_bits(), b.to_bits()));
        }
        for other in [0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
            for (a, b) in [(f32::NAN, other), (other, f32::NAN)] {
                assert!(maximum(a, b).is_nan() && minimum(a, b).is_nan());
            }
        }
    }
}
