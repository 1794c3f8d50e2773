//! The commands of `cocoon`.

mod arguments;
mod catalogue;
mod fetch;
mod receipts;
mod submit;
mod tasks;

use std::ffi::OsString;

use clap::CommandFactory;

use crate::config::Config;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::gateway::Gateway;
use crate::ledger::Ledger;
use crate::program::{self, StyleFlags, World};

pub use arguments::Arguments;
use arguments::Command;

/// The program's name, before its error messages.
const PROGRAM: &str = "cocoon";
/// Its file in the configuration folder.
const CONFIG_FILE: &str = "client.toml";

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

async fn dispatch(arguments: Arguments, world: &mut World<'_>) -> Result<Exit, Failure> {
    let Arguments {
        connection,
        style,
        command,
    } = arguments;
    // Nothing is asked of the configuration before the command line's own mistakes were found.
    let connect = |world: &mut World<'_>| {
        let config = Config::read(CONFIG_FILE, &connection, &world.environment)?;
        config.warn(&mut world.terminal(style))?;
        Session::new(&config, style)
    };
    match command {
        Command::Submit(arguments) => {
            let task = submit::prepare(&arguments, style, world)?;
            submit::run(&arguments, task, &connect(world)?, world).await
        }
        Command::Status(arguments) => tasks::status(&arguments, &connect(world)?, world).await,
        Command::Explain(arguments) => tasks::explain(&arguments, &connect(world)?, world).await,
        Command::List(arguments) => tasks::list(arguments, &connect(world)?, world).await,
        Command::Output(arguments) => fetch::output(&arguments, &connect(world)?, world).await,
        Command::Cancel(arguments) => tasks::cancel(&arguments, &connect(world)?, world).await,
        Command::Receipt(arguments) => receipts::receipt(&arguments, &connect(world)?, world).await,
        Command::Attestation(arguments) => {
            receipts::attestation(&arguments, &connect(world)?, world).await
        }
        Command::Operations(arguments) if arguments.offline => catalogue::offline(style, world),
        Command::Operations(_) => catalogue::offered(&connect(world)?, world).await,
        Command::Completions(arguments) => completions(arguments.shell, world),
    }
}

/// What a command works with: the gateway, what was submitted before, and how to write.
struct Session {
    gateway: Gateway,
    ledger: Ledger,
    style: StyleFlags,
}

impl Session {
    fn new(config: &Config, style: StyleFlags) -> Result<Self, Failure> {
        Ok(Self {
            gateway: Gateway::new(config.options())?,
            ledger: Ledger::new(config.state_dir.as_deref()),
            style,
        })
    }
}

fn completions(shell: clap_complete::Shell, world: &mut World<'_>) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), PROGRAM, &mut script);
    world.output.write_all(&script)?;
    Ok(Exit::Success)
}
