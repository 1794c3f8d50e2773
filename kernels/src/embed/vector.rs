//! Loops over rows of binary32, compiled for each instruction set and chosen at run time. Sums are taken in several lanes,
//! so that they can be vectors of any width.
#![expect(
    clippy::inline_always,
    reason = "only what is inlined into `dispatch` is compiled for the instruction set that it chose"
)]

use pulp::{Arch, Simd, WithSimd};

/// Lanes of a sum or a maximum: one register of AVX-512, two of AVX2.
const LANES: usize = 16;

/// Adds `bias` to each row, then GELU as BERT defines it: x × Φ(x), with the normal distribution's Φ by the error function.
pub(super) fn bias_gelu(arch: Arch, rows: &mut [f32], bias: &[f32]) {
    arch.dispatch(BiasGelu { rows, bias });
}

struct BiasGelu<'a> {
    rows: &'a mut [f32],
    bias: &'a [f32],
}

impl WithSimd for BiasGelu<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self.rows.chunks_exact_mut(self.bias.len()) {
            for (x, bias) in row.iter_mut().zip(self.bias) {
                *x = gelu(*x + bias);
            }
        }
    }
}

/// residual = the layer norm of (output + bias + residual), row by row.
pub(super) fn residual_norm(
    arch: Arch,
    residual: &mut [f32],
    output: &[f32],
    bias: &[f32],
    norm: Affine<'_>,
) {
    arch.dispatch(ResidualNorm {
        residual,
        output,
        bias,
        norm,
    });
}

struct ResidualNorm<'a> {
    residual: &'a mut [f32],
    output: &'a [f32],
    bias: &'a [f32],
    norm: Affine<'a>,
}

impl WithSimd for ResidualNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let columns = self.bias.len();
        let outputs = self.output.chunks_exact(columns);
        for (row, output) in self.residual.chunks_exact_mut(columns).zip(outputs) {
            for ((x, output), bias) in row.iter_mut().zip(output).zip(self.bias) {
                *x += output + bias;
            }
            layer_norm(row, self.norm);
        }
    }
}

/// Gain and bias of a layer norm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Affine<'a> {
    pub(super) gain: &'a [f32],
    pub(super) bias: &'a [f32],
    pub(super) epsilon: f32,
}

/// The layer norm of each row.
pub(super) fn norm_rows(arch: Arch, rows: &mut [f32], norm: Affine<'_>) {
    arch.dispatch(NormRows { rows, norm });
}

struct NormRows<'a> {
    rows: &'a mut [f32],
    norm: Affine<'a>,
}

impl WithSimd for NormRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self.rows.chunks_exact_mut(self.norm.gain.len()) {
            layer_norm(row, self.norm);
        }
    }
}

/// Each row times `scale`, as probabilities: exp(x − max) over its sum.
pub(super) fn softmax_rows(arch: Arch, rows: &mut [f32], columns: usize, scale: f32) {
    arch.dispatch(SoftmaxRows {
        rows,
        columns,
        scale,
    });
}

struct SoftmaxRows<'a> {
    rows: &'a mut [f32],
    columns: usize,
    scale: f32,
}

impl WithSimd for SoftmaxRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self.rows.chunks_exact_mut(self.columns) {
            softmax(row, self.scale);
        }
    }
}

/// Adds `row` to `sum`, number by number.
pub(super) fn add(sum: &mut [f32], row: &[f32]) {
    for (sum, x) in sum.iter_mut().zip(row) {
        *sum += x;
    }
}

/// The vector of the same direction and length 1. One without a direction stays as it is.
pub(super) fn scale_to_length_one(vector: &mut [f32]) {
    let length = sum_of(vector, |x| x * x).sqrt();
    if length > 0.0 {
        for x in vector {
            *x /= length;
        }
    }
}

#[inline(always)]
fn layer_norm(row: &mut [f32], norm: Affine<'_>) {
    let count = count(row.len());
    let mean = sum_of(row, |x| x) / count;
    let variance = sum_of(row, |x| (x - mean) * (x - mean)) / count;
    let scale = 1.0 / (variance + norm.epsilon).sqrt();
    for ((x, gain), bias) in row.iter_mut().zip(norm.gain).zip(norm.bias) {
        *x = (*x - mean) * scale * gain + bias;
    }
}

#[inline(always)]
fn softmax(row: &mut [f32], scale: f32) {
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let max = fold(row, f32::NEG_INFINITY, |x| x, larger);
    for x in row.iter_mut() {
        *x = exp((*x - max) * scale);
    }
    let factor = 1.0 / sum_of(row, |x| x);
    for x in row.iter_mut() {
        *x *= factor;
    }
}

#[inline(always)]
fn sum_of(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    fold(row, 0.0, of, |a, b| a + b)
}

/// Combines `of` each number, in lanes first.
#[inline(always)]
fn fold(
    row: &[f32],
    start: f32,
    of: impl Fn(f32) -> f32,
    combine: impl Fn(f32, f32) -> f32,
) -> f32 {
    let (chunks, rest) = row.as_chunks::<LANES>();
    let mut lanes = [start; LANES];
    for chunk in chunks {
        for (lane, x) in lanes.iter_mut().zip(chunk) {
            *lane = combine(*lane, of(*x));
        }
    }
    let whole = lanes.into_iter().fold(start, &combine);
    rest.iter().fold(whole, |whole, x| combine(whole, of(*x)))
}

