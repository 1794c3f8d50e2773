//! `cocoon-admin` as a library: the operator's commands, noun before verb. The handle on the gateway, the configuration
//! and the way to write are `client`'s.
#![forbid(unsafe_code)]

mod arguments;
mod confirm;
mod pool;
mod tasks;
mod workers;

use std::ffi::OsString;

use clap::CommandFactory;
use client::config::Config;
use client::failure::Failure;
use client::program::{self, StyleFlags, World};
use client::{Exit, Gateway};

pub use arguments::Arguments;
use arguments::{Command, PolicyCommand, TaskCommand, WorkerCommand};

/// The program's name, before its error messages.
const PROGRAM: &str = "cocoon-admin";
/// Its file in the configuration folder.
const CONFIG_FILE: &str = "admin.toml";

/// Runs one command line, the program's name first.
pub async fn run(arguments: Vec<OsString>, world: &mut World<'_>) -> Exit {
    let arguments: Arguments = match program::parse(arguments, world) {
        Ok(arguments) => arguments,
        Err(exit) => return exit,
    };
    let style = arguments.style;
    let outcome = dispatch(arguments, world).await;
    program::conclude(PROGRAM, outcome, style, world)
}

/// What a command works with.
struct Session {
    gateway: Gateway,
    style: StyleFlags,
}

async fn dispatch(arguments: Arguments, world: &mut World<'_>) -> Result<Exit, Failure> {
    let command = match arguments.command {
        Command::Completions(arguments) => return completions(arguments.shell, world),
        command => command,
    };
    let config = Config::read(CONFIG_FILE, &arguments.connection, &world.environment)?;
    config.warn(&mut world.terminal(arguments.style))?;
    let session = Session {
        gateway: Gateway::new(config.options())?,
        style: arguments.style,
    };
    // Every command begins with the pool's state, so that nobody operates a simulation and takes it for the real thing.
    let status = session.gateway.status().await?;
    pool::announce(&status, &mut world.terminal(session.style))?;
    match command {
        Command::Status => pool::show(&status, &mut world.terminal(session.style)),
        Command::Worker(command) => worker(command, &session, world).await,
        Command::Policy(PolicyCommand::Reload) => pool::reload_policy(&session, world).await,
        Command::Task(command) => task(command, &session, world).await,
        Command::Completions(arguments) => completions(arguments.shell, world),
    }
}

async fn worker(
    command: WorkerCommand,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    match command {
        WorkerCommand::Create(arguments) => workers::create(&arguments, session, world).await,
        WorkerCommand::List => workers::list(session, world).await,
        WorkerCommand::Status(arguments) => workers::status(&arguments, session, world).await,
        WorkerCommand::Explain(arguments) => workers::explain(&arguments, session, world).await,
        WorkerCommand::Drain(arguments) => workers::drain(&arguments, session, world).await,
        WorkerCommand::Undrain(arguments) => workers::undrain(&arguments, session, world).await,
        WorkerCommand::Delete(arguments) => workers::delete(&arguments, session, world).await,
        WorkerCommand::Attestation(arguments) => {
            workers::attestation(&arguments, session, world).await
        }
    }
}

async fn task(
    command: TaskCommand,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    match command {
        TaskCommand::List(arguments) => tasks::list(arguments, session, world).await,
        TaskCommand::Show(arguments) => tasks::show(&arguments, session, world).await,
        TaskCommand::Explain(arguments) => tasks::explain(&arguments, session, world).await,
        TaskCommand::Cancel(arguments) => tasks::cancel(&arguments, session, world).await,
        TaskCommand::Redrive(arguments) => tasks::redrive(&arguments, session, world).await,
    }
}

fn completions(shell: clap_complete::Shell, world: &mut World<'_>) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), PROGRAM, &mut script);
    world.output.write_all(&script)?;
    Ok(Exit::Success)
}
