//! The language model of `embed`: text in, vectors of length 1 and token counts out. This is the operation's CPU
//! definition, in binary32, and what a worker without a GPU serves with.
//!
//! | part | what it holds |
//! |---|---|
//! | [`model`] | a folder of files, verified against their pinned digests and read |
//! | [`tokenizer`] | text of any bytes to tokens |
//! | [`weights`] | the tensors of a safetensors file, each of the size that the configuration says |
//! | [`packed`] | the tokens of many texts, one after another without padding, cut by a budget |
//! | [`encoder`] | tokens to vectors: embedding, layers of attention and feed-forward, pooling |
//!
//! The model is BERT (Devlin et al., 2018): a text's tokens as vectors, each layer adding what attention among them and
//! a small network say. The mean over a text's tokens, scaled to length 1, is its embedding (Reimers and Gurevych, 2019).

pub mod encoder;
pub mod model;
pub mod packed;
pub mod tokenizer;
mod vector;
pub mod weights;

pub use model::{Model, ModelError};
pub use packed::Packed;
pub use tokenizer::TextError;

#[cfg(test)]
pub(crate) mod tests;
