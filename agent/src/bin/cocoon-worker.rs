//! `cocoon-worker`: attest, lease, execute, report.
//!
//! Exit codes: 0 stopped in order, 1 error, 64 usage, 78 configuration.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use agent::command_line::{self, CONFIGURATION, EXIT_CODES, say, say_error};
use agent::config::{Config, ConfigError, chain};
use agent::model::{FetchError, Source};
use agent::{World, logging};
use attestation::gpu::GpuTrustAnchor;
use clap::{Parser, Subcommand};
use kernels::executor::cuda::CudaExecutor;
use kernels::executor::{CpuExecutor, serve_stdin};
use protocol::catalogue::models::ALL_MINILM_L6_V2;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

const CONFIG_DEFAULT: &str = "/etc/cocoon/worker.toml";

/// Runs tasks of a confidential GPU pool on this machine.
#[derive(Debug, Parser)]
#[command(name = "cocoon-worker", version, args_conflicts_with_subcommands = true, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    run: RunArguments,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the worker (the default).
    Run(RunArguments),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// The model that `embed` computes with.
    #[command(subcommand)]
    Model(ModelCommand),
    /// The executor child; its standard input is the agent's socket.
    #[command(hide = true)]
    Executor(ExecutorArguments),
}

#[derive(Debug, Subcommand)]
enum ModelCommand {
    /// Put the files of all-MiniLM-L6-v2 into a folder for `[model] directory`, each verified against its pinned digest.
    Fetch {
        /// A folder, or the URL under which a server has the files.
        #[arg(long, value_name = "FOLDER or URL")]
        from: Source,
        /// Where the files go.
        #[arg(long, value_name = "FOLDER")]
        to: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct ExecutorArguments {
    /// The folder of the model that `embed` computes with.
    #[arg(long, value_name = "FOLDER")]
    model: Option<PathBuf>,
    /// Compute on the GPU of this UUID, not on the CPU.
    #[arg(long, value_name = "UUID")]
    cuda: Option<String>,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Read the configuration file and everything it names, and report every mistake; then look for the GPU that it wants.
    Check {
        /// The configuration file.
        #[arg(long, value_name = "FILE", default_value = CONFIG_DEFAULT)]
        config: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
struct RunArguments {
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
    match arguments.command {
        None => run(&arguments.run),
        Some(Command::Run(run_arguments)) => run(&run_arguments),
        Some(Command::Config(ConfigCommand::Check { config })) => check(&config),
        Some(Command::Model(ModelCommand::Fetch { from, to })) => fetch_model(&from, &to),
        Some(Command::Executor(arguments)) => executor(&arguments),
    }
}

fn check(path: &Path) -> ExitCode {
    match Config::load(path) {
        Ok(config) => {
            say(&format!(
                "{} is complete, for {}",
                path.display(),
                config.worker_id
            ));
            check_machine(&config)
        }
        Err(error) => {
            say_error(&error);
            ExitCode::from(CONFIGURATION)
        }
    }
}

/// What the file says may be right, and this machine not the one that it is for.
fn check_machine(config: &Config) -> ExitCode {
    match agent::run::device(config, &World::real(GpuTrustAnchor::nvidia())) {
        Ok(device) => {
            if let Some(uuid) = device {
                say(&format!("tasks are computed on {uuid}"));
            }
            ExitCode::SUCCESS
        }
        Err(error) => {
            say_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn refuse(error: &ConfigError) -> ExitCode {
    tracing::error!("{}", chain(error));
    ExitCode::from(CONFIGURATION)
}

fn fetch_model(from: &Source, to: &Path) -> ExitCode {
    let model = &ALL_MINILM_L6_V2;
    let fetched = tokio::runtime::Runtime::new()
        .map_err(FetchError::Runtime)
        .and_then(|runtime| runtime.block_on(agent::model::fetch(from, to, model, &say)));
    match fetched {
        Ok(digest) => {
            say(&format!("{} is in {}", model.name, to.display()));
            say(&format!("model digest  {digest}"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            say_error(&error);
            ExitCode::FAILURE
        }
    }
}

fn executor(arguments: &ExecutorArguments) -> ExitCode {
    logging::start(logging::FILTER_DEFAULT);
    let model = arguments.model.as_deref();
    let served = match &arguments.cuda {
        Some(uuid) => serve_stdin(|| CudaExecutor::start(uuid, model)),
        None => serve_stdin(|| CpuExecutor::start(model)),
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn run(arguments: &RunArguments) -> ExitCode {
    logging::start(&arguments.log);
    // Before any secret is read. The executor child runs as the same user, and so do its GPU's libraries: without this they
    // could read and write this process's memory (ptrace(2), "Ptrace access mode checking").
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        return fail(&error);
    }
    let config = match Config::load(&arguments.config) {
        Ok(config) => config,
        Err(error) => return refuse(&error),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error),
    };
    runtime.block_on(run_until_signal(config))
}

/// The first signal starts the drain, the second one ends the process at once.
async fn run_until_signal(config: Config) -> ExitCode {
    let (interrupt, terminate) = match (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    ) {
        (Ok(interrupt), Ok(terminate)) => (interrupt, terminate),
        (Err(error), _) | (_, Err(error)) => return fail(&error),
    };
    let (shutdown, now) = (CancellationToken::new(), CancellationToken::new());
    let mut signals = tokio::task::JoinSet::new();
    for signal in [interrupt, terminate] {
        signals.spawn(watch(signal, shutdown.clone(), now.clone()));
    }
    let world = World::real(GpuTrustAnchor::nvidia());
    let ran = now
        .run_until_cancelled(Box::pin(agent::run(config, world, shutdown)))
        .await;
    match ran {
        Some(Ok(())) => ExitCode::SUCCESS,
        Some(Err(error)) => fail(&error),
        None => {
            tracing::warn!("a second signal: ended at once");
            ExitCode::FAILURE
        }
    }
}

async fn watch(mut signal: Signal, shutdown: CancellationToken, now: CancellationToken) {
    while signal.recv().await.is_some() {
        if shutdown.is_cancelled() {
            now.cancel();
        }
        shutdown.cancel();
    }
}

fn fail(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    tracing::error!("{}", chain(error));
    ExitCode::FAILURE
}
