//! The model of `embed` on the device: its weights, and what is to be done for a batch of tokens. Plain code but for the
//! weights' copy at the start.
//!
//! The tokens of a batch are packed without padding. So that batches come in few shapes, each of which is recorded once and
//! replayed from then on, a batch is rounded up to a [`Bucket`]: behind its last text come tokens that belong to none, whose
//! rows nobody reads.

use crate::embed::encoder::EPSILON;
use crate::embed::model::{Dimensions, Model};
use crate::embed::tokenizer::TEXT_TOKENS_MAX;
use crate::embed::weights::{Dense, Norm, Weights};

use super::classify::CudaError;
use super::device::{DeviceMemory, DeviceRange};
use super::launch::{Argument, BLOCK_THREADS, Launch, Product, Step, WARP_THREADS, grid};
use super::lot::{ALIGNMENT_BYTES, LotShape};
use super::products::{Number, Products, Shape};
use super::slot::Slots;

/// Tokens of a batch: enough to fill the largest GPU for about a millisecond, beside which beginning a batch is nothing.
pub(super) const TOKENS_MAX: usize = 8_192;
/// Texts of a batch.
pub(super) const TEXTS_MAX: usize = 1_024;
/// Queries that one block of attention answers.
const GROUP_QUERIES: usize = 64;
/// Such blocks for the longest text.
const GROUPS: usize = TEXT_TOKENS_MAX.div_ceil(GROUP_QUERIES);
/// Threads of a block of pooling: one for each number of a vector.
const POOL_THREADS: u32 = 384;
const HIDDEN: usize = 384;
const HEADS: u32 = 12;
const INTERMEDIATE: usize = 1_536;
const F32_BYTES: usize = 4;
const F16_BYTES: usize = 2;

/// The weights in the device's memory, by address.
#[derive(Debug)]
pub(super) struct Encoder {
    _memory: DeviceMemory,
    words: u64,
    positions: u64,
    /// The row of the one type that there is.
    kind: u64,
    norm: DeviceNorm,
    layers: Vec<DeviceLayer>,
}

#[derive(Debug, Clone, Copy)]
struct DeviceNorm {
    gain: u64,
    bias: u64,
}

/// A product's operand, binary16, and the bias that is added behind it.
#[derive(Debug, Clone, Copy)]
struct DeviceDense {
    weight: u64,
    bias: u64,
    inputs: usize,
    outputs: usize,
}

#[derive(Debug)]
struct DeviceLayer {
    qkv: DeviceDense,
    attention_output: DeviceDense,
    attention_norm: DeviceNorm,
    intermediate: DeviceDense,
    output: DeviceDense,
    output_norm: DeviceNorm,
}

impl Encoder {
    /// Copies the weights to the device, those of products as binary16.
    pub(super) fn new(model: &Model, slots: &mut Slots) -> Result<Self, CudaError> {
        let weights = &model.weights;
        if !fits(model.dimensions) || !knows_its_marks(model) {
            return Err(CudaError::Dimensions);
        }
        let memory = DeviceMemory::new(bytes_of(weights))?;
        let mut writer = Writer {
            range: memory.range(),
            used: 0,
            slots,
        };
        let layers = weights
            .layers
            .iter()
            .map(|layer| {
                Ok(DeviceLayer {
                    qkv: writer.dense(&layer.qkv)?,
                    attention_output: writer.dense(&layer.attention_output)?,
                    attention_norm: writer.norm(&layer.attention_norm)?,
                    intermediate: writer.dense(&layer.intermediate)?,
                    output: writer.dense(&layer.output)?,
                    output_norm: writer.norm(&layer.output_norm)?,
                })
            })
            .collect::<Result<_, CudaError>>()?;
        Ok(Self {
            words: writer.long(&weights.words)?,
            positions: writer.long(&weights.positions)?,
            kind: writer.long(weights.types.get(..HIDDEN).unwrap_or_default())?,
            norm: writer.norm(&weights.norm)?,
            layers,
            _memory: memory,
        })
    }
}

