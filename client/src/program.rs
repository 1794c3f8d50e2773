//! The frame that both programs stand in: arguments in, exit code out, and the world in between as a value.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal, Read, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Parser};

use crate::config::Environment;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::terminal::{Style, Terminal};

/// Everything outside the process, the gateway and files apart.
pub struct World<'a> {
    pub environment: Environment,
    /// Unix milliseconds; for ages in tables alone.
    pub now_ms: &'a dyn Fn() -> u64,
    pub input: &'a mut dyn Read,
    pub output: &'a mut dyn Write,
    pub errors: &'a mut dyn Write,
    pub terminals: Terminals,
}

/// Which streams are terminals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Terminals {
    pub input: bool,
    pub output: bool,
    pub errors: bool,
}

/// The flags of every command that say how to write.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct StyleFlags {
    /// Print one JSON value; errors as JSON on standard error.
    #[arg(long, global = true)]
    pub json: bool,
    /// No notes and no progress bars: answers and errors alone.
    #[arg(long, short, global = true)]
    pub quiet: bool,
}

impl<'a> World<'a> {
    /// Splits what is written to from the rest.
    pub fn terminal<'b>(&'b mut self, flags: StyleFlags) -> Terminal<'b>
    where
        'a: 'b,
    {
        let style = self.style(flags);
        Terminal {
            output: &mut *self.output,
            errors: &mut *self.errors,
            style,
        }
    }

    fn style(&self, flags: StyleFlags) -> Style {
        Style {
            json: flags.json,
            quiet: flags.quiet,
            colour: self.terminals.output && !self.environment.no_color(),
            progress: self.terminals.errors,
        }
    }
}

impl fmt::Debug for World<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("World")
            .field("terminals", &self.terminals)
            .finish_non_exhaustive()
    }
}

/// Runs a program in the process's world.
pub fn main(run: impl AsyncFnOnce(Vec<OsString>, &mut World<'_>) -> Exit) -> Exit {
    // Not locked: a progress bar draws from its own thread.
    let (mut input, mut output, mut errors) = (io::stdin(), io::stdout(), io::stderr());
    let terminals = Terminals {
        input: input.is_terminal(),
        output: output.is_terminal(),
        errors: errors.is_terminal(),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            // There is nowhere else to say it.
            let _ = writeln!(errors, "the runtime cannot be started: {error}");
            return Exit::Error;
        }
    };
    let mut world = World {
        environment: Environment::of_process(),
        now_ms: &now_ms,
        input: &mut input,
        output: &mut output,
        errors: &mut errors,
        terminals,
    };
    runtime.block_on(run(std::env::args_os().collect(), &mut world))
}

/// Reads the command line; help and version are answers, anything else that clap says is a mistake in it.
pub fn parse<A: Parser>(arguments: Vec<OsString>, world: &mut World<'_>) -> Result<A, Exit> {
    let json = wants_json(&arguments);
    A::try_parse_from(arguments).map_err(|message| {
        let text = message.render();
        if json && message.use_stderr() {
            let text = text.to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
            let flags = StyleFlags { json, quiet: false };
            let failure = Failure::sentence(Exit::Error, text);
            return conclude("", Err(failure), flags, world);
        }
        let colour = world.terminals.errors && !world.environment.no_color();
        let text = if colour {
            text.ansi().to_string()
        } else {
            text.to_string()
        };
        let (stream, exit): (&mut dyn Write, _) = if message.use_stderr() {
            (&mut *world.errors, Exit::Error)
        } else {
            (&mut *world.output, Exit::Success)
        };
        match stream.write_all(text.as_bytes()) {
            Ok(()) => exit,
            Err(_) => Exit::Error,
        }
    })
}

/// Whether `--json` was asked for on a command line that may not be one.
fn wants_json(arguments: &[OsString]) -> bool {
    let flags = arguments.iter().take_while(|argument| *argument != "--");
    flags.into_iter().any(|argument| argument == "--json")
}

/// Ends a command: its failure is told, and becomes the exit code.
pub fn conclude(
    program: &str,
    outcome: Result<Exit, Failure>,
    flags: StyleFlags,
    world: &mut World<'_>,
) -> Exit {
    match outcome {
        Ok(exit) => exit,
        // A reader that stopped reading, as `head` does, needs no message.
        Err(failure) if failure.is_broken_pipe() => Exit::Error,
        Err(failure) => {
            // Where standard error is gone too, the exit code must do.
            let _ = failure.tell(program, &mut world.terminal(flags));
            failure.exit()
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the programs read the clock"
)]
fn now_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    since_epoch.map_or(0, |duration| {
        u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
    })
}
