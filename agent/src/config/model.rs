//! `[model]`: the folder of the model that `embed` computes with. Without it the worker does not offer `embed`.

use std::path::PathBuf;

use kernels::embed;
use protocol::Sha256Digest;
use protocol::catalogue::models::ALL_MINILM_L6_V2;

use super::{Keys, chain};

/// A model whose files were verified when the configuration was read. The executor child verifies what it reads again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelConfig {
    pub directory: PathBuf,
    /// What receipts name.
    pub digest: Sha256Digest,
}

/// `None` without the table. Files that are missing or not the model's are a mistake.
pub(super) fn model(keys: &mut Keys) -> Option<ModelConfig> {
    const KEY: &str = "model.directory";
    if !keys.has("model") {
        return None;
    }
    let directory = keys.path(KEY)?;
    let verified = embed::model::verify(&directory, &ALL_MINILM_L6_V2);
    let digest = match verified {
        Ok(digest) => digest,
        Err(error) => {
            let fetch = "`cocoon-worker model fetch` puts the model's files into a folder";
            keys.mistake(KEY, format!("{}; {fetch}", chain(&error)));
            return None;
        }
    };
    Some(ModelConfig { directory, digest })
}
