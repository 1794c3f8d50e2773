//! The HTTP client of what the worker fetches beside the gateway: bounded in time and size, and what comes is believed only
//! when its own signature or digest was verified.

use std::sync::Arc;
use std::time::Duration;

use reqwest::redirect;
use rustls::{ClientConfig, RootCertStore};

/// A server that is there answers within this.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// A server that sends sends something within this.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    #[error("the HTTP client cannot be set up")]
    Http(#[source] reqwest::Error),
}

/// A client that trusts the platform's roots; a request with its answer takes at most `limit`.
pub fn client(
    limit: Duration,
    redirects: redirect::Policy,
) -> Result<reqwest::Client, ClientError> {
    let mut roots = RootCertStore::empty();
    // Without any, an https server is not reached, and each attempt says so.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(ClientError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(redirects)
        .timeout(limit)
        .connect_timeout(CONNECT_LIMIT.min(limit))
        .read_timeout(SILENCE_LIMIT.min(limit))
        .build()
        .map_err(ClientError::Http)
}

/// The body, or nothing where it has more than `bytes_max` bytes.
pub async fn body(
    mut response: reqwest::Response,
    bytes_max: usize,
) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len().saturating_add(chunk.len()) > bytes_max {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}
