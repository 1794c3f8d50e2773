//! Whether the service that gives out collateral has this platform's.

use std::path::Path;

use anyhow::Context;
use attestation::{Collateral, Quote, Verifier};
use pccs::{Acceptance, Attempt, Client, FetchError, Options, Source};

use super::examination::Examination;
use crate::{checks::chain, input};

const NAME: &str = "collateral service";

/// Whom to ask, and how to know it.
pub(super) struct Service {
    client: Client,
    url: String,
}

impl Service {
    pub(super) fn new(url: &Source, ca: Option<&Path>) -> anyhow::Result<Self> {
        let ca = match ca {
            Some(path) => Some(input::read(path, &mut std::io::empty())?),
            None => None,
        };
        let options = Options {
            sources: vec![url.clone()],
            ca,
            ..Options::default()
        };
        Ok(Self {
            client: Client::new(options).context("the service cannot be asked")?,
            url: url.to_string(),
        })
    }

    /// Fetches and verifies the collateral of the quote's platform.
    fn fetch(&self, quote: &Quote, verifier: &Verifier, now_s: u64) -> Result<Collateral, String> {
        let family = quote.family().map_err(|error| chain(&error))?;
        let acceptance = Acceptance {
            verifier,
            now_s,
            held: None,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let fetched = runtime.block_on(self.client.fetch(family, &acceptance));
        match fetched {
            Ok(fetched) => Ok(fetched.collateral.into_collateral()),
            Err(error) => Err(last(&error)),
        }
    }
}

fn last(error: &FetchError) -> String {
    let attempt = error.attempts.last();
    attempt.map_or_else(|| error.to_string(), Attempt::to_string)
}

pub(super) fn examine(
    service: Option<&Service>,
    quote: Option<&Quote>,
    verifier: &Verifier,
    now_s: u64,
) -> (Examination, Option<Collateral>) {
    let (service, quote) = match (service, quote) {
        (None, _) => return (Examination::skip(NAME, "no --url was given"), None),
        (_, None) => {
            let why = "no quote that says for which platform";
            return (Examination::skip(NAME, why), None);
        }
        (Some(service), Some(quote)) => (service, quote),
    };
    match service.fetch(quote, verifier, now_s) {
        Ok(collateral) => {
            let seen = format!(
                "{} has this platform's: FMSPC {}",
                service.url,
                hex::encode(collateral.fmspc())
            );
            (Examination::pass(NAME, seen), Some(collateral))
        }
        Err(error) => {
            let remedy = "let this machine or the gateway's reach the service (DNS, firewall, --pccs-ca); a PCCS must have the platform \
                          registered";
            (Examination::fail(NAME, error, remedy), None)
        }
    }
}
