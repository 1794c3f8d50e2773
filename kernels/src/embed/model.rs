//! A model's files: verified against what the catalogue pins, then read. Nothing else in the folder is looked at.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use protocol::Sha256Digest;
use protocol::catalogue::models::{self, ModelFile};
use serde::Deserialize;

use super::tokenizer::Tokenizer;
use super::weights::Weights;

/// The file that says how large the model is.
pub const CONFIG_FILE: &str = "config.json";
/// The file with the tokenizer's rules and vocabulary.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// The file with the weights.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// No dimension of an encoder reaches this; products of two of them stay below 2^40.
const DIMENSION_MAX: usize = 1 << 20;

/// A model that is ready to compute.
#[derive(Debug)]
pub struct Model {
    pub dimensions: Dimensions,
    pub tokenizer: Tokenizer,
    pub weights: Weights,
    digest: Sha256Digest,
}

/// How large the model is: the part of `config.json` that the encoder computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dimensions {
    /// Numbers of a token's vector.
    pub hidden: usize,
    pub heads: usize,
    pub layers: usize,
    /// Numbers inside a feed-forward network.
    pub intermediate: usize,
    /// Tokens that there are.
    pub vocabulary: usize,
    /// Places in a text that have an embedding.
    pub positions: usize,
    pub types: usize,
}

