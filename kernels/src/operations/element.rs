//! Elements: binary32 and bfloat16 numbers in little-endian bytes, without a requirement on the bytes' alignment.

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

/// A bfloat16 as it lies in an input or output: the upper half of a binary32.
pub(super) type ShortElement = [u8; 2];

/// Exact: every bfloat16 is a binary32.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "slices of elements are iterated by reference"
)]
pub(super) fn wide_short(element: &ShortElement) -> f64 {
    let bits = u32::from(u16::from_le_bytes(*element)) << 16;
    f64::from(f32::from_bits(bits))
}

/// The bfloat16 nearest to `real`, the even one of two that are equally near, rounded once.
///
/// The binary32 on the way keeps in its last bit whether anything was cut off (rounding to odd), so that the second step
/// cannot mistake a number just beside the middle between two bfloat16 for the middle itself.
pub(super) fn round_short(real: f64) -> ShortElement {
    const CUT_BITS: u32 = 16;
    const BELOW_HALF: u32 = 0x7fff;
    let nearest = f32::from_le_bytes(round(real));
    if nearest.is_nan() {
        return [0xc0, 0x7f];
    }
    let back = f64::from(nearest);
    // Towards zero, where it was rounded away from it. Bits of a magnitude are in its order.
    let cut = nearest.to_bits() - u32::from(back.abs() > real.abs());
    let odd = cut | u32::from(back.to_bits() != real.to_bits());
    let even = (odd >> CUT_BITS) & 1;
    let rounded = (odd + BELOW_HALF + even) >> CUT_BITS;
    let [low, high, ..] = rounded.to_le_bytes();
    [low, high]
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

    fn short(real: f64) -> u16 {
        u16::from_le_bytes(round_short(real))
    }

    #[test]
    fn a_bfloat16_is_rounded_once_to_the_nearest() {
        for bits in [
            0_u16, 0x8000, 0x3f80, 0xbf80, 0x0001, 0x8001, 0x7f7f, 0x7f80, 0xff80,
        ] {
            assert_eq!(short(wide_short(&bits.to_le_bytes())), bits, "{bits:x}");
        }
        // 1 and the next one, 1 + 2^-7; the middle goes to the even one, and a hair beside it does not, though a binary32
        // cannot tell it from the middle.
        let (middle, hair) = (1.0 + 2.0_f64.powi(-8), 2.0_f64.powi(-45));
        assert_eq!(
            [short(middle - hair), short(middle), short(middle + hair)],
            [0x3f80, 0x3f80, 0x3f81]
        );
        let above = middle + 2.0_f64.powi(-7);
        assert_eq!(
            [short(above - hair), short(above), short(above + hair)],
            [0x3f81, 0x3f82, 0x3f82]
        );
        assert_eq!(short(-middle - hair), 0xbf81);
    }

    #[test]
    fn a_bfloat16_beyond_the_range_is_infinite_and_a_tiny_one_subnormal_or_zero() {
        assert_eq!((short(1e300), short(f64::NEG_INFINITY)), (0x7f80, 0xff80));
        assert_eq!(short(f64::from(f32::MAX)), 0x7f80);
        assert_eq!(
            (short(3.389e38), short(2.0_f64.powi(-133))),
            (0x7f7f, 0x0001)
        );
        assert_eq!(
            (short(2.0_f64.powi(-134)), short(-1e-300)),
            (0x0000, 0x8000)
        );
        assert!(wide_short(&round_short(f64::NAN)).is_nan());
    }

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
