//! Logs: to standard error, for people on a terminal and as JSON lines elsewhere. No secret has a `Display` or a `Debug`
//! that shows it.

use std::io::IsTerminal;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// Which levels are shown, in the syntax of `tracing_subscriber::EnvFilter`.
pub const FILTER_DEFAULT: &str = "info";

/// Starts logging. `filter` comes from the command line; a malformed directive in it is skipped.
pub fn start(filter: &str) {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse_lossy(filter);
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // Fails only when a subscriber is set already, as in tests.
    let _ = if std::io::stderr().is_terminal() {
        subscriber.try_init()
    } else {
        subscriber.json().flatten_event(true).try_init()
    };
}
