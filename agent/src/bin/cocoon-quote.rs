//! `cocoon-quote`: the small privileged broker that alone touches configfs-tsm.
//!
//! Exit codes: 0 stopped in order, 1 error, 64 usage, 78 configuration.

use std::path::PathBuf;
use std::process::ExitCode;

use agent::command_line::{self, CONFIGURATION, EXIT_CODES};
use agent::config::chain;
use agent::logging;
use agent::quote::broker::Broker;
use agent::quote::config::QuoteConfig;
use agent::quote::configfs_tsm::TsmReports;
use agent::quote::listener::listen;
use clap::Parser;
use tokio::net::UnixListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const CONFIG_DEFAULT: &str = "/etc/cocoon/quote.toml";

/// Makes TDX quotes for the worker on this machine.
#[derive(Debug, Parser)]
#[command(name = "cocoon-quote", version, after_help = EXIT_CODES)]
struct Arguments {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = CONFIG_DEFAULT)]
    config: PathBuf,
    /// Which messages to log, such as `info` or `agent=debug`.
    #[arg(long, value_name = "FILTER", default_value = logging::FILTER_DEFAULT)]
    log: String,
}

fn main() -> ExitCode {
    let arguments: Arguments = match command_line::parse() {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    logging::start(&arguments.log);
    let config = match QuoteConfig::load(&arguments.config) {
        Ok(config) => config,
        Err(error) => {
            tracing::error!("{}", chain(&error));
            return ExitCode::from(CONFIGURATION);
        }
    };
    match serve(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{}", chain(&*error));
            ExitCode::FAILURE
        }
    }
}

fn serve(config: QuoteConfig) -> Result<(), Box<dyn std::error::Error>> {
    let listener = listen(config.socket.as_deref())?;
    listener.set_nonblocking(true)?;
    let broker = Broker::new(TsmReports::new(config.tsm_report_dir), config.rules);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = UnixListener::from_std(listener)?;
        let shutdown = CancellationToken::new();
        let mut signals = JoinSet::new();
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            signals.spawn(watch(signal(kind)?, shutdown.clone()));
        }
        tracing::info!("listening");
        sd_notify::notify(&[sd_notify::NotifyState::Ready])?;
        broker.serve(listener, shutdown).await;
        Ok(())
    })
}

async fn watch(mut signal: Signal, shutdown: CancellationToken) {
    if signal.recv().await.is_some() {
        shutdown.cancel();
    }
}