/// Whether the kernels, which know these sizes by heart, compute with such a model. The number of layers is free.
fn fits(dimensions: Dimensions) -> bool {
    dimensions.hidden == HIDDEN
        && u32::try_from(dimensions.heads) == Ok(HEADS)
        && dimensions.intermediate == INTERMEDIATE
        && dimensions.positions >= TEXT_TOKENS_MAX
        && dimensions.types >= 1
}

/// Whether the tokens that mark a text's ends, which the tokenizer adds by numbers of their own, have rows among the words.
fn knows_its_marks(model: &Model) -> bool {
    let known =
        |token: u32| usize::try_from(token).is_ok_and(|token| token < model.dimensions.vocabulary);
    let marks = model.tokenizer.tokens(b"");
    marks.is_ok_and(|marks| marks.into_iter().all(known))
}

/// Places arrays one behind another.
struct Writer<'a> {
    range: DeviceRange,
    used: usize,
    slots: &'a mut Slots,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<u64, CudaError> {
        let target = self.range.part(self.used, bytes.len())?;
        self.used += bytes.len().next_multiple_of(ALIGNMENT_BYTES);
        self.slots.send(bytes, target)?;
        Ok(target.address)
    }

    fn long(&mut self, numbers: &[f32]) -> Result<u64, CudaError> {
        let bytes: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.put(&bytes)
    }

    fn short(&mut self, numbers: &[f32]) -> Result<u64, CudaError> {
        let short = |number: &f32| half::f16::from_f32(*number).to_le_bytes();
        let bytes: Vec<u8> = numbers.iter().flat_map(short).collect();
        self.put(&bytes)
    }

    fn dense(&mut self, dense: &Dense) -> Result<DeviceDense, CudaError> {
        Ok(DeviceDense {
            weight: self.short(&dense.weight)?,
            bias: self.long(&dense.bias)?,
            inputs: dense.inputs,
            outputs: dense.outputs,
        })
    }

    fn norm(&mut self, norm: &Norm) -> Result<DeviceNorm, CudaError> {
        Ok(DeviceNorm {
            gain: self.long(&norm.gain)?,
            bias: self.long(&norm.bias)?,
        })
    }
}

fn bytes_of(weights: &Weights) -> usize {
    let aligned = |bytes: usize| bytes.next_multiple_of(ALIGNMENT_BYTES);
    let long = |numbers: &[f32]| aligned(numbers.len() * F32_BYTES);
    let norm = |norm: &Norm| long(&norm.gain) + long(&norm.bias);
    let dense = |dense: &Dense| aligned(dense.weight.len() * F16_BYTES) + long(&dense.bias);
    let layers = weights.layers.iter().map(|layer| {
        dense(&layer.qkv)
            + dense(&layer.attention_output)
            + norm(&layer.attention_norm)
            + dense(&layer.intermediate)
            + dense(&layer.output)
            + norm(&layer.output_norm)
    });
    layers.sum::<usize>()
        + long(&weights.words)
        + long(&weights.positions)
        + aligned(HIDDEN * F32_BYTES)
        + norm(&weights.norm)
}

/// The sizes that a batch is rounded up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Bucket {
    pub(super) tokens: usize,
    pub(super) texts: usize,
}

impl Bucket {
    /// Tokens in steps of a quarter of their power of two, so that at most a fifth is for nothing; texts, which cost next to
    /// nothing where there is none, in powers of four.
    pub(super) fn of(tokens: usize, texts: usize) -> Self {
        const STEP_MIN: usize = 64;
        let power = tokens.checked_ilog2().map_or(1, |log| 1_usize << log);
        let power_of_texts = texts.next_power_of_two();
        Self {
            tokens: tokens
                .next_multiple_of((power / 4).max(STEP_MIN))
                .min(TOKENS_MAX),
            texts: if power_of_texts.ilog2().is_multiple_of(2) {
                power_of_texts
            } else {
                2 * power_of_texts
            },
        }
    }
}