/// A row's length as a number.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a row has at most 2^20 numbers, which is exact"
)]
#[inline(always)]
pub(super) fn count(numbers: usize) -> f32 {
    numbers as f32
}

/// x × Φ(x).
#[inline(always)]
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// The error function within 2e-7: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
#[inline(always)]
fn erf(x: f32) -> f32 {
    let magnitude = x.abs();
    let t = 1.0 / magnitude.mul_add(0.327_591_1, 1.0);
    let series = [
        1.061_405_4,
        -1.453_152,
        1.421_413_7,
        -0.284_496_74,
        0.254_829_6,
    ];
    let polynomial = horner(series, t) * t;
    polynomial
        .mul_add(-exp(-magnitude * magnitude), 1.0)
        .copysign(x)
}

/// e to the power of x within three units of the last place. Below −87 it is some 1e-38 and never 0, above 88 never
/// infinite.
///
/// x = n × ln 2 + r with a whole n and |r| ≤ ln 2 / 2; e^r by its Taylor series, 2^n by its exponent's bits. ln 2 comes in
/// two parts, the first with few bits, so that n times it is exact.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// 1.5 × 2^23: what is added to it is rounded to a whole number, which its lowest bits then hold.
    const ROUNDING: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    const EXPONENT_SHIFT: u32 = 23;
    let x = x.clamp(-87.0, 88.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUNDING);
    let n = shifted - ROUNDING;
    let r = n.mul_add(-LN_2_LOW, n.mul_add(-LN_2_HIGH, x));
    let series = [
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ];
    let power_of_r = horner(series, r);
    let exponent = shifted.to_bits() << EXPONENT_SHIFT;
    power_of_r * f32::from_bits(exponent.wrapping_add(1.0_f32.to_bits()))
}

/// A polynomial, its highest power's coefficient first.
#[inline(always)]
fn horner<const N: usize>(coefficients: [f32; N], x: f32) -> f32 {
    let mut sum = 0.0_f32;
    for coefficient in coefficients {
        sum = sum.mul_add(x, coefficient);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_that_of_std() {
        for x in (-8_700..=8_800).map(|x: i16| f32::from(x) / 100.0) {
            let wanted = f64::from(x).exp();
            let error = (f64::from(exp(x)) - wanted).abs() / wanted;
            assert!(error < 2e-7, "exp({x}) is off by {error}");
        }
        assert!(exp(f32::NEG_INFINITY) > 0.0 && exp(f32::NEG_INFINITY) < 1e-37);
        assert!(exp(f32::INFINITY).is_finite());
    }

    /// Values of the handbook's table 7.1.
    #[test]
    fn erf_is_that_of_the_table() {
        let table = [
            (0.0, 0.0),
            (0.1, 0.112_462_916),
            (0.5, 0.520_499_878),
            (1.0, 0.842_700_793),
            (1.5, 0.966_105_146),
            (2.0, 0.995_322_265),
        ];
        for (x, wanted) in table {
            assert!((f64::from(erf(x)) - wanted).abs() < 3e-7, "erf({x})");
            assert!((f64::from(erf(-x)) + wanted).abs() < 3e-7, "erf(-{x})");
        }
        assert_eq!(
            (erf(9.0).to_bits(), erf(-9.0).to_bits()),
            (1.0_f32.to_bits(), (-1.0_f32).to_bits())
        );
        assert_eq!(gelu(-30.0).abs().to_bits(), 0);
    }

    #[test]
    fn rows_of_any_length_are_normalised_and_become_probabilities() {
        for columns in [1, 15, 16, 17, 50] {
            let row: Vec<f32> = (0..columns).map(|x: u8| f32::from(x % 7) - 3.0).collect();
            let mut probabilities = row.repeat(2);
            softmax_rows(Arch::new(), &mut probabilities, row.len(), 0.5);
            let powers: Vec<f64> = row.iter().map(|x| (f64::from(*x) * 0.5).exp()).collect();
            let sum: f64 = powers.iter().sum();
            for (index, got) in probabilities.iter().enumerate() {
                let wanted = powers[index % row.len()] / sum;
                assert!((f64::from(*got) - wanted).abs() < 1e-6);
            }
        }
        let mut rows: Vec<f32> = (0_u8..40).map(f32::from).collect();
        let (gain, bias) = (vec![2.0; 20], vec![1.0; 20]);
        let norm = Affine {
            gain: &gain,
            bias: &bias,
            epsilon: 1e-12,
        };
        norm_rows(Arch::new(), &mut rows, norm);
        // The numbers 0 to 19 have the variance 33.25.
        for (index, got) in (0_u8..20).zip(rows.iter()) {
            let wanted = (f32::from(index) - 9.5) / 33.25_f32.sqrt() * 2.0 + 1.0;
            assert!((got - wanted).abs() < 1e-5);
        }
        assert_eq!(rows[..20], rows[20..]);
    }
}
