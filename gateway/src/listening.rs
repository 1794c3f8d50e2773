//! `listening.json`: where a running gateway listens, for harnesses that let it choose its ports.

use std::net::SocketAddr;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::run::RunError;

/// The file's name, below the state folder.
const FILE: &str = "listening.json";

/// The bound addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    pub api: SocketAddr,
    pub worker: SocketAddr,
    pub metrics: SocketAddr,
}

impl Listening {
    /// Reads what a running gateway wrote; `None` while there is none.
    #[must_use]
    pub fn read(state_dir: &Path) -> Option<Self> {
        let bytes = std::fs::read(state_dir.join(FILE)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    pub(crate) fn write(&self, state_dir: &Path) -> Result<(), RunError> {
        let path = state_dir.join(FILE);
        let beside = state_dir.join("listening.json.new");
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        // In place at once, so that nobody reads half of it.
        std::fs::write(&beside, bytes)
            .and_then(|()| std::fs::rename(&beside, &path))
            .map_err(|source| RunError::Write { path, source })
    }

    pub(crate) fn remove(state_dir: &Path) {
        // A file that stays behind names ports that nobody listens on; the next start replaces it.
        let _ = std::fs::remove_file(state_dir.join(FILE));
    }
}
