//! Asking the sources in order for one family's collateral, with limits on size, time and repetition.

use std::{fmt, time::Duration};

use attestation::{Family, VerifiedCollateral};
use reqwest::{Response, StatusCode, Url, header::RETRY_AFTER};

use crate::{
    Acceptance, Attempt, FetchError, Rejection, Source, SourceFailure, TlsError, Update,
    answer::{Answer, Answers},
    limits::{ANSWER_BYTES_MAX, CONNECT, REQUEST, RETRIES_MAX, RETRY_FIRST, SOURCE, SOURCES_MAX},
    retry::{delay, random_u16},
    tls,
};

const USER_AGENT: &str = concat!("cocoon-pccs/", env!("CARGO_PKG_VERSION"));
/// Under which names the issuer chains come; older mirrors prefix the first.
const TCB_INFO_CHAIN: &[&str] = &["TCB-Info-Issuer-Chain", "SGX-TCB-Info-Issuer-Chain"];
const QE_IDENTITY_CHAIN: &[&str] = &["SGX-Enclave-Identity-Issuer-Chain"];
const PCK_CRL_CHAIN: &[&str] = &["SGX-PCK-CRL-Issuer-Chain"];

/// What a client is made of.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// In the order in which they are asked.
    pub sources: Vec<Source>,
    /// Which set of TCB levels to ask for.
    pub update: Update,
    /// CA certificates (PEM) that a mirror's own may end in, beside those of the platform.
    pub ca: Option<Vec<u8>>,
    /// How long to wait for what.
    pub timing: Timing,
}

/// How long one source may take.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    /// One request with its answer.
    pub request: Duration,
    /// All requests and retries.
    pub source: Duration,
    /// Before the first retry at most.
    pub retry_first: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            request: REQUEST,
            source: SOURCE,
            retry_first: RETRY_FIRST,
        }
    }
}

