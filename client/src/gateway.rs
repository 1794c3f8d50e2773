//! A handle on the gateway's REST API: one typed method for each route.
//!
//! Only HTTPS, no redirects (they would carry the access token elsewhere) and no proxies from the environment. Calls that
//! may safely be made twice are made again after a transient failure, with full jitter; the others only when the first
//! certainly had no effect.

mod address;
mod answer;
mod call;
mod error;
mod operator;
mod retry;
mod tasks;
mod transfer;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;

pub use address::{Address, AddressError};
pub use error::{AnswerError, GatewayError};
pub use retry::Retries;
pub use tasks::{Sight, TaskFilter};
pub use transfer::{Upload, UploadSource};

use crate::access_token::AccessToken;
use crate::tls::{Roots, client_config};
use call::Call;

/// Name lookup, TCP and TLS together; a gateway further away than this is not usable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// One small request and its answer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
const USER_AGENT: &str = concat!("cocoon-client/", env!("CARGO_PKG_VERSION"));

/// What a handle is made of.
#[derive(Debug, Clone)]
pub struct Options {
    pub address: Address,
    pub access_token: Option<AccessToken>,
    pub roots: Roots,
    pub retries: Retries,
}

/// The gateway, as its clients and operators reach it. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct Gateway {
    http: reqwest::Client,
    address: Address,
    access_token: Option<AccessToken>,
    retries: Retries,
}

impl Gateway {
    /// Sets the client up; nothing is sent yet.
    pub fn new(options: Options) -> Result<Self, GatewayError> {
        let tls = client_config(&options.roots).map_err(GatewayError::Tls)?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(USER_AGENT)
            .build()
            .map_err(GatewayError::Client)?;
        Ok(Self {
            http,
            address: options.address,
            access_token: options.access_token,
            retries: options.retries,
        })
    }

    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Makes a call whose answer is JSON.
    async fn json<T: DeserializeOwned>(&self, call: Call) -> Result<T, GatewayError> {
        let bytes = self.bytes(&call).await?;
        answer::json(&bytes).map_err(|source| self.bad_answer(&call, source))
    }

    /// Makes a call and reads its whole answer, again where that is permitted.
    async fn bytes(&self, call: &Call) -> Result<Bytes, GatewayError> {
        let mut attempts = self.retries.of(call.repeat);
        loop {
            match self.bytes_once(call).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => attempts.after(error).await?,
            }
        }
    }

    async fn bytes_once(&self, call: &Call) -> Result<Bytes, GatewayError> {
        let request = self.request(call).timeout(call.limit);
        let request = match &call.body {
            Some(body) => request
                .header(reqwest::header::CONTENT_TYPE, body.media_type)
                .body(body.bytes.clone()),
            None => request,
        };
        let response = self.send(call, request).await?;
        let body = answer::read(response).await;
        body.map_err(|source| self.bad_answer(call, source))
    }

    fn request(&self, call: &Call) -> RequestBuilder {
        let request = self.http.request(
            call.method.clone(),
            self.address.url(&call.path, &call.query),
        );
        match &self.access_token {
            Some(access_token) => request.bearer_auth(access_token.reveal()),
            None => request,
        }
    }

    /// Sends once; an answer that is no success becomes an error.
    async fn send(&self, call: &Call, request: RequestBuilder) -> Result<Response, GatewayError> {
        let response = self.send_any(call, request).await?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.refusal(call, response).await)
        }
    }

    async fn send_any(
        &self,
        call: &Call,
        request: RequestBuilder,
    ) -> Result<Response, GatewayError> {
        let sent = request.send().await;
        sent.map_err(|source| GatewayError::transport(self.address.as_str(), source, call.limit))
    }

    async fn refusal(&self, call: &Call, response: Response) -> GatewayError {
        let status = response.status();
        let retry_after = answer::retry_after(response.headers());
        match answer::problem(response).await {
            Ok(problem) => GatewayError::Refused {
                action: call.action,
                problem: Box::new(problem),
                retry_after,
            },
            Err(excerpt) => self.bad_answer(call, status_error(status, excerpt)),
        }
    }

    fn bad_answer(&self, call: &Call, source: AnswerError) -> GatewayError {
        self.bad(call.action, source)
    }

    fn bad(&self, action: &'static str, source: AnswerError) -> GatewayError {
        GatewayError::BadAnswer {
            gateway: self.address.as_str().to_owned(),
            action,
            source,
        }
    }

    /// An answer about something else than what was asked is refused.
    fn expect_subject<T: PartialEq + fmt::Display>(
        &self,
        action: &'static str,
        seen: &T,
        wanted: &T,
    ) -> Result<(), GatewayError> {
        if seen == wanted {
            return Ok(());
        }
        let source = AnswerError::Subject {
            seen: seen.to_string(),
            wanted: wanted.to_string(),
        };
        Err(self.bad(action, source))
    }
}

fn status_error(status: StatusCode, excerpt: String) -> AnswerError {
    AnswerError::Status {
        status: status.as_u16(),
        excerpt,
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Gateway")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