/// Why a folder holds no model that this program computes with.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} has {seen} bytes; {model}'s has {wanted}", path.display())]
    Size {
        path: PathBuf,
        model: &'static str,
        seen: usize,
        wanted: u64,
    },
    #[error("{} has the SHA-256 digest {seen}; {model}'s has {wanted}", path.display())]
    Digest {
        path: PathBuf,
        model: &'static str,
        seen: Sha256Digest,
        wanted: Sha256Digest,
    },
    #[error("{CONFIG_FILE} is no configuration of an encoder")]
    Config(#[source] serde_json::Error),
    #[error("{CONFIG_FILE}: `{key}` is {seen}; this encoder computes with {wanted}")]
    ConfigValue {
        key: &'static str,
        seen: String,
        wanted: &'static str,
    },
    #[error("{TOKENIZER_FILE} is no tokenizer")]
    Tokenizer(#[source] tokenizers::Error),
    #[error("{TOKENIZER_FILE} has token {token}; the model knows {vocabulary}")]
    Vocabulary { token: u32, vocabulary: usize },
    #[error("{WEIGHTS_FILE} is no safetensors file")]
    Weights(#[source] safetensors::SafeTensorError),
    #[error("{WEIGHTS_FILE} has no tensor `{0}`")]
    TensorMissing(String),
    #[error("{WEIGHTS_FILE} has a tensor `{0}`, which is no part of this model")]
    TensorUnknown(String),
    #[error("{WEIGHTS_FILE}: the tensor `{name}` holds {seen}, not F32")]
    TensorType { name: String, seen: String },
    #[error("{WEIGHTS_FILE}: the tensor `{name}` has the shape {seen:?}, not {wanted:?}")]
    TensorShape {
        name: String,
        seen: Vec<usize>,
        wanted: Vec<usize>,
    },
    #[error("{WEIGHTS_FILE}: the tensor `{0}` holds a number that is infinite or none")]
    TensorNumber(String),
}

impl Model {
    /// Reads the folder of all-MiniLM-L6-v2. Each file is verified against its pinned digest before it is looked into.
    pub fn open(directory: &Path) -> Result<Self, ModelError> {
        let pinned = &models::ALL_MINILM_L6_V2;
        let read = |name| read_named(directory, pinned, name);
        let (config, tokenizer) = (read(CONFIG_FILE)?, read(TOKENIZER_FILE)?);
        Self::parse(&config, &tokenizer, &read(WEIGHTS_FILE)?, pinned.digest())
    }

    pub(super) fn parse(
        config: &[u8],
        tokenizer: &[u8],
        weights: &[u8],
        digest: Sha256Digest,
    ) -> Result<Self, ModelError> {
        let dimensions = Dimensions::parse(config)?;
        Ok(Self {
            dimensions,
            tokenizer: Tokenizer::parse(tokenizer, dimensions)?,
            weights: Weights::parse(weights, dimensions)?,
            digest,
        })
    }

    /// What receipts name: see [`models::Model::digest`].
    #[must_use]
    pub const fn digest(&self) -> Sha256Digest {
        self.digest
    }
}

/// Verifies every file of the model in the folder and gives the model's digest.
pub fn verify(directory: &Path, pinned: &models::Model) -> Result<Sha256Digest, ModelError> {
    for file in pinned.files {
        read(directory, pinned, file)?;
    }
    Ok(pinned.digest())
}

fn read_named(
    directory: &Path,
    pinned: &models::Model,
    name: &'static str,
) -> Result<Vec<u8>, ModelError> {
    let file = pinned.files.iter().find(|file| file.name == name);
    let file = file.ok_or_else(|| ModelError::Read {
        path: directory.join(name),
        source: io::ErrorKind::NotFound.into(),
    })?;
    read(directory, pinned, file)
}

/// The file's bytes, which are those that the catalogue pins.
pub fn read(
    directory: &Path,
    pinned: &models::Model,
    file: &ModelFile,
) -> Result<Vec<u8>, ModelError> {
    let path = directory.join(file.name);
    match read_at_most(&path, file.bytes.saturating_add(1)) {
        Ok(bytes) => verify_bytes(path, pinned, file, &bytes).map(|()| bytes),
        Err(source) => Err(ModelError::Read { path, source }),
    }
}

/// Compares bytes that came from `path` with the pinned size and digest.
pub fn verify_bytes(
    path: PathBuf,
    pinned: &models::Model,
    file: &ModelFile,
    bytes: &[u8],
) -> Result<(), ModelError> {
    if u64::try_from(bytes.len()) != Ok(file.bytes) {
        return Err(ModelError::Size {
            path,
            model: pinned.name,
            seen: bytes.len(),
            wanted: file.bytes,
        });
    }
    let seen = Sha256Digest::of(bytes);
    if seen != file.sha256 {
        return Err(ModelError::Digest {
            path,
            model: pinned.name,
            seen,
            wanted: file.sha256,
        });
    }
    Ok(())
}

fn read_at_most(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// `config.json` of the transformers library; its other keys concern training.
#[derive(Deserialize)]
struct ConfigFile {
    hidden_size: usize,
    num_attention_heads: usize,
    num_hidden_layers: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    type_vocab_size: usize,
    hidden_act: String,
    layer_norm_eps: f32,
    position_embedding_type: String,
}

impl Dimensions {
    fn parse(config: &[u8]) -> Result<Self, ModelError> {
        let file: ConfigFile = serde_json::from_slice(config).map_err(ModelError::Config)?;
        expect_word("hidden_act", &file.hidden_act, "gelu")?;
        expect_word(
            "position_embedding_type",
            &file.position_embedding_type,
            "absolute",
        )?;
        expect(
            file.layer_norm_eps
                .total_cmp(&super::encoder::EPSILON)
                .is_eq(),
            "layer_norm_eps",
            &file.layer_norm_eps,
            "1e-12",
        )?;
        let sizes = [
            ("hidden_size", file.hidden_size),
            ("num_attention_heads", file.num_attention_heads),
            ("num_hidden_layers", file.num_hidden_layers),
            ("intermediate_size", file.intermediate_size),
            ("vocab_size", file.vocab_size),
            ("max_position_embeddings", file.max_position_embeddings),
            ("type_vocab_size", file.type_vocab_size),
        ];
        for (key, seen) in sizes {
            let fits = (1..=DIMENSION_MAX).contains(&seen);
            expect(fits, key, &seen, "a number from 1 to 2^20")?;
        }
        expect(
            file.hidden_size.is_multiple_of(file.num_attention_heads),
            "num_attention_heads",
            &file.num_attention_heads,
            "a divisor of hidden_size",
        )?;
        Ok(Self {
            hidden: file.hidden_size,
            heads: file.num_attention_heads,
            layers: file.num_hidden_layers,
            intermediate: file.intermediate_size,
            vocabulary: file.vocab_size,
            positions: file.max_position_embeddings,
            types: file.type_vocab_size,
        })
    }
}

fn expect_word(key: &'static str, seen: &str, wanted: &'static str) -> Result<(), ModelError> {
    expect(seen == wanted, key, &seen, wanted)
}

fn expect(
    fits: bool,
    key: &'static str,
    seen: &dyn ToString,
    wanted: &'static str,
) -> Result<(), ModelError> {
    if fits {
        return Ok(());
    }
    let seen = seen.to_string();
    Err(ModelError::ConfigValue { key, seen, wanted })
}