/// Asks for collateral.
pub struct Client {
    http: reqwest::Client,
    sources: Vec<Source>,
    update: Update,
    timing: Timing,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody to ask, or too many.
    #[error("there are {0} sources; it takes 1 to {SOURCES_MAX}")]
    Sources(usize),
    /// No TLS.
    #[error("TLS towards the sources cannot be set up")]
    Tls(#[source] TlsError),
    /// No HTTP.
    #[error("the HTTP client cannot be set up")]
    Http(#[source] reqwest::Error),
}

/// Collateral that may be kept, where it came from, and who was asked in vain before.
#[derive(Debug)]
pub struct Fetched {
    /// Verified, and not older than what is held.
    pub collateral: VerifiedCollateral,
    /// Who sent it.
    pub source: Source,
    /// Who did not.
    pub attempts: Vec<Attempt>,
}

impl Client {
    /// Sets the client up; nothing is sent yet. No redirects and no proxies: it talks to whom the operator named.
    pub fn new(options: Options) -> Result<Self, ClientError> {
        let count = options.sources.len();
        if count == 0 || count > SOURCES_MAX {
            return Err(ClientError::Sources(count));
        }
        let tls = tls::client_config(options.ca.as_deref()).map_err(ClientError::Tls)?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .user_agent(USER_AGENT)
            .build()
            .map_err(ClientError::Http)?;
        Ok(Self {
            http,
            sources: options.sources,
            update: options.update,
            timing: options.timing,
        })
    }

    /// Asks one source after the other until one has what may be kept.
    pub async fn fetch(
        &self,
        family: Family,
        acceptance: &Acceptance<'_>,
    ) -> Result<Fetched, FetchError> {
        let mut attempts = Vec::new();
        for source in &self.sources {
            match self.fetch_from(source, family, acceptance).await {
                Ok(collateral) => {
                    return Ok(Fetched {
                        collateral,
                        source: source.clone(),
                        attempts,
                    });
                }
                Err(failure) => attempts.push(Attempt {
                    source: source.clone(),
                    failure,
                }),
            }
        }
        Err(FetchError { family, attempts })
    }

    async fn fetch_from(
        &self,
        source: &Source,
        family: Family,
        acceptance: &Acceptance<'_>,
    ) -> Result<VerifiedCollateral, SourceFailure> {
        let answers = tokio::time::timeout(self.timing.source, self.answers(source, family));
        let answers = answers
            .await
            .map_err(|_| SourceFailure::Deadline(self.timing.source))??;
        let collateral = answers.collateral().map_err(SourceFailure::Answer)?;
        let accepted = acceptance.accept(family, collateral);
        let accepted = accepted.map_err(SourceFailure::Refused)?;
        self.of_wanted_number(accepted)
            .map_err(SourceFailure::Refused)
    }

    async fn answers(&self, source: &Source, family: Family) -> Result<Answers, SourceFailure> {
        let [tcb_info, qe_identity, pck_crl, root_crl] = source.parts(family, self.update);
        // One after the other: four at once look like a flood to a service that counts requests.
        Ok(Answers {
            tcb_info: self.get(&tcb_info, TCB_INFO_CHAIN).await?,
            qe_identity: self.get(&qe_identity, QE_IDENTITY_CHAIN).await?,
            pck_crl: self.get(&pck_crl, PCK_CRL_CHAIN).await?,
            root_crl: self.get(&root_crl, &[]).await?,
        })
    }

    /// A mirror may answer with the set that it has instead of the one that it was asked for.
    fn of_wanted_number(
        &self,
        collateral: VerifiedCollateral,
    ) -> Result<VerifiedCollateral, Rejection> {
        let offered = collateral.collateral().evaluation_data_number();
        match self.update {
            Update::Number(wanted) if wanted != offered => {
                Err(Rejection::OtherNumber { wanted, offered })
            }
            _ => Ok(collateral),
        }
    }

    async fn get(&self, url: &Url, chain_headers: &[&str]) -> Result<Answer, SourceFailure> {
        let mut retries = 0;
        loop {
            let failure = match self.get_once(url, chain_headers).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if !failure.is_transient() || retries >= RETRIES_MAX {
                return Err(failure);
            }
            let wait = delay(
                self.timing.retry_first,
                retries,
                failure.retry_after(),
                random_u16(),
            );
            let Some(wait) = wait else {
                return Err(failure);
            };
            tokio::time::sleep(wait).await;
            retries = retries.saturating_add(1);
        }
    }

    async fn get_once(&self, url: &Url, chain_headers: &[&str]) -> Result<Answer, SourceFailure> {
        let request = self.http.get(url.clone()).timeout(self.timing.request);
        let response = request
            .send()
            .await
            .map_err(|error| transport(url, error))?;
        if response.status() != StatusCode::OK {
            return Err(SourceFailure::Status {
                path: url.path().to_owned(),
                status: response.status().as_u16(),
                retry_after: retry_after(&response),
            });
        }
        let issuer_chain = chain_headers
            .iter()
            .find_map(|name| response.headers().get(*name)?.to_str().ok())
            .map(str::to_owned);
        let body = read(url, response).await?;
        Ok(Answer { body, issuer_chain })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Client")
            .field("sources", &self.sources)
            .field("update", &self.update)
            .finish_non_exhaustive()
    }
}

/// Reads no more than an answer may have, whatever the source says of its length.
async fn read(url: &Url, mut response: Response) -> Result<Vec<u8>, SourceFailure> {
    let mut body = Vec::new();
    while let Some(piece) = response
        .chunk()
        .await
        .map_err(|error| transport(url, error))?
    {
        if body.len().saturating_add(piece.len()) > ANSWER_BYTES_MAX {
            return Err(SourceFailure::TooLarge {
                path: url.path().to_owned(),
            });
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// Whole seconds; the other form, a date, is left aside as no service here uses it.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?;
    seconds.trim().parse().ok().map(Duration::from_secs)
}

fn transport(url: &Url, error: reqwest::Error) -> SourceFailure {
    SourceFailure::Transport {
        path: url.path().to_owned(),
        source: error.without_url(),
    }
}
