//! One service, one client, one platform family in good order. A test changes one thing.

use std::time::Duration;

use attestation::{Collateral, Family, Verifier};
use pccs::{
    Acceptance, Client, FetchError, Fetched, Options, Rejection, Source, SourceFailure, Timing,
    Update,
};
use simulator::{CollateralOptions, SimulatedPlatform, pcs::PcsServer};

pub(crate) const NOW_S: u64 = 1_790_000_000;
pub(crate) const DAY_S: u64 = 86_400;

pub(crate) struct World {
    pub(crate) platform: SimulatedPlatform,
    pub(crate) server: PcsServer,
}

impl World {
    /// A service that has good collateral.
    pub(crate) async fn new() -> Self {
        let platform = SimulatedPlatform::from_seed(3);
        let server = PcsServer::start().await.unwrap();
        server.serve(platform.pcs_parts(&CollateralOptions::at(NOW_S)));
        Self { platform, server }
    }

    /// A service that has what these options make.
    pub(crate) async fn with(change: impl FnOnce(&mut CollateralOptions)) -> Self {
        let world = Self::new().await;
        let mut options = CollateralOptions::at(NOW_S);
        change(&mut options);
        let mut parts = world.platform.pcs_parts(&options);
        // Served under the family's name even where it is another's.
        parts.fmspc = hex::encode(simulator::FMSPC);
        world.server.serve(parts);
        world
    }

    pub(crate) fn family(&self) -> Family {
        self.collateral(|_| {}).family().unwrap()
    }

    pub(crate) fn collateral(&self, change: impl FnOnce(&mut CollateralOptions)) -> Collateral {
        let mut options = CollateralOptions::at(NOW_S);
        change(&mut options);
        self.platform.collateral(&options)
    }

    pub(crate) fn verifier(&self) -> Verifier {
        Verifier::new(self.platform.trust_anchor())
    }

    pub(crate) fn client(&self) -> Client {
        client(&[&self.server.url()])
    }

    /// What the service has, held against nothing.
    pub(crate) async fn fetch(&self) -> Result<Fetched, FetchError> {
        self.fetch_over(None).await
    }

    /// What the service has, held against this.
    pub(crate) async fn fetch_over(
        &self,
        held: Option<&Collateral>,
    ) -> Result<Fetched, FetchError> {
        let verifier = self.verifier();
        let acceptance = Acceptance {
            verifier: &verifier,
            now_s: NOW_S,
            held,
        };
        self.client().fetch(self.family(), &acceptance).await
    }

    /// Why the one source did not help.
    pub(crate) async fn failure(&self) -> SourceFailure {
        only(self.fetch().await.unwrap_err())
    }
}

/// Now, and with nothing held.
pub(crate) const fn over_nothing(verifier: &Verifier) -> Acceptance<'_> {
    Acceptance {
        verifier,
        now_s: NOW_S,
        held: None,
    }
}

pub(crate) fn only(error: FetchError) -> SourceFailure {
    let mut attempts = error.attempts.into_iter();
    let attempt = attempts.next().unwrap();
    assert!(attempts.next().is_none());
    attempt.failure
}

pub(crate) fn rejection(failure: SourceFailure) -> Rejection {
    match failure {
        SourceFailure::Refused(rejection) => rejection,
        other => panic!("{other:?}"),
    }
}

/// A client that waits for nothing.
pub(crate) fn client(urls: &[&str]) -> Client {
    Client::new(options(urls)).unwrap()
}

pub(crate) fn options(urls: &[&str]) -> Options {
    let sources = urls.iter().map(|url| url.parse::<Source>().unwrap());
    Options {
        sources: sources.collect(),
        update: Update::Standard,
        ca: None,
        timing: Timing {
            request: Duration::from_secs(1),
            source: Duration::from_secs(20),
            retry_first: Duration::from_millis(1),
        },
    }
}
