//! Everything outside the process that [`crate::run()`] is given: the clock, the trust anchor, the source of collateral.
//! Only `main` says which.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use attestation::{Collateral, CollateralError, TrustAnchor};

/// The gateway's surroundings.
#[derive(Debug)]
pub struct World {
    pub clock: Arc<dyn Clock>,
    pub trust_anchor: TrustAnchor,
    pub collateral: Box<dyn CollateralSource>,
}

/// Where the gateway takes time from.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// Wall clock, microseconds since the Unix epoch. May jump.
    fn now_us(&self) -> u64;

    /// Time since some fixed moment. Never goes back; ages of sessions are counted by it.
    fn monotonic(&self) -> Duration;
}

/// The operating system's clock.
#[derive(Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock of the process's world"
    )]
    pub fn start() -> Self {
        Self {
            started: std::time::Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock of the process's world"
    )]
    fn now_us(&self) -> u64 {
        // A clock before 1970 or after the year 500,000 makes every certificate out of date, which is the right answer.
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .ok()
            .and_then(|since| u64::try_from(since.as_micros()).ok())
            .unwrap_or_default()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Where Intel's collateral comes from. Read in the background, never while a worker waits.
pub trait CollateralSource: Send + Sync + fmt::Debug + 'static {
    /// Everything there is now. May block.
    fn read(&self) -> CollateralReading;
}

/// What a source gave: what could be read, and why the rest could not.
#[derive(Debug, Default)]
pub struct CollateralReading {
    pub collateral: Vec<Collateral>,
    pub faults: Vec<CollateralFault>,
}

/// Why collateral could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CollateralFault {
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "{path} has more than {} bytes",
        attestation::collateral::COLLATERAL_BYTES_MAX
    )]
    TooLarge { path: PathBuf },
    #[error("{path} is not collateral")]
    Parse {
        path: PathBuf,
        #[source]
        source: CollateralError,
    },
}

/// A folder of `*.json`, each one platform family's collateral.
#[derive(Debug)]
pub struct CollateralFolder(pub PathBuf);

impl CollateralSource for CollateralFolder {
    fn read(&self) -> CollateralReading {
        let mut reading = CollateralReading::default();
        match json_files(&self.0) {
            Ok(paths) => {
                for path in paths {
                    match read_file(&path) {
                        Ok(collateral) => reading.collateral.push(collateral),
                        Err(fault) => reading.faults.push(fault),
                    }
                }
            }
            Err(source) => reading.faults.push(CollateralFault::Read {
                path: self.0.clone(),
                source,
            }),
        }
        reading
    }
}

fn json_files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            paths.push(path);
        }
    }
    // The order of a folder is anyone's guess; which of two files for one family wins must not be.
    paths.sort();
    Ok(paths)
}

fn read_file(path: &Path) -> Result<Collateral, CollateralFault> {
    let failed = |source| CollateralFault::Read {
        path: path.to_owned(),
        source,
    };
    let bytes_max = attestation::collateral::COLLATERAL_BYTES_MAX;
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if usize::try_from(length).unwrap_or(usize::MAX) > bytes_max {
        return Err(CollateralFault::TooLarge {
            path: path.to_owned(),
        });
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    Collateral::from_json(&bytes).map_err(|source| CollateralFault::Parse {
        path: path.to_owned(),
        source,
    })
}
