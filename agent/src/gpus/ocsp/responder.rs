//! The responder, over HTTP (RFC 6960, appendix A.1). What it answers is signed, so whatever stands in between can withhold
//! but not forge.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use attestation::gpu::OCSP_RESPONSE_BYTES_MAX;
use reqwest::{StatusCode, Url, header};
use rustls::{ClientConfig, RootCertStore};

/// A responder that is well answers in a fraction of a second.
const REQUEST_LIMIT: Duration = Duration::from_secs(10);

/// Where the responder is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponderUrl(Url);

/// A text that is no responder's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a URL such as https://ocsp.ndis.nvidia.com/, with the scheme https or http")]
pub struct ResponderUrlError;

impl FromStr for ResponderUrl {
    type Err = ResponderUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url: Url = text.parse().map_err(|_| ResponderUrlError)?;
        let is_http = matches!(url.scheme(), "https" | "http") && url.has_host();
        is_http.then_some(Self(url)).ok_or(ResponderUrlError)
    }
}

impl fmt::Display for ResponderUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// Asks the responder.
#[derive(Debug, Clone)]
pub struct Responder {
    http: reqwest::Client,
    url: ResponderUrl,
}

/// Why the responder gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ResponderError {
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
    #[error("the responder was not reached, or did not finish")]
    Http(#[source] reqwest::Error),
    #[error("the responder answered with {0}")]
    Status(StatusCode),
    #[error("the response exceeds {OCSP_RESPONSE_BYTES_MAX} bytes")]
    TooLarge,
}

impl Responder {
    pub fn new(url: ResponderUrl) -> Result<Self, ResponderError> {
        let mut roots = RootCertStore::empty();
        // Without any, an https responder is not reached, and each attempt says so.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(ResponderError::Tls)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(REQUEST_LIMIT)
            .build()
            .map_err(ResponderError::Client)?;
        Ok(Self { http, url })
    }

    /// The response's bytes; nothing in them is believed yet.
    pub async fn ask(&self, request: Vec<u8>) -> Result<Vec<u8>, ResponderError> {
        let sent = self
            .http
            .post(self.url.0.clone())
            .header(header::CONTENT_TYPE, "application/ocsp-request")
            .header(header::ACCEPT, "application/ocsp-response")
            .body(request)
            .send();
        let mut response = sent.await.map_err(ResponderError::Http)?;
        if response.status() != StatusCode::OK {
            return Err(ResponderError::Status(response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(ResponderError::Http)? {
            if body.len().saturating_add(chunk.len()) > OCSP_RESPONSE_BYTES_MAX {
                return Err(ResponderError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}
