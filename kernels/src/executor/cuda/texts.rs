//! The texts of `embed` works on their way through the device: tokens are packed into batches, across the borders of works,
//! and each vector goes back to its work. While the device computes one batch, the CPU cuts the next texts into tokens.

use std::collections::VecDeque;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::classify::CudaError;
use super::encoder::{Bucket, Encoder, Layout, TEXTS_MAX, TOKENS_MAX};
use super::lot::LotShape;
use super::products::Products;
use super::slot::{SLOTS, SlotSizes, Slots, Tools};
use super::stream::Kernels;
use super::{Answers, PlacedWork};
use crate::embed::Model;
use crate::embed::tokenizer::{TEXT_TOKENS_MAX, Tokenizer};
use crate::executor::Fault;
use crate::operations::{OperationError, embed};
use protocol::Sha256Digest;

/// Numbers of a vector, in bytes.
const VECTOR_BYTES: usize = 384 * 4;
const COUNT_BYTES: usize = 4;

// A text of any length fits into a batch.
const _: () = assert!(TEXT_TOKENS_MAX <= TOKENS_MAX);

/// The model, ready to compute.
#[derive(Debug)]
pub(super) struct Texts {
    // Dropped first: its graphs use the weights.
    slots: Slots,
    encoder: Encoder,
    tokenizer: Tokenizer,
    digest: Sha256Digest,
}

/// The tokens of each text of a work.
type WorkTokens = Vec<Vec<u32>>;

/// What all operations share.
pub(super) struct Shared<'a> {
    pub(super) kernels: &'a Kernels,
    pub(super) products: &'a mut Products,
    pub(super) processors: u32,
}

impl Texts {
    /// Copies the weights to the device with the help of these slots, and allocates all memory that batches need.
    pub(super) fn new(model: Model, lots: &mut Slots) -> Result<Self, CudaError> {
        let layout = Layout::largest();
        let slots = Slots::of(SlotSizes {
            memory_bytes: layout.bytes(),
            upload_bytes: layout.input_bytes(),
            download_bytes: layout.output_bytes(),
        })?;
        Ok(Self {
            slots,
            encoder: Encoder::new(&model, lots)?,
            digest: model.digest(),
            tokenizer: model.tokenizer,
        })
    }

    pub(super) fn digest(&self) -> Sha256Digest {
        self.digest
    }

