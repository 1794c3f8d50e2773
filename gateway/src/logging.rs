//! The log: to standard error, readable on a terminal, JSON elsewhere.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::Environment;

/// What is logged unless `COCOON_LOG` says otherwise.
const FILTER: &str = "info";

/// Starts it. A filter that cannot be read is said and replaced by the default.
pub fn start(environment: &Environment) {
    let wanted = environment.log_filter.as_deref().unwrap_or(FILTER);
    let (filter, mistake) = match EnvFilter::try_new(wanted) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(FILTER), Some(error)),
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second start, as in tests, keeps the first.
    let _ = if std::io::stderr().is_terminal() {
        builder.finish().try_init()
    } else {
        builder.json().flatten_event(true).finish().try_init()
    };
    if let Some(error) = mistake {
        tracing::warn!(%error, "COCOON_LOG cannot be read");
    }
}
