//! Collateral, fetched before it ends and where a worker was refused for want of it. In the background: whoever attests
//! takes what is on the shelf.

use std::sync::Arc;

use attestation::{Family, Verifier};
use pccs::agenda::{Agenda, Wish};
use pccs::{Client, CollateralStore, Put, RefreshError, Refreshed};

use crate::gateway::{Gateway, random_u16};
use crate::housekeeping::read_collateral;
use crate::limits::COLLATERAL_INTERVAL;
use crate::problem::chain;
use crate::world::CollateralSource;

/// Fetches one family after the other, so there is never a second request for one that is on its way.
#[derive(Debug)]
pub(crate) struct Refresh {
    gateway: Arc<Gateway>,
    client: Client,
    store: CollateralStore,
    /// What the gateway reads its shelf from: the store's folder.
    source: Arc<dyn CollateralSource>,
    verifier: Verifier,
    agenda: Agenda,
}

impl Refresh {
    pub(crate) fn new(
        gateway: &Arc<Gateway>,
        client: Client,
        store: CollateralStore,
        source: Arc<dyn CollateralSource>,
    ) -> Self {
        Self {
            gateway: Arc::clone(gateway),
            client,
            store,
            source,
            verifier: Verifier::new(gateway.relying_party.trust_anchor().clone()),
            agenda: Agenda::default(),
        }
    }

    /// Runs until the gateway stops.
    pub(crate) async fn run(mut self) -> &'static str {
        let stopping = self.gateway.stopping.clone();
        let ended = stopping.run_until_cancelled(self.look_for_ever()).await;
        ended.unwrap_or("refresh")
    }

    async fn look_for_ever(&mut self) -> &'static str {
        loop {
            self.look().await;
            let missed = self.gateway.relying_party.collateral.missed();
            // What else is due is seen at the next look.
            let missed = tokio::time::timeout(COLLATERAL_INTERVAL, missed).await;
            for family in missed.unwrap_or_default() {
                self.want(family);
            }
        }
    }

    fn want(&mut self, family: Family) {
        match self.agenda.want(family, self.now_s()) {
            Wish::Taken => tracing::info!(%family, "a worker needs collateral of this family"),
            Wish::Known => {}
            wish => {
                tracing::warn!(%family, ?wish, "collateral of this family is not looked for now");
            }
        }
    }

    /// Everything that is due now.
    async fn look(&mut self) {
        let held = self.gateway.relying_party.collateral.all();
        let held = held
            .iter()
            .map(|(family, held)| (*family, &held.collateral));
        self.agenda.hold(held, self.now_s(), jitter());
        while let Some(family) = self.agenda.due(self.now_s()) {
            let now_s = self.now_s();
            let refreshed =
                pccs::refresh(&self.client, &self.store, &self.verifier, family, now_s).await;
            match refreshed {
                Ok(refreshed) => self.succeeded(family, &refreshed, now_s).await,
                Err(error) => self.failed(family, &error),
            }
        }
    }

    async fn succeeded(&mut self, family: Family, refreshed: &Refreshed, now_s: u64) {
        for attempt in &refreshed.attempts {
            tracing::warn!(%family, %attempt, "a source of collateral did not help");
        }
        let next_update_s = refreshed.collateral.next_update_s();
        let outcome = match refreshed.put {
            Put::Written => "new",
            Put::Unchanged => "unchanged",
        };
        tracing::info!(%family, outcome, source = %refreshed.source, next_update_s, "collateral fetched");
        self.gateway
            .metrics
            .collateral_fetched(family, outcome, now_s);
        self.agenda
            .succeeded(family, &refreshed.collateral, now_s, jitter());
        read_collateral(&self.gateway, &self.source).await;
    }

    fn failed(&mut self, family: Family, error: &RefreshError) {
        let outcome = match error {
            RefreshError::Fetch(error) => {
                for attempt in &error.attempts {
                    tracing::warn!(%family, %attempt, "a source of collateral did not help");
                }
                error.kind().as_str()
            }
            RefreshError::Store(_) => "store",
        };
        tracing::error!(%family, error = chain(error), "collateral was not refreshed; what is held stays");
        self.gateway.metrics.collateral_fetch(outcome);
        self.agenda.failed(family, self.now_s(), jitter());
    }

    fn now_s(&self) -> u64 {
        self.gateway.clock.now_us() / 1_000_000
    }
}

/// Without one from the system everything is merely looked for as late as it may be.
fn jitter() -> u16 {
    random_u16().unwrap_or(u16::MAX)
}