    /// Runs works that are all `embed`.
    pub(super) fn run(
        &mut self,
        works: &mut [PlacedWork<'_>],
        shared: &mut Shared<'_>,
        answers: &mut Answers<'_>,
    ) -> Result<(), CudaError> {
        let mut pass = Pass {
            waiting: works.iter().map(|work| work.inputs.len()).collect(),
            under_way: VecDeque::with_capacity(SLOTS),
            batch: Batch::default(),
            number: 0,
        };
        let mut next = 0;
        while next < works.len() {
            let (count, tokens) = self.tokenise(works, next);
            for (work, tokens) in (next..).zip(tokens) {
                match tokens {
                    Ok(tokens) => {
                        write_counts(works, work, &tokens);
                        for (text, tokens) in tokens.into_iter().enumerate() {
                            if pass.batch.is_full_for(tokens.len()) {
                                self.begin(&mut pass, works, shared, answers)?;
                            }
                            pass.batch.push(Text { work, text }, &tokens);
                        }
                    }
                    Err(error) => answers.refuse(work, Fault::of_task(&error)),
                }
            }
            next += count;
        }
        self.begin(&mut pass, works, shared, answers)?;
        while !pass.under_way.is_empty() {
            self.finish_next(&mut pass, works, answers)?;
        }
        Ok(())
    }

    /// Tokens of the works from `next` on, about as many as a batch has, on all cores; and how many works that are.
    fn tokenise(
        &self,
        works: &[PlacedWork<'_>],
        next: usize,
    ) -> (usize, Vec<Result<WorkTokens, OperationError>>) {
        let rest = works.get(next..).unwrap_or_default();
        let mut texts = 0;
        let enough = rest.iter().position(|work| {
            texts += work.inputs.len();
            texts >= TEXTS_MAX
        });
        let count = enough.map_or(rest.len(), |last| last + 1);
        let inputs: Vec<&[&[u8]]> = rest
            .iter()
            .take(count)
            .map(|work| &work.inputs[..])
            .collect();
        let tokenizer = &self.tokenizer;
        let tokens = inputs
            .par_iter()
            .map(|texts| embed::tokens(tokenizer, texts));
        (count, tokens.collect())
    }

    /// Sends the batch off, if there is one.
    fn begin(
        &mut self,
        pass: &mut Pass,
        works: &mut [PlacedWork<'_>],
        shared: &mut Shared<'_>,
        answers: &mut Answers<'_>,
    ) -> Result<(), CudaError> {
        let batch = std::mem::take(&mut pass.batch);
        if batch.texts.is_empty() {
            return Ok(());
        }
        while pass.under_way.len() >= SLOTS {
            self.finish_next(pass, works, answers)?;
        }
        let bucket = Bucket::of(batch.words.len(), batch.texts.len());
        let slot = self.slots.turn(pass.number);
        shared.products.make_room();
        let shape = self
            .encoder
            .shape(bucket, slot.memory(), shared.products, shared.processors);
        let shape = match shape {
            Ok(shape) => shape,
            Err(error) => {
                let fault = error.at_plan()?;
                for text in batch.texts {
                    answers.refuse(text.work, fault.clone());
                }
                return Ok(());
            }
        };
        batch.write(bucket, slot.upload()?)?;
        let tools = Tools {
            kernels: shared.kernels,
            products: shared.products,
        };
        slot.begin_shape(&shape, &tools)?;
        pass.under_way.push_back((pass.number, shape, batch.texts));
        pass.number += 1;
        Ok(())
    }

    fn finish_next(
        &mut self,
        pass: &mut Pass,
        works: &mut [PlacedWork<'_>],
        answers: &mut Answers<'_>,
    ) -> Result<(), CudaError> {
        let Some((number, shape, texts)) = pass.under_way.pop_front() else {
            return Ok(());
        };
        self.slots.turn(number).finish_shape(&shape, |vectors| {
            for (text, vector) in texts.iter().zip(vectors.chunks_exact(VECTOR_BYTES)) {
                let output = works.get_mut(text.work).map(|work| &mut *work.output);
                let place = output.and_then(|output| {
                    let start = text.text * VECTOR_BYTES;
                    output.get_mut(start..start + VECTOR_BYTES)
                });
                place.ok_or(CudaError::Bounds)?.copy_from_slice(vector);
            }
            Ok(())
        })?;
        for text in texts {
            if pass.settle(text.work) {
                answers.one(text.work, Ok(()));
            }
        }
        Ok(())
    }
}

/// Behind the vectors, the number of tokens of each text.
fn write_counts(works: &mut [PlacedWork<'_>], work: usize, tokens: &[Vec<u32>]) {
    let output = works.get_mut(work).map(|work| &mut *work.output);
    let counts = output.and_then(|output| output.get_mut(tokens.len() * VECTOR_BYTES..));
    let places = counts.unwrap_or_default().chunks_exact_mut(COUNT_BYTES);
    for (place, tokens) in places.zip(tokens) {
        // A text has at most 256 tokens.
        let count = u32::try_from(tokens.len()).unwrap_or(u32::MAX);
        place.copy_from_slice(&count.to_le_bytes());
    }
}

/// One run's texts.
struct Pass {
    /// Texts of each work whose vector is not there.
    waiting: Vec<usize>,
    under_way: VecDeque<(usize, LotShape, Vec<Text>)>,
    batch: Batch,
    number: usize,
}

impl Pass {
    /// One more vector is there. True where it was the last one.
    fn settle(&mut self, work: usize) -> bool {
        match self.waiting.get_mut(work) {
            Some(waiting) => {
                *waiting = waiting.saturating_sub(1);
                *waiting == 0
            }
            None => false,
        }
    }
}

/// Which text of which work.
struct Text {
    work: usize,
    text: usize,
}

/// Texts that go to the device together.
#[derive(Default)]
struct Batch {
    words: Vec<u32>,
    positions: Vec<u32>,
    ends: Vec<u32>,
    texts: Vec<Text>,
}

impl Batch {
    fn is_full_for(&self, tokens: usize) -> bool {
        self.texts.len() >= TEXTS_MAX || self.words.len() + tokens > TOKENS_MAX
    }

    fn push(&mut self, text: Text, tokens: &[u32]) {
        self.words.extend(tokens);
        self.positions.extend((0..).take(tokens.len()));
        self.ends
            .push(u32::try_from(self.words.len()).unwrap_or(u32::MAX));
        self.texts.push(text);
    }

    /// Behind the last text come rows of the first word at the first place, and texts without tokens.
    fn write(&self, bucket: Bucket, upload: &mut [u8]) -> Result<(), CudaError> {
        let layout = Layout::of(bucket);
        let mut put = |offset: usize, count: usize, numbers: &mut dyn Iterator<Item = u32>| {
            let places = upload.get_mut(offset..offset + count * COUNT_BYTES);
            let places = places.ok_or(CudaError::Bounds)?;
            for (place, number) in places.chunks_exact_mut(COUNT_BYTES).zip(numbers) {
                place.copy_from_slice(&number.to_le_bytes());
            }
            Ok(())
        };
        let none = std::iter::repeat(0);
        let end = self.ends.last().copied().unwrap_or(0);
        let mut words = self.words.iter().copied().chain(none.clone());
        put(layout.words, bucket.tokens, &mut words)?;
        let mut positions = self.positions.iter().copied().chain(none);
        put(layout.positions, bucket.tokens, &mut positions)?;
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        put(
            layout.starts,
            bucket.texts + 1,
            &mut starts.chain(std::iter::repeat(end)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(lengths: &[usize]) -> Batch {
        let mut batch = Batch::default();
        for (text, length) in lengths.iter().enumerate() {
            let tokens: Vec<u32> = (100..).take(*length).collect();
            assert!(!batch.is_full_for(*length), "{text}");
            batch.push(Text { work: 0, text }, &tokens);
        }
        batch
    }

    #[test]
    fn a_batch_is_full_by_tokens_and_by_texts() {
        let full = batch(&[256; 32]);
        assert!(full.is_full_for(1) && full.words.len() == TOKENS_MAX);
        assert!(!batch(&[256; 31]).is_full_for(256));
        assert!(batch(&[2; TEXTS_MAX]).is_full_for(1));
    }

    #[test]
    fn what_goes_in_is_the_batch_and_nothing_behind_it() {
        let batch = batch(&[3, 1, 2]);
        let bucket = Bucket::of(batch.words.len(), batch.texts.len());
        let layout = Layout::of(bucket);
        // As another batch left it.
        let mut upload = vec![0xa5; layout.input_bytes()];
        batch.write(bucket, &mut upload).unwrap();
        let numbers = |offset: usize, count: usize| -> Vec<u32> {
            let bytes = &upload[offset..offset + count * COUNT_BYTES];
            bytes
                .as_chunks()
                .0
                .iter()
                .map(|x| u32::from_le_bytes(*x))
                .collect()
        };
        let words = numbers(layout.words, bucket.tokens);
        assert_eq!(
            (&words[..6], words[6..].iter().sum()),
            (&[100, 101, 102, 100, 100, 101][..], 0)
        );
        let positions = numbers(layout.positions, bucket.tokens);
        assert_eq!(
            (&positions[..6], positions[6..].iter().sum()),
            (&[0, 1, 2, 0, 0, 1][..], 0)
        );
        assert_eq!(numbers(layout.starts, 5), [0, 3, 4, 6, 6]);
    }
}