/// Where a batch's arrays lie in its slot's memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub(super) words: usize,
    pub(super) positions: usize,
    pub(super) starts: usize,
    input_bytes: usize,
    residual: usize,
    operand: usize,
    qkv: usize,
    attention: usize,
    product: usize,
    intermediate: usize,
    vectors: usize,
    bytes: usize,
}

impl Layout {
    pub(super) fn of(bucket: Bucket) -> Self {
        let mut end: usize = 0;
        let mut take = |bytes: usize| {
            let offset = end.next_multiple_of(ALIGNMENT_BYTES);
            end = offset + bytes;
            offset
        };
        let tokens = bucket.tokens;
        let (words, positions) = (take(tokens * F32_BYTES), take(tokens * F32_BYTES));
        let starts_bytes = (bucket.texts + 1) * F32_BYTES;
        let starts = take(starts_bytes);
        Self {
            words,
            positions,
            starts,
            input_bytes: starts + starts_bytes,
            residual: take(tokens * HIDDEN * F32_BYTES),
            operand: take(tokens * HIDDEN * F16_BYTES),
            qkv: take(tokens * 3 * HIDDEN * F16_BYTES),
            attention: take(tokens * HIDDEN * F16_BYTES),
            product: take(tokens * HIDDEN * F16_BYTES),
            intermediate: take(tokens * INTERMEDIATE * F16_BYTES),
            vectors: take(bucket.texts * HIDDEN * F32_BYTES),
            bytes: end,
        }
    }

    /// Of the largest batch.
    pub(super) fn largest() -> Self {
        Self::of(Bucket::of(TOKENS_MAX, TEXTS_MAX))
    }

    pub(super) fn input_bytes(&self) -> usize {
        self.input_bytes
    }

    pub(super) fn output_bytes(&self) -> usize {
        self.bytes - self.vectors
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Encoder {
    /// What is to be done for a batch of this size in this memory.
    pub(super) fn shape(
        &self,
        bucket: Bucket,
        memory: DeviceRange,
        products: &mut Products,
        processors: u32,
    ) -> Result<LotShape, CudaError> {
        let layout = Layout::of(bucket);
        memory.part(0, layout.bytes)?;
        let mut plan = Plan {
            base: memory.address,
            bucket,
            layout,
            processors,
            products,
            shape: LotShape {
                steps: Vec::new(),
                input_bytes: layout.input_bytes,
                outputs_at: layout.vectors,
                bytes: layout.bytes,
                workspace_bytes: 0,
            },
        };
        plan.gather(self);
        for layer in &self.layers {
            plan.layer(layer)?;
        }
        plan.pool();
        Ok(plan.shape)
    }
}

struct Plan<'a> {
    base: u64,
    bucket: Bucket,
    layout: Layout,
    processors: u32,
    products: &'a mut Products,
    shape: LotShape,
}

impl Plan<'_> {
    fn address(&self, offset: usize) -> u64 {
        self.base
            .saturating_add(u64::try_from(offset).unwrap_or(u64::MAX))
    }

    fn at(&self, offset: usize) -> Argument {
        Argument::Address(self.address(offset))
    }

    fn tokens(&self) -> Argument {
        Argument::SmallCount(u32::try_from(self.bucket.tokens).unwrap_or(u32::MAX))
    }

    /// Kernels whose warps take a token each.
    fn launch_by_token(&mut self, kernel: &'static str, arguments: Vec<Argument>) {
        let tokens = u64::try_from(self.bucket.tokens).unwrap_or(u64::MAX);
        let parts = tokens.div_ceil(u64::from(BLOCK_THREADS / WARP_THREADS));
        self.shape.steps.push(Step::Launch(Launch {
            kernel,
            grid: [grid(parts, BLOCK_THREADS, self.processors), 1, 1],
            block: [BLOCK_THREADS, 1],
            arguments,
        }));
    }

