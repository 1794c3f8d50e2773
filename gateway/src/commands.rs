//! The command line: what `main` hands over, each subcommand one function.

mod access;
mod check;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, ConfigError, Environment};
use crate::init::{InitError, Initialise, initialise};
use crate::problem::chain;
use crate::run::RunError;
use crate::world::World;

pub(crate) use access::create;
pub use access::{AccessCommand, AccessError};

/// Where a package puts the configuration.
pub const CONFIG_DEFAULT: &str = "/etc/cocoon/gateway/gateway.toml";
/// A configuration that is not usable (`EX_CONFIG` of sysexits.h): systemd need not restart into it.
const EXIT_CONFIG: u8 = 78;

/// The gateway of a cocoon pool: admits attested workers, queues tasks, serves the API.
#[derive(Debug, Parser)]
#[command(name = "cocoon-gateway", version, max_term_width = 120)]
pub struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    config: ConfigFile,
}

#[derive(Debug, Clone, Args)]
pub struct ConfigFile {
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = CONFIG_DEFAULT, global = true)]
    config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway (the default).
    Run,
    /// Write a new pool's CA, certificates, configuration and first operator's access token.
    Init(Initialise),
    /// Make, list and revoke access tokens; works while the gateway runs.
    #[command(subcommand)]
    Access(AccessCommand),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print the OpenAPI document.
    Openapi,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Read the configuration and every file that it names, and report all mistakes.
    Check,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error(transparent)]
    Config(ConfigError),
    #[error(transparent)]
    Run(RunError),
    #[error(transparent)]
    Init(InitError),
    #[error(transparent)]
    Access(AccessError),
    #[error("the OpenAPI document cannot be written")]
    Openapi(#[source] serde_json::Error),
    #[error("the runtime cannot be started")]
    Runtime(#[source] std::io::Error),
    #[error("signals cannot be received")]
    Signals(#[source] std::io::Error),
    #[error("cannot write to standard output")]
    Output(#[source] std::io::Error),
}

impl CommandError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_)
            | Self::Run(
                RunError::Policy { .. }
                | RunError::Identity(_)
                | RunError::ApiTls(_)
                | RunError::Pccs(_)
                | RunError::Read { .. },
            ) => ExitCode::from(EXIT_CONFIG),
            _ => ExitCode::FAILURE,
        }
    }
}

/// Executes the command; `world` is asked for only by what runs a gateway, or looks at what a run would find.
pub fn execute(
    arguments: Arguments,
    environment: &Environment,
    world: impl FnOnce(&Config) -> World,
) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads())
        .enable_all()
        .build()
        .map_err(CommandError::Runtime);
    let outcome =
        runtime.and_then(|runtime| runtime.block_on(dispatch(arguments, environment, world)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr(), "cocoon-gateway: {}", chain(&error));
            error.exit_code()
        }
    }
}

/// One core is left to the store's writer: on two cores a second thread mostly wakes to find that the first has done it all.
fn threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    cores.saturating_sub(1).max(1)
}

async fn dispatch(
    arguments: Arguments,
    environment: &Environment,
    world: impl FnOnce(&Config) -> World,
) -> Result<(), CommandError> {
    let path = arguments.config.config;
    let config = || Config::from_file(&path).map_err(CommandError::Config);
    match arguments.command.unwrap_or(Command::Run) {
        Command::Run => run(config()?, environment, world).await,
        Command::Init(options) => {
            let done = initialise(&options).await.map_err(CommandError::Init)?;
            print(&done)
        }
        Command::Access(command) => {
            let text = access::execute(command, &config()?).await;
            print(&text.map_err(CommandError::Access)?)
        }
        Command::Config(ConfigCommand::Check) => {
            let config = config()?;
            let policy = crate::run::read_files(&config)
                .await
                .map_err(CommandError::Run)?;
            let notes = check::notes(&config, &policy, &world(&config));
            print(&format!("{}: no mistakes\n{notes}", path.display()))
        }
        Command::Openapi => {
            let text = crate::openapi()
                .to_pretty_json()
                .map_err(CommandError::Openapi)?;
            print(&format!("{text}\n"))
        }
    }
}

async fn run(
    config: Config,
    environment: &Environment,
    world: impl FnOnce(&Config) -> World,
) -> Result<(), CommandError> {
    crate::logging::start(environment);
    let world = world(&config);
    let shutdown = CancellationToken::new();
    let signalled = until_signal().map_err(CommandError::Signals)?;
    let gateway = crate::run::run(config, world, shutdown.clone());
    let mut gateway = std::pin::pin!(gateway);
    let ended = tokio::select! {
        ended = &mut gateway => ended,
        () = signalled => {
            shutdown.cancel();
            gateway.await
        }
    };
    ended.map_err(CommandError::Run)
}

/// Resolves at SIGTERM or SIGINT. Both are caught from here on.
pub fn until_signal() -> Result<impl Future<Output = ()>, std::io::Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn print(text: &str) -> Result<(), CommandError> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(CommandError::Output)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
        let arguments = Arguments::parse_from(["cocoon-gateway", "--config", "x.toml"]);
        assert!(arguments.command.is_none());
        let arguments =
            Arguments::parse_from(["cocoon-gateway", "access", "list", "--config", "x.toml"]);
        assert_eq!(arguments.config.config, PathBuf::from("x.toml"));
    }
}
