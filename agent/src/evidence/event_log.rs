//! The event logs of this TD, read once at the start: the boot has ended before the agent runs.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use attestation::event_log::{
    CCEL_AREA_BYTES_MAX, Ccel, RUN_TIME_LOG_BYTES_MAX, RunTimeLog, RunTimeLogError,
};
use attestation::{EventLog, EventLogError};

use crate::config::EventLogConfig;

/// Why the configured event logs cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum EventLogFileError {
    #[error("cannot read {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is longer than {bytes_max} bytes", path.display())]
    TooLong { path: PathBuf, bytes_max: usize },
    #[error("{} is no CCEL", path.display())]
    Ccel {
        path: PathBuf,
        #[source]
        source: EventLogError,
    },
    #[error("{} is not text", path.display())]
    Text {
        path: PathBuf,
        #[source]
        source: std::string::FromUtf8Error,
    },
    #[error("{} is no run-time event log", path.display())]
    RunTime {
        path: PathBuf,
        #[source]
        source: RunTimeLogError,
    },
    #[error("the event logs do not fit into the evidence")]
    Pack(#[source] EventLogError),
}

/// The content of the evidence's `event-log` member.
pub fn read_event_log(config: &EventLogConfig) -> Result<Vec<u8>, EventLogFileError> {
    let log = EventLog {
        ccel: ccel(&config.ccel)?,
        run_time: match &config.runtime {
            Some(path) => run_time(path)?,
            None => RunTimeLog::default(),
        },
    };
    log.encode().map_err(EventLogFileError::Pack)
}

fn ccel(path: &Path) -> Result<Ccel, EventLogFileError> {
    let area = read_bounded(path, CCEL_AREA_BYTES_MAX)?;
    Ccel::parse(&area).map_err(|source| EventLogFileError::Ccel {
        path: path.to_owned(),
        source,
    })
}

fn run_time(path: &Path) -> Result<RunTimeLog, EventLogFileError> {
    let bytes = read_bounded(path, RUN_TIME_LOG_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|source| EventLogFileError::Text {
        path: path.to_owned(),
        source,
    })?;
    text.parse().map_err(|source| EventLogFileError::RunTime {
        path: path.to_owned(),
        source,
    })
}

fn read_bounded(path: &Path, bytes_max: usize) -> Result<Vec<u8>, EventLogFileError> {
    let failed = |source| EventLogFileError::Read {
        path: path.to_owned(),
        source,
    };
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(failed)?
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() > bytes_max {
        return Err(EventLogFileError::TooLong {
            path: path.to_owned(),
            bytes_max,
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
