//! candle's BERT on the same files, as an implementation that shares nothing with ours but the tokenizer's rules.

use std::path::Path;

use anyhow::{Context, Error, Result};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use tokenizers::{PaddingParams, Tokenizer, TruncationParams};

pub mod sentences;

/// The model as candle computes it, on the CPU.
pub struct Candle {
    model: BertModel,
    tokenizer: Tokenizer,
}

impl Candle {
    /// # Errors
    /// Where the folder does not hold the model's files.
    pub fn open(folder: &Path) -> Result<Self> {
        let config = std::fs::read_to_string(folder.join("config.json")).context("config.json")?;
        let config: Config = serde_json::from_str(&config)?;
        let weights =
            std::fs::read(folder.join("model.safetensors")).context("model.safetensors")?;
        let weights = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu)?;
        let mut tokenizer =
            Tokenizer::from_file(folder.join("tokenizer.json")).map_err(Error::msg)?;
        let truncation = TruncationParams {
            max_length: 256,
            ..TruncationParams::default()
        };
        tokenizer
            .with_truncation(Some(truncation))
            .map_err(Error::msg)?
            .with_padding(Some(PaddingParams::default()));
        Ok(Self {
            model: BertModel::load(weights, &config)?,
            tokenizer,
        })
    }

    /// A vector of length 1 for each text, and its count of tokens. The texts are one batch, padded to the longest.
    ///
    /// # Errors
    /// Where candle fails.
    pub fn embed(&self, texts: &[&str]) -> Result<(Vec<Vec<f32>>, Vec<usize>)> {
        let encodings = self
            .tokenizer
            .encode_batch_fast(texts.to_vec(), true)
            .map_err(Error::msg)?;
        let rows = |of: fn(&tokenizers::Encoding) -> &[u32]| -> Result<Tensor> {
            let rows: Vec<_> = encodings
                .iter()
                .map(|encoding| of(encoding).to_vec())
                .collect();
            Ok(Tensor::new(rows, &Device::Cpu)?)
        };
        let tokens = rows(tokenizers::Encoding::get_ids)?;
        let mask = rows(tokenizers::Encoding::get_attention_mask)?;
        let hidden = self
            .model
            .forward(&tokens, &tokens.zeros_like()?, Some(&mask))?;
        let mask = mask.to_dtype(DType::F32)?.unsqueeze(2)?;
        let sum = hidden.broadcast_mul(&mask)?.sum(1)?;
        let mean = sum.broadcast_div(&mask.sum(1)?)?;
        let unit = mean.broadcast_div(&mean.sqr()?.sum_keepdim(1)?.sqrt()?)?;
        let counts = encodings.iter().map(|encoding| {
            encoding
                .get_attention_mask()
                .iter()
                .filter(|bit| **bit == 1)
                .count()
        });
        Ok((unit.to_vec2()?, counts.collect()))
    }
}

/// The folder that `COCOON_MODEL` names.
///
/// # Errors
/// Where it names none.
pub fn model_folder() -> Result<std::path::PathBuf> {
    let folder = std::env::var_os("COCOON_MODEL")
        .context("COCOON_MODEL names the folder with the model's files")?;
    Ok(folder.into())
}
