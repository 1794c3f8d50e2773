//! The appraisal policy's file: read at the start, and again when an operator says so.

use std::path::{Path, PathBuf};

use attestation::{AppraisalPolicy, PolicyError};
use protocol::Sha256Digest;

use crate::gateway::Gateway;

/// Why the file gives no policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    #[error("the appraisal policy {path} cannot be read")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the appraisal policy {path} is refused")]
    Refused {
        path: PathBuf,
        #[source]
        source: PolicyError,
    },
}

pub(crate) async fn read(path: &Path) -> Result<AppraisalPolicy, PolicyFileError> {
    let text = tokio::fs::read_to_string(path).await;
    let text = text.map_err(|source| PolicyFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    AppraisalPolicy::from_toml(&text).map_err(|source| PolicyFileError::Refused {
        path: path.to_owned(),
        source,
    })
}

/// Puts what the file says now in force; every live session is then appraised again. The same policy changes nothing, and
/// neither does a file that is refused. Answers the digest of the policy in force.
pub(crate) async fn reload(gateway: &Gateway) -> Result<Sha256Digest, PolicyFileError> {
    // Held to the end: of two that read, the one that read last also replaces last.
    let path = gateway.policy_file.lock().await;
    let policy = read(&path).await?;
    let in_force = &gateway.relying_party.in_force;
    let sha256 = Sha256Digest::from_bytes(policy.digest());
    if sha256 != in_force.policy().document.sha256 {
        tracing::info!(%sha256, "new appraisal policy: every session is appraised again");
        in_force.replace_policy(policy);
    }
    Ok(sha256)
}
