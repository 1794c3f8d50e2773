//! `embed`: a vector of length 1 for each text, by the model of [`crate::embed`].
//!
//! Output: for each text its vector's numbers in binary32, then for each text its count of tokens as a whole number of 32
//! bits, all little-endian. Works that are at hand together are computed together, see [`Group`].

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use super::OperationError;
use crate::embed::tokenizer::Tokenizer;
use crate::embed::{Model, encoder};
use protocol::catalogue::Values;

/// Tokens that are computed together at most, unless a single work has more: enough for every core of a large machine,
/// and seconds on a small one.
pub const GROUP_TOKENS_MAX: usize = 16_384;

/// The tokens of each text.
pub fn tokens(tokenizer: &Tokenizer, texts: &[&[u8]]) -> Result<Vec<Vec<u32>>, OperationError> {
    let all: Vec<_> = texts
        .par_iter()
        .map(|text| tokenizer.tokens(text))
        .collect();
    let all = all.into_iter().enumerate();
    all.map(|(index, tokens)| tokens.map_err(|error| OperationError::Text { index, error }))
        .collect()
}

/// Writes vectors and token counts.
pub fn write(output: &mut [u8], vectors: &[f32], texts: &[Vec<u32>]) {
    // A text has at most 256 tokens.
    let counts = texts
        .iter()
        .map(|text| u32::try_from(text.len()).unwrap_or(u32::MAX));
    let numbers = vectors.iter().map(|number| number.to_le_bytes());
    let words = numbers.chain(counts.map(u32::to_le_bytes));
    for (slot, word) in output.as_chunks_mut().0.iter_mut().zip(words) {
        *slot = word;
    }
}

/// Works whose texts are computed together.
#[derive(Debug, Default)]
pub struct Group<'a> {
    works: Vec<Member<'a>>,
    texts: Vec<Vec<u32>>,
    tokens: usize,
}

#[derive(Debug)]
struct Member<'a> {
    index: usize,
    text_count: usize,
    output: &'a mut [u8],
}

impl<'a> Group<'a> {
    /// Adds the texts of the work `index`.
    pub fn push(&mut self, index: usize, texts: Vec<Vec<u32>>, output: &'a mut [u8]) {
        self.works.push(Member {
            index,
            text_count: texts.len(),
            output,
        });
        self.tokens += texts.iter().map(Vec::len).sum::<usize>();
        self.texts.extend(texts);
    }

    /// Whether there is enough to compute.
    #[must_use]
    pub const fn is_full(&self) -> bool {
        self.tokens >= GROUP_TOKENS_MAX
    }

    /// Computes, writes every output and calls `done` with each work's index.
    pub fn finish(self, model: &Model, mut done: impl FnMut(usize)) {
        let vectors = encoder::embed(model, &self.texts);
        let mut vectors = vectors.as_slice();
        let mut texts = self.texts.as_slice();
        for work in self.works {
            let (own, later) = texts.split_at(work.text_count);
            let (numbers, rest) = vectors.split_at(work.text_count * model.dimensions.hidden);
            write(work.output, numbers, own);
            (texts, vectors) = (later, rest);
            done(work.index);
        }
    }
}

/// One call alone, with a model.
pub fn run(model: &Model, inputs: &[&[u8]], output: &mut [u8]) -> Result<(), OperationError> {
    let texts = tokens(&model.tokenizer, inputs)?;
    write(output, &encoder::embed(model, &texts), &texts);
    Ok(())
}

/// What the table of definitions holds: an executor that has a model runs [`run`] or a [`Group`] instead.
pub(super) fn without_model(_: &Values, _: &[&[u8]], _: &mut [u8]) -> Result<(), OperationError> {
    Err(OperationError::ModelMissing)
}
