//! Text to tokens, by the rules that came with the model.

use std::fmt;

use tokenizers::TruncationParams;

use super::model::{Dimensions, ModelError};

/// Tokens of one text, with the two that mark its ends; what lies behind is cut. The model was trained with this.
pub const TEXT_TOKENS_MAX: usize = 256;

/// A model's tokenizer.
pub struct Tokenizer(tokenizers::Tokenizer);

/// Why a text has no tokens: the task's own fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    #[error("the text is not UTF-8: byte {at} begins no character")]
    Utf8 { at: usize },
    #[error("the text cannot be split into tokens: {0}")]
    Split(String),
}

impl Tokenizer {
    pub(super) fn parse(json: &[u8], dimensions: Dimensions) -> Result<Self, ModelError> {
        let mut tokenizer =
            tokenizers::Tokenizer::from_bytes(json).map_err(ModelError::Tokenizer)?;
        let truncation = TruncationParams {
            max_length: TEXT_TOKENS_MAX.min(dimensions.positions),
            ..TruncationParams::default()
        };
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(Some(truncation))
            .map_err(ModelError::Tokenizer)?;
        let vocabulary = dimensions.vocabulary;
        let known = |token: u32| usize::try_from(token).is_ok_and(|token| token < vocabulary);
        match tokenizer
            .get_vocab(true)
            .into_values()
            .find(|token| !known(*token))
        {
            Some(token) => Err(ModelError::Vocabulary { token, vocabulary }),
            None => Ok(Self(tokenizer)),
        }
    }

    /// The tokens of one text: at least the two that mark its ends, at most [`TEXT_TOKENS_MAX`].
    pub fn tokens(&self, text: &[u8]) -> Result<Vec<u32>, TextError> {
        let text = std::str::from_utf8(text).map_err(|error| TextError::Utf8 {
            at: error.valid_up_to(),
        })?;
        // The fast one keeps no offsets into the text.
        let encoding = self.0.encode_fast(text, true);
        let encoding = encoding.map_err(|error| TextError::Split(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Tokenizer")
    }
}
