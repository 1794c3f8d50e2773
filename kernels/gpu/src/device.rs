//! Which GPU, and what it is called in the table.

use std::fmt;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use kernels::executor::cuda::{self, DeviceFacts};

/// The GPU that is looked at.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) uuid: String,
    /// The folder of the model for `embed`.
    pub(crate) model: Option<PathBuf>,
    facts: DeviceFacts,
}

impl Device {
    /// The device of this UUID, or the first.
    pub(crate) fn find(wanted: Option<&str>, model: Option<PathBuf>) -> Result<Self> {
        let devices = cuda::devices().context("this machine has no GPU that can be used")?;
        let known: Vec<_> = devices.iter().map(|facts| facts.uuid.as_str()).collect();
        let known = known.join(", ");
        let facts = devices
            .into_iter()
            .find(|facts| wanted.is_none_or(|wanted| facts.uuid == wanted));
        ensure!(
            facts.is_some(),
            "there is no GPU {}; CUDA sees {known}",
            wanted.unwrap_or("at all")
        );
        let facts = facts.context("no GPU")?;
        Ok(Self {
            uuid: facts.uuid.clone(),
            model,
            facts,
        })
    }
}

impl fmt::Display for Device {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let facts = &self.facts;
        write!(
            formatter,
            "{} ({}), {} MiB, driver of {}",
            facts.name,
            facts.uuid,
            facts.memory_bytes / (1024 * 1024),
            facts.driver_version
        )
    }
}
