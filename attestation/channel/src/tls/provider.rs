//! The one cryptographic provider: ring, TLS 1.3 suites only, always passed explicitly.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring::default_provider};

/// A process-wide default provider is never installed or read, so no other crate can change what the channel uses.
pub(super) fn provider() -> Arc<CryptoProvider> {
    let mut provider = default_provider();
    provider
        .cipher_suites
        .retain(|suite| suite.tls13().is_some());
    Arc::new(provider)
}
