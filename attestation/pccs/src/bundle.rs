//! A whole store as one file, for pools without a network: carried in by hand, and believed no more than the network.

use std::io::Read;

use attestation::{Collateral, CollateralError, Family, Tee, Verifier};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    Acceptance, CollateralStore, Put, Rejection, StoreError,
    limits::{BUNDLE_BYTES_MAX, FAMILIES_MAX},
};

/// Names the shape of the file.
const SCHEMA: &str = "cocoon/collateral-bundle/1";

/// Collateral of several families, each entry parsed by itself.
#[derive(Debug)]
pub struct Bundle {
    /// In the order of the file.
    pub entries: Vec<Entry>,
}

/// One entry: collateral for a TD's family, or why it is none.
pub type Entry = Result<(Family, Collateral), EntryError>;

/// Why an entry of a bundle is of no use.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Not an entry.
    #[error("the entry is not the JSON of one")]
    Json(#[source] serde_json::Error),
    /// Not collateral.
    #[error("the entry is not collateral")]
    Collateral(#[source] CollateralError),
    /// For enclaves, or of neither PCK CA.
    #[error("the entry is for no family of TDs")]
    NoFamily,
    /// Labelled otherwise.
    #[error("the entry is labelled {label} and is for {family}")]
    Label {
        /// What the label says.
        label: String,
        /// What the collateral says.
        family: Family,
    },
    /// Not to be held.
    #[error("the entry is refused")]
    Refused(#[source] Rejection),
    /// The store did not take it.
    #[error("the entry cannot be kept")]
    Store(#[source] StoreError),
}

/// What became of one entry.
#[derive(Debug)]
pub struct Imported {
    /// For which family; `None` where the entry does not say.
    pub family: Option<Family>,
    /// Kept, or why not.
    pub outcome: Result<Put, EntryError>,
}

/// Why a file is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Not to be read.
    #[error("the bundle cannot be read")]
    Read(#[source] std::io::Error),
    /// Too long.
    #[error("the bundle has more than {BUNDLE_BYTES_MAX} bytes")]
    TooLarge,
    /// Not JSON of a bundle.
    #[error("the bundle is not the JSON of one")]
    Json(#[source] serde_json::Error),
    /// Another schema.
    #[error("the bundle's schema is `{0}`, not `{SCHEMA}`")]
    Schema(String),
    /// Too many entries.
    #[error("the bundle has {0} entries, more than {FAMILIES_MAX}")]
    Entries(usize),
}

#[derive(Deserialize)]
struct Document<'a> {
    schema: String,
    #[serde(borrow)]
    entries: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Labelled<'a> {
    family: String,
    #[serde(borrow)]
    collateral: &'a RawValue,
}

#[derive(Serialize)]
struct NewDocument<'a> {
    schema: &'static str,
    entries: Vec<NewEntry<'a>>,
}

#[derive(Serialize)]
struct NewEntry<'a> {
    family: String,
    collateral: &'a Collateral,
}

impl Bundle {
    /// Reads a bundle; entries that are of no use are in it with the reason.
    pub fn read(source: impl Read) -> Result<Self, BundleError> {
        let mut text = Vec::new();
        let mut bounded = source.take(BUNDLE_BYTES_MAX.saturating_add(1));
        bounded.read_to_end(&mut text).map_err(BundleError::Read)?;
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > BUNDLE_BYTES_MAX {
            return Err(BundleError::TooLarge);
        }
        let document: Document<'_> = serde_json::from_slice(&text).map_err(BundleError::Json)?;
        if document.schema != SCHEMA {
            return Err(BundleError::Schema(document.schema));
        }
        if document.entries.len() > FAMILIES_MAX {
            return Err(BundleError::Entries(document.entries.len()));
        }
        let entries = document.entries.into_iter().map(entry).collect();
        Ok(Self { entries })
    }

    /// Everything that a store holds for TDs, one entry a family.
    #[must_use]
    pub fn of(store: &CollateralStore) -> Self {
        let families = store.read().families();
        let entries = families.into_iter().map(Ok).collect();
        Self { entries }
    }

    /// The file's text. Entries that are of no use are left out.
    pub fn to_json(&self) -> Result<String, BundleError> {
        let sound = self.entries.iter().flatten();
        let entries = sound
            .map(|(family, collateral)| NewEntry {
                family: family.to_string(),
                collateral,
            })
            .collect();
        let document = NewDocument {
            schema: SCHEMA,
            entries,
        };
        serde_json::to_string(&document).map_err(BundleError::Json)
    }

    /// Puts every entry into the store that verifies at `now_s` and is not older than what is held; says what became of each.
    #[must_use = "some entries may have been refused"]
    pub fn import(self, store: &CollateralStore, verifier: &Verifier, now_s: u64) -> Vec<Imported> {
        let mut held = store.read().families();
        let mut import = |family, offered: Collateral| {
            let acceptance = Acceptance {
                verifier,
                now_s,
                held: held.get(&family),
            };
            let accepted = acceptance.accept(family, offered);
            let accepted = accepted.map_err(EntryError::Refused)?;
            let put = store.put(&accepted).map_err(EntryError::Store)?;
            held.insert(family, accepted.into_collateral());
            Ok(put)
        };
        let entries = self.entries.into_iter();
        entries
            .map(|entry| match entry {
                Ok((family, offered)) => Imported {
                    family: Some(family),
                    outcome: import(family, offered),
                },
                Err(error) => Imported {
                    family: None,
                    outcome: Err(error),
                },
            })
            .collect()
    }
}

fn entry(raw: &RawValue) -> Entry {
    let labelled: Labelled<'_> = serde_json::from_str(raw.get()).map_err(EntryError::Json)?;
    let collateral = Collateral::from_json(labelled.collateral.get().as_bytes());
    let collateral = collateral.map_err(EntryError::Collateral)?;
    let family = collateral.family();
    let family = family.filter(|_| collateral.tee() == Tee::Tdx);
    let family = family.ok_or(EntryError::NoFamily)?;
    if labelled.family != family.to_string() {
        return Err(EntryError::Label {
            label: labelled.family,
            family,
        });
    }
    Ok((family, collateral))
}
