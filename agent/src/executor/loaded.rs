//! The libraries that the executor child loaded, on their way from the child to the claims.

use std::time::Duration;

use attestation::LibraryClaim;
use kernels::executor::Library;
use tokio::sync::watch;
use tokio::time::timeout;

/// Shared by the supervisor, which learns of them, and whoever makes evidence.
#[derive(Debug, Clone)]
pub struct LoadedLibraries(watch::Sender<Option<Vec<LibraryClaim>>>);

impl Default for LoadedLibraries {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl LoadedLibraries {
    /// What the child that just started says. True where an earlier one said something else, so that what was attested is
    /// not so any more.
    pub fn set(&self, libraries: &[Library]) -> bool {
        let claims: Vec<_> = libraries.iter().map(claim).collect();
        let before = self.0.send_replace(Some(claims.clone()));
        before.is_some_and(|before| before != claims)
    }

    /// The latest, once a child has started; nothing where none has within `limit`.
    pub async fn wait(&self, limit: Duration) -> Option<Vec<LibraryClaim>> {
        let mut known = self.0.subscribe();
        let known = timeout(limit, known.wait_for(Option::is_some)).await;
        known.ok()?.ok()?.clone()
    }
}

fn claim(library: &Library) -> LibraryClaim {
    LibraryClaim {
        name: library.name.clone(),
        version: library.version.clone(),
        digest: *library.digest.as_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use protocol::Sha256Digest;

    use super::*;

    fn library(version: &str) -> Library {
        Library {
            name: "libcuda".to_owned(),
            version: version.to_owned(),
            digest: Sha256Digest::of(version.as_bytes()),
        }
    }

    #[tokio::test]
    async fn libraries_are_waited_for_and_a_change_is_noticed() {
        let loaded = LoadedLibraries::default();
        assert_eq!(loaded.wait(Duration::from_millis(10)).await, None);
        assert!(!loaded.set(&[library("13.0")]));
        let claims = loaded.wait(Duration::ZERO).await.unwrap();
        assert_eq!(claims, [claim(&library("13.0"))]);
        assert!(!loaded.set(&[library("13.0")]));
        assert!(loaded.set(&[library("13.1")]));
        assert!(!loaded.set(&[library("13.1")]));
    }
}