    fn gather(&mut self, encoder: &Encoder) {
        let arguments = vec![
            self.at(self.layout.words),
            self.at(self.layout.positions),
            Argument::Address(encoder.words),
            Argument::Address(encoder.positions),
            Argument::Address(encoder.kind),
            Argument::Address(encoder.norm.gain),
            Argument::Address(encoder.norm.bias),
            self.at(self.layout.residual),
            self.at(self.layout.operand),
            self.tokens(),
            Argument::Real(EPSILON.to_bits()),
        ];
        self.launch_by_token("embed_gather_norm", arguments);
    }

    fn layer(&mut self, layer: &DeviceLayer) -> Result<(), CudaError> {
        let layout = self.layout;
        self.multiply(layout.operand, &layer.qkv, layout.qkv)?;
        self.attend(&layer.qkv);
        self.multiply(layout.attention, &layer.attention_output, layout.product)?;
        self.add_and_norm(&layer.attention_output, layer.attention_norm);
        self.multiply(layout.operand, &layer.intermediate, layout.intermediate)?;
        let arguments = vec![
            self.at(layout.intermediate),
            Argument::Address(layer.intermediate.bias),
            self.tokens(),
        ];
        self.launch_by_token("embed_bias_gelu", arguments);
        self.multiply(layout.intermediate, &layer.output, layout.product)?;
        self.add_and_norm(&layer.output, layer.output_norm);
        Ok(())
    }

    fn multiply(&mut self, a: usize, dense: &DeviceDense, output: usize) -> Result<(), CudaError> {
        let count = |count: usize| u64::try_from(count).map_err(|_| CudaError::Bounds);
        let shape = Shape {
            number: Number::Binary16,
            m: count(self.bucket.tokens)?,
            n: count(dense.outputs)?,
            k: count(dense.inputs)?,
        };
        let used = self.products.plan(shape)?;
        self.shape.workspace_bytes = used.max(self.shape.workspace_bytes);
        self.shape.steps.push(Step::Product(Product {
            shape,
            a: self.address(a),
            b: dense.weight,
            output: self.address(output),
        }));
        Ok(())
    }

    /// A warp for 64 queries of a text and head; those that a short text does not need end at once.
    fn attend(&mut self, qkv: &DeviceDense) {
        let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let arguments = vec![
            self.at(self.layout.qkv),
            Argument::Address(qkv.bias),
            self.at(self.layout.starts),
            self.at(self.layout.attention),
        ];
        self.shape.steps.push(Step::Launch(Launch {
            kernel: "embed_attention",
            grid: [small(self.bucket.texts), HEADS, small(GROUPS)],
            block: [WARP_THREADS, 1],
            arguments,
        }));
    }

    fn add_and_norm(&mut self, dense: &DeviceDense, norm: DeviceNorm) {
        let arguments = vec![
            self.at(self.layout.product),
            Argument::Address(dense.bias),
            self.at(self.layout.residual),
            Argument::Address(norm.gain),
            Argument::Address(norm.bias),
            self.at(self.layout.operand),
            self.tokens(),
            Argument::Real(EPSILON.to_bits()),
        ];
        self.launch_by_token("embed_residual_norm", arguments);
    }

    fn pool(&mut self) {
        let texts = u32::try_from(self.bucket.texts).unwrap_or(u32::MAX);
        let arguments = vec![
            self.at(self.layout.residual),
            self.at(self.layout.starts),
            self.at(self.layout.vectors),
            Argument::SmallCount(texts),
        ];
        self.shape.steps.push(Step::Launch(Launch {
            kernel: "embed_pool",
            grid: [grid(u64::from(texts), POOL_THREADS, self.processors), 1, 1],
            block: [POOL_THREADS, 1],
            arguments,
        }));
    }
}

#[cfg(test)]
mod tests;
