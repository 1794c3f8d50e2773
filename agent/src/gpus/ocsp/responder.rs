//! The responder, over HTTP (RFC 6960, appendix A.1). What it answers is signed, so whatever stands in between can withhold
//! but not forge.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use attestation::gpu::OCSP_RESPONSE_BYTES_MAX;
use reqwest::redirect::Policy;
use reqwest::{StatusCode, Url, header};

use crate::https::{self, ClientError};

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
    #[error("there is no way to ask the responder")]
    Client(#[source] ClientError),
    #[error("the responder was not reached, or did not finish")]
    Http(#[source] reqwest::Error),
    #[error("the responder answered with {0}")]
    Status(StatusCode),
    #[error("the response exceeds {OCSP_RESPONSE_BYTES_MAX} bytes")]
    TooLarge,
}

impl Responder {
    pub fn new(url: ResponderUrl) -> Result<Self, ResponderError> {
        let http = https::client(REQUEST_LIMIT, Policy::none()).map_err(ResponderError::Client)?;
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
        let response = sent.await.map_err(ResponderError::Http)?;
        if response.status() != StatusCode::OK {
            return Err(ResponderError::Status(response.status()));
        }
        let body = https::body(response, OCSP_RESPONSE_BYTES_MAX).await;
        let body = body.map_err(ResponderError::Http)?;
        body.ok_or(ResponderError::TooLarge)
    }
}
