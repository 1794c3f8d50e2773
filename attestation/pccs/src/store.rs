//! The store: a folder with one file for each family, `<fmspc>-<ca>.json`, each written whole or not at all.
//!
//! Whoever reads the folder takes every `*.json` in it, so that an operator may put files there by hand, under any name. Of
//! two for one family the store's own counts, unless the other is newer in some part and older in none.

mod file;

pub use file::write_whole;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use attestation::{Collateral, CollateralError, Family, Tee, VerifiedCollateral};

use crate::{acceptance::not_older, limits::FAMILIES_MAX};

/// The folder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CollateralStore {
    folder: PathBuf,
}

/// One file of the folder.
#[derive(Debug)]
pub struct Stored {
    /// Where.
    pub path: PathBuf,
    /// What it says; nothing of it is believed.
    pub collateral: Collateral,
}

/// Everything in the folder: what could be read, and why the rest could not.
#[derive(Debug, Default)]
pub struct Reading {
    /// By name of the file.
    pub stored: Vec<Stored>,
    /// What is no collateral, or cannot be read.
    pub faults: Vec<CollateralFault>,
}

impl Reading {
    /// What is held for TDs, by family. Of several files the store's own counts, or else the first by name, until one comes
    /// that [`crate::Acceptance`] would take in its place: newer TCB info does not make up for an older revocation list.
    #[must_use]
    pub fn families(mut self) -> BTreeMap<Family, Collateral> {
        // Stable: all others stay in the order of their names.
        self.stored.sort_by_key(|stored| !stored.is_own());
        let mut families: BTreeMap<Family, Collateral> = BTreeMap::new();
        let collateral = self.stored.into_iter().map(|stored| stored.collateral);
        for candidate in collateral.filter(|candidate| candidate.tee() == Tee::Tdx) {
            let Some(family) = candidate.family() else {
                continue;
            };
            let known = families.get(&family);
            if known.is_none_or(|known| is_newer(&candidate, known)) {
                families.insert(family, candidate);
            }
        }
        families
    }
}

impl Stored {
    /// Whether the store wrote it, after its name.
    fn is_own(&self) -> bool {
        let family = self.collateral.family();
        family.is_some_and(|family| self.path.ends_with(file_name(family)))
    }
}

/// The name of the store's own file.
fn file_name(family: Family) -> String {
    format!("{family}.json")
}

/// Newer in some part, and older in none.
fn is_newer(candidate: &Collateral, known: &Collateral) -> bool {
    not_older(known, candidate).is_ok() && not_older(candidate, known).is_err()
}

/// What became of collateral that was put into the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It was written.
    Written,
    /// The very same was there already.
    Unchanged,
}

/// Why a file of the folder is of no use.
#[derive(Debug, thiserror::Error)]
pub enum CollateralFault {
    /// Not to be read.
    #[error("cannot read {path}")]
    Read {
        /// The file or the folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Longer than any collateral.
    #[error(
        "{path} has more than {} bytes",
        attestation::collateral::COLLATERAL_BYTES_MAX
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Something else.
    #[error("{path} is not collateral")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: CollateralError,
    },
}

/// Why collateral cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not to be written.
    #[error("cannot write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It has no JSON again.
    #[error("the collateral cannot be written as JSON")]
    Json(#[source] CollateralError),
    /// It names no family.
    #[error("the collateral's PCK CRL is of neither of Intel's PCK CAs")]
    NoFamily,
    /// Too many families.
    #[error("the store holds {FAMILIES_MAX} families already")]
    Full,
    /// The process stops.
    #[error("the work on the store was interrupted")]
    Interrupted,
}

impl CollateralStore {
    /// The store in this folder.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
        }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Everything in the folder.
    #[must_use]
    pub fn read(&self) -> Reading {
        let mut reading = Reading::default();
        match file::json_files(&self.folder) {
            Ok(paths) => {
                for path in paths {
                    match file::read(&path) {
                        Ok(collateral) => reading.stored.push(Stored { path, collateral }),
                        Err(fault) => reading.faults.push(fault),
                    }
                }
            }
            Err(source) => reading.faults.push(CollateralFault::Read {
                path: self.folder.clone(),
                source,
            }),
        }
        reading
    }

    /// What is held for TDs of this family.
    #[must_use]
    pub fn find(&self, family: Family) -> Option<Collateral> {
        self.read().families().remove(&family)
    }

    /// Writes collateral in the place of what is held for its family. That it is not older, [`crate::Acceptance`] has seen to.
    pub fn put(&self, collateral: &VerifiedCollateral) -> Result<Put, StoreError> {
        let collateral = collateral.collateral();
        let family = collateral.family().ok_or(StoreError::NoFamily)?;
        let path = self.folder.join(file_name(family));
        match file::read(&path) {
            Ok(held) if &held == collateral => return Ok(Put::Unchanged),
            Err(CollateralFault::Read { .. }) => self.make_room(&path)?,
            _ => {}
        }
        let json = collateral.to_json().map_err(StoreError::Json)?;
        write_whole(&path, json.as_bytes()).map_err(|source| StoreError::Write { path, source })?;
        Ok(Put::Written)
    }

    /// A new file may come if there are not too many.
    fn make_room(&self, path: &Path) -> Result<(), StoreError> {
        std::fs::create_dir_all(&self.folder)
            .and_then(|()| file::json_files(&self.folder))
            .map_err(|source| StoreError::Write {
                path: path.to_owned(),
                source,
            })
            .and_then(|files| {
                if files.len() < FAMILIES_MAX {
                    Ok(())
                } else {
                    Err(StoreError::Full)
                }
            })
    }
}
