//! Attention: each token of a text takes from the others as much of their values as their keys fit its query.

use gemm_common::Parallelism;
use pulp::Arch;

use super::super::model::Dimensions;
use super::super::packed::Packed;
use super::super::vector;
use super::product::{Matrix, MatrixMut, Start, multiply};

/// `qkv` has query, key and value of each token side by side, heads side by side within each; `context` gets the heads'
/// results side by side. No row of one text reads a row of another.
pub(super) fn attend(
    arch: Arch,
    dimensions: Dimensions,
    pack: &Packed,
    qkv: &[f32],
    context: &mut [f32],
    scores: &mut Vec<f32>,
) {
    let hidden = dimensions.hidden;
    let head_columns = hidden / dimensions.heads;
    let (mut qkv, mut context) = (qkv, context);
    for text in pack.texts().filter(|text| !text.is_empty()) {
        let (rows, qkv_rest) = qkv.split_at(text.len() * 3 * hidden);
        let (context_rows, context_rest) = context.split_at_mut(text.len() * hidden);
        for head in 0..dimensions.heads {
            let head = Head {
                text: rows,
                tokens: text.len(),
                hidden,
                first: head * head_columns,
                columns: head_columns,
            };
            head.attend(arch, context_rows, scores);
        }
        (qkv, context) = (qkv_rest, context_rest);
    }
}

/// One head over one text.
struct Head<'a> {
    /// Query, key and value of each token.
    text: &'a [f32],
    tokens: usize,
    hidden: usize,
    /// The head's columns within query, key, value and context.
    first: usize,
    columns: usize,
}

impl<'a> Head<'a> {
    fn attend(&self, arch: Arch, context: &mut [f32], scores: &mut Vec<f32>) {
        let (tokens, columns) = (self.tokens, self.columns);
        scores.resize(tokens * tokens, 0.0);
        let square = |scores| MatrixMut::new(scores, tokens, (tokens, tokens));
        let (query, key, value) = (self.part(0), self.part(1), self.part(2));
        let none = Parallelism::None;
        multiply(none, square(scores), Start::Zero, query, key.transposed());
        // Products of longer vectors spread further: by the root of their length (Vaswani et al., 2017).
        let scale = 1.0 / vector::count(columns).sqrt();
        vector::softmax_rows(arch, scores, tokens, scale);
        let weights = Matrix::by_rows(scores, tokens, (tokens, tokens));
        let context = context.get_mut(self.first..).unwrap_or_default();
        let context = MatrixMut::new(context, self.hidden, (tokens, columns));
        multiply(none, context, Start::Zero, weights, value);
    }

    /// The head's queries (0), keys (1) or values (2): a row for each token.
    fn part(&self, part: usize) -> Matrix<'a> {
        let first = part * self.hidden + self.first;
        let numbers = self.text.get(first..).unwrap_or_default();
        Matrix::by_rows(numbers, 3 * self.hidden, (self.tokens, self.columns))
    }
}
