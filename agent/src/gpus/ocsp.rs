//! OCSP responses for the GPUs' certificates, kept in memory and stapled to the evidence.
//!
//! Verification at the gateway touches no network, so the worker brings NVIDIA's word that nothing is revoked. A response
//! that is missing does not keep the worker from attesting: what is demanded, the gateway's appraisal policy says.

mod held;
mod refresh;
mod responder;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use held::Held;
pub use refresh::refresh;
pub use responder::{Responder, ResponderError, ResponderUrl, ResponderUrlError};

/// The first attestation waits so long for the first responses; the gate has thirty seconds for everything.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// The responses at hand.
#[derive(Debug)]
pub struct Staples {
    held: Mutex<Held>,
    /// Marked whenever `held` changed.
    changed: watch::Sender<()>,
}

impl Default for Staples {
    fn default() -> Self {
        Self {
            held: Mutex::default(),
            changed: watch::channel(()).0,
        }
    }
}

impl Staples {
    /// From now on responses are kept for the certificates of these chains and no others.
    pub fn want<'c>(&self, chains: impl Iterator<Item = &'c [Vec<u8>]>) {
        if self.held().want(chains) {
            self.changed.send_replace(());
        }
    }

    /// Waits until each certificate was asked about once, but not for long.
    pub async fn settled(&self) {
        let mut changes = self.changed.subscribe();
        let settled =
            async { while !self.held().is_settled() && changes.changed().await.is_ok() {} };
        if timeout(FIRST_WAIT, settled).await.is_err() {
            tracing::warn!("the OCSP responder has not answered yet: attesting without it");
        }
    }

    /// The good responses about this chain; they were in date when they came.
    #[must_use]
    pub fn responses(&self, chain: &[Vec<u8>]) -> Vec<Vec<u8>> {
        self.held().responses(chain)
    }

    /// Whether NVIDIA revoked a certificate of this chain.
    #[must_use]
    pub fn is_revoked(&self, chain: &[Vec<u8>]) -> bool {
        self.held().is_revoked(chain)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
