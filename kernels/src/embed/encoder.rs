//! Tokens to vectors. Activations are rows, one for each token of a pack; only attention looks at which text a row is of.

use gemm_common::Parallelism;
use pulp::Arch;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::model::{Dimensions, Model};
use super::packed::{self, Packed};
use super::vector::{self, Affine};
use super::weights::{Dense, Layer, Norm, Weights};

mod attention;
mod product;

use product::{Matrix, MatrixMut, Start, multiply};

/// Added to a layer norm's variance under the root: `layer_norm_eps` of the model.
pub const EPSILON: f32 = 1e-12;

/// Tokens of one pack at most: their activations inside a feed-forward network have 1.5 MiB, about a core's own cache.
const PACK_TOKENS_MAX: usize = 256;
/// Fewer tokens in a pack make the weights' way through the caches more costly than the products.
const PACK_TOKENS_MIN: usize = 64;

/// The vectors of the texts, one after another, each of length 1. Texts are shared out over the cores.
#[must_use]
pub fn embed(model: &Model, texts: &[Vec<u32>]) -> Vec<f32> {
    let total: usize = texts.iter().map(Vec::len).sum();
    let cores = rayon::current_num_threads();
    let budget = total.div_ceil(cores);
    let packs = packed::cut(texts, budget.clamp(PACK_TOKENS_MIN, PACK_TOKENS_MAX));
    // Where there are fewer packs than cores, a product is shared out instead, unless it is too small to be worth that.
    let shares = |pack: &Packed| packs.len() < cores && pack.tokens().len() >= PACK_TOKENS_MIN;
    let vectors = packs.par_iter().map(|pack| {
        let parallelism = if shares(pack) {
            Parallelism::Rayon(0)
        } else {
            Parallelism::None
        };
        encode(model, pack, parallelism)
    });
    vectors.collect::<Vec<_>>().concat()
}

/// The vectors of one pack's texts.
fn encode(model: &Model, pack: &Packed, parallelism: Parallelism) -> Vec<f32> {
    let mut encoder = Encoder {
        dimensions: model.dimensions,
        pack,
        arch: Arch::new(),
        parallelism,
        scratch: Scratch::default(),
    };
    let mut rows = encoder.gather(&model.weights);
    for layer in &model.weights.layers {
        encoder.layer(layer, &mut rows);
    }
    encoder.pool(&rows)
}

/// One pack on its way through the layers.
struct Encoder<'a> {
    dimensions: Dimensions,
    pack: &'a Packed,
    arch: Arch,
    parallelism: Parallelism,
    scratch: Scratch,
}

/// What a layer computes on its way; the next layer overwrites it.
#[derive(Default)]
struct Scratch {
    qkv: Vec<f32>,
    context: Vec<f32>,
    inner: Vec<f32>,
    output: Vec<f32>,
    scores: Vec<f32>,
}

impl Encoder<'_> {
    /// The sum of each token's word, position and type embeddings, normalised.
    fn gather(&self, weights: &Weights) -> Vec<f32> {
        let hidden = self.dimensions.hidden;
        let mut rows = vec![0.0; self.pack.tokens().len() * hidden];
        let places = self.pack.texts().flat_map(|text| 0..text.len());
        let tokens = self.pack.tokens().iter().zip(places);
        for ((token, place), sum) in tokens.zip(rows.chunks_exact_mut(hidden)) {
            // The tokenizer knows no token beyond the vocabulary and gives no more tokens than there are places.
            let word = usize::try_from(*token).unwrap_or(usize::MAX);
            for (table, index) in [
                (&weights.words, word),
                (&weights.positions, place),
                (&weights.types, 0),
            ] {
                vector::add(
                    sum,
                    table.chunks_exact(hidden).nth(index).unwrap_or_default(),
                );
            }
        }
        vector::norm_rows(self.arch, &mut rows, affine(&weights.norm));
        rows
    }

    /// Attention among a text's tokens, then a feed-forward network for each token; each added to what came in, and the
    /// sum normalised.
    fn layer(&mut self, layer: &Layer, rows: &mut [f32]) {
        let (arch, parallelism) = (self.arch, self.parallelism);
        let scratch = &mut self.scratch;
        dense_with_bias(parallelism, rows, &layer.qkv, &mut scratch.qkv);
        scratch.context.resize(rows.len(), 0.0);
        attention::attend(
            arch,
            self.dimensions,
            self.pack,
            &scratch.qkv,
            &mut scratch.context,
            &mut scratch.scores,
        );
        let dense = &layer.attention_output;
        product_of(parallelism, &scratch.context, dense, &mut scratch.output);
        let norm = affine(&layer.attention_norm);
        vector::residual_norm(arch, rows, &scratch.output, &dense.bias, norm);
        let dense = &layer.intermediate;
        product_of(parallelism, rows, dense, &mut scratch.inner);
        vector::bias_gelu(arch, &mut scratch.inner, &dense.bias);
        let dense = &layer.output;
        product_of(parallelism, &scratch.inner, dense, &mut scratch.output);
        let norm = affine(&layer.output_norm);
        vector::residual_norm(arch, rows, &scratch.output, &dense.bias, norm);
    }

    /// The mean of each text's rows, scaled to length 1.
    fn pool(&self, rows: &[f32]) -> Vec<f32> {
        let hidden = self.dimensions.hidden;
        let mut vectors = vec![0.0; self.pack.text_count() * hidden];
        let mut rows = rows.chunks_exact(hidden);
        for (vector, text) in vectors.chunks_exact_mut(hidden).zip(self.pack.texts()) {
            for row in rows.by_ref().take(text.len()) {
                vector::add(vector, row);
            }
            // The sum has the mean's direction.
            vector::scale_to_length_one(vector);
        }
        vectors
    }
}

fn affine(norm: &Norm) -> Affine<'_> {
    Affine {
        gain: &norm.gain,
        bias: &norm.bias,
        epsilon: EPSILON,
    }
}

/// output = rows × weight.
fn product_of(parallelism: Parallelism, rows: &[f32], dense: &Dense, output: &mut Vec<f32>) {
    output.resize(rows.len() / dense.inputs * dense.outputs, 0.0);
    multiply_dense(parallelism, rows, dense, Start::Zero, output);
}

/// output = rows × weight + bias.
fn dense_with_bias(parallelism: Parallelism, rows: &[f32], dense: &Dense, output: &mut Vec<f32>) {
    output.clear();
    for _ in rows.chunks_exact(dense.inputs) {
        output.extend_from_slice(&dense.bias);
    }
    multiply_dense(parallelism, rows, dense, Start::Present, output);
}

fn multiply_dense(
    parallelism: Parallelism,
    rows: &[f32],
    dense: &Dense,
    start: Start,
    output: &mut [f32],
) {
    let (inputs, outputs) = (dense.inputs, dense.outputs);
    let count = rows.len() / inputs;
    multiply(
        parallelism,
        MatrixMut::new(output, outputs, (count, outputs)),
        start,
        Matrix::by_rows(rows, inputs, (count, inputs)),
        Matrix::by_rows(&dense.weight, outputs, (inputs, outputs)),
    );
}
