//! One family, from the sources into the store.

use attestation::{Collateral, Family, Verifier};

use crate::{Acceptance, Attempt, Client, CollateralStore, FetchError, Put, Source, StoreError};

/// What a refresh came to.
#[derive(Debug)]
pub struct Refreshed {
    /// What the store holds now.
    pub collateral: Collateral,
    /// Whether that is new.
    pub put: Put,
    /// Who sent it.
    pub source: Source,
    /// Who did not.
    pub attempts: Vec<Attempt>,
}

/// Why a refresh came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// No source helped.
    #[error("the collateral of a family cannot be fetched")]
    Fetch(#[source] FetchError),
    /// The store did not take it.
    #[error("the collateral of a family cannot be kept")]
    Store(#[source] StoreError),
}

/// Fetches one family's collateral, held against what the store has, and puts it there.
pub async fn refresh(
    client: &Client,
    store: &CollateralStore,
    verifier: &Verifier,
    family: Family,
    now_s: u64,
) -> Result<Refreshed, RefreshError> {
    let held = in_background(store, move |store| Ok(store.find(family))).await?;
    let acceptance = Acceptance {
        verifier,
        now_s,
        held: held.as_ref(),
    };
    let fetched = client.fetch(family, &acceptance).await;
    let fetched = fetched.map_err(RefreshError::Fetch)?;
    let collateral = fetched.collateral.collateral().clone();
    let put = in_background(store, move |store| store.put(&fetched.collateral)).await?;
    Ok(Refreshed {
        collateral,
        put,
        source: fetched.source,
        attempts: fetched.attempts,
    })
}

/// Files are read and written off the runtime's threads.
async fn in_background<T: Send + 'static>(
    store: &CollateralStore,
    work: impl FnOnce(&CollateralStore) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, RefreshError> {
    let store = store.clone();
    let done = tokio::task::spawn_blocking(move || work(&store)).await;
    done.unwrap_or(Err(StoreError::Interrupted))
        .map_err(RefreshError::Store)
}
