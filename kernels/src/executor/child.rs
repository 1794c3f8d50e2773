//! The child: greets, runs what it is told, answers work by work, ends with its socket.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::thread;

use rustix::event::{PollFd, PollFlags};
use rustix::process::Signal;

use super::arena::{ArenaError, MappedArena};
use super::descriptor::DescriptorReader;
use super::frame::{self, FrameError};
use super::message::{COMMAND_BYTES_MAX, Command, Placement, REPLY_BYTES_MAX, Reply, VERSION};
use super::sandbox::{self, ConfineError};
use super::work::{WorkError, parse_call};
use super::{Executor, Fault, PlacedWork, chain, clip};

/// Why the child ends before it is told to. Each of them but `Socket` says that agent and child disagree.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("standard input is no usable socket")]
    Socket(#[source] io::Error),
    #[error("a command could not be read or a reply not written")]
    Frame(#[source] FrameError),
    #[error("the agent speaks version {seen} of the executor protocol, this is version {wanted}")]
    Version { seen: u32, wanted: u32 },
    #[error("the first command is not a greeting, or a later one is")]
    Greeting,
    #[error("the greeting came without the arena, or a descriptor with another command")]
    Descriptor,
    #[error("the arena cannot be used as the agent says")]
    Arena(#[source] ArenaError),
    #[error("work {index} of a run cannot be read")]
    Work {
        index: usize,
        #[source]
        error: WorkError,
    },
    #[error("work {0} of a run has ranges that do not fit its call")]
    Sizes(usize),
    #[error("the executor failed: {0}")]
    Executor(String),
    #[error("this process cannot be confined")]
    Confine(#[source] ConfineError),
}

/// Serves the socket that is this process's standard input with what `start` gives, and kills this process when the agent
/// at its other end is gone: nobody wants the outputs any more, and a running operation cannot be interrupted otherwise.
///
/// From when the executor has started, before the first word is read, the process is confined, see `sandbox`. Where it
/// does not start, the agent is told why.
pub fn serve_stdin<E: Executor, R: std::error::Error>(
    start: impl FnOnce() -> Result<E, R>,
) -> Result<(), ServeError> {
    let duplicate = io::stdin().as_fd().try_clone_to_owned();
    let socket = UnixStream::from(duplicate.map_err(ServeError::Socket)?);
    // Fails where standard input is a file, a pipe or a terminal: a person who calls the child by hand reads why.
    socket.peer_addr().map_err(ServeError::Socket)?;
    let watched = socket.try_clone().map_err(ServeError::Socket)?;
    thread::Builder::new()
        .name("agent-watch".to_owned())
        .spawn(move || end_with_peer(&watched))
        .map_err(ServeError::Socket)?;
    match start() {
        Ok(mut executor) => {
            sandbox::confine().map_err(ServeError::Confine)?;
            serve(&socket, &mut executor)
        }
        Err(error) => refuse(&socket, &error),
    }
}

/// Answers the greeting with why there is no executor.
fn refuse(socket: &UnixStream, error: &dyn std::error::Error) -> Result<(), ServeError> {
    let mut source = DescriptorReader::new(socket);
    let greeting: Option<Command> =
        frame::read(&mut source, COMMAND_BYTES_MAX).map_err(ServeError::Frame)?;
    let reason = clip(&chain(error));
    if greeting.is_some() {
        let unavailable = Reply::Unavailable {
            reason: reason.clone(),
        };
        reply(socket, &unavailable)?;
    }
    Err(ServeError::Executor(reason))
}

fn end_with_peer(socket: &UnixStream) {
    // No event is asked for: a hang-up is always told, and commands are the main thread's to read.
    let mut watched = [PollFd::new(socket, PollFlags::empty())];
    while rustix::event::poll(&mut watched, None) == Err(rustix::io::Errno::INTR) {}
    // Nothing is left to do if this fails, which it cannot for one's own process.
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::KILL);
}

/// Serves one agent until it says to shut down or closes the socket. Reads nothing but the socket and the arena that
/// comes over it. A panic in the executor is not caught here: the process is to end with it.
pub fn serve(socket: &UnixStream, executor: &mut dyn Executor) -> Result<(), ServeError> {
    let mut source = DescriptorReader::new(socket);
    let Some(mut arena) = greet(&mut source, socket, executor)? else {
        return Ok(());
    };
    while let Some(command) =
        frame::read(&mut source, COMMAND_BYTES_MAX).map_err(ServeError::Frame)?
    {
        if source.take().is_some() {
            return Err(ServeError::Descriptor);
        }
        match command {
            Command::Run { request, works } => {
                run(socket, executor, &mut arena, request, &works)?;
            }
            Command::Shutdown {} => return Ok(()),
            Command::Hello { .. } => return Err(ServeError::Greeting),
        }
    }
    Ok(())
}

/// Exchanges versions and maps the arena; `None` where the agent left before a word.
fn greet(
    source: &mut DescriptorReader<'_>,
    socket: &UnixStream,
    executor: &dyn Executor,
) -> Result<Option<MappedArena>, ServeError> {
    let command = frame::read(source, COMMAND_BYTES_MAX).map_err(ServeError::Frame)?;
    let (seen, arena_bytes) = match command {
        Some(Command::Hello {
            version,
            arena_bytes,
        }) => (version, arena_bytes),
        Some(_) => return Err(ServeError::Greeting),
        None => return Ok(None),
    };
    let descriptor = source.take();
    // Said even where the versions differ, so that the agent can name both.
    let ready = Reply::Ready {
        version: VERSION,
        identity: executor.identity(),
    };
    if seen != VERSION {
        reply(socket, &ready)?;
        return Err(ServeError::Version {
            seen,
            wanted: VERSION,
        });
    }
    let descriptor = descriptor.ok_or(ServeError::Descriptor)?;
    let arena = MappedArena::map(descriptor, arena_bytes).map_err(ServeError::Arena)?;
    reply(socket, &ready)?;
    Ok(Some(arena))
}

fn reply(mut socket: &UnixStream, reply: &Reply) -> Result<(), ServeError> {
    let frame = frame::encode(reply, REPLY_BYTES_MAX).map_err(ServeError::Frame)?;
    socket
        .write_all(&frame)
        .map_err(|error| ServeError::Frame(FrameError::Io(error)))
}

fn run(
    socket: &UnixStream,
    executor: &mut dyn Executor,
    arena: &mut MappedArena,
    request: u64,
    placements: &[Placement],
) -> Result<(), ServeError> {
    let mut works = place(arena, placements)?;
    let mut end = Ok(());
    executor.run(&mut works, &mut |index, outcome| {
        if end.is_ok() {
            end = answer(socket, request, index, outcome);
        }
    });
    end
}

/// Tells the agent; an executor's fault also ends this child.
fn answer(
    socket: &UnixStream,
    request: u64,
    index: usize,
    outcome: Result<(), Fault>,
) -> Result<(), ServeError> {
    let fault = outcome.err().map(Fault::clipped);
    let answered = Reply::Answered {
        request,
        index: u32::try_from(index).unwrap_or(u32::MAX),
        fault: fault.clone(),
    };
    reply(socket, &answered)?;
    match fault {
        Some(Fault::Executor(text)) => Err(ServeError::Executor(text)),
        Some(Fault::Task(_) | Fault::Here(_)) | None => Ok(()),
    }
}

/// Reads each body against the catalogue again and finds its slices: no executor sees a size that the catalogue did not
/// compute.
fn place<'a>(
    arena: &'a mut MappedArena,
    placements: &[Placement],
) -> Result<Vec<PlacedWork<'a>>, ServeError> {
    let ranges: Vec<_> = placements
        .iter()
        .map(|placement| (placement.inputs.as_slice(), placement.output))
        .collect();
    let slices = arena.split(&ranges).map_err(ServeError::Arena)?;
    let mut works = Vec::with_capacity(placements.len());
    for (index, (placement, (inputs, output))) in placements.iter().zip(slices).enumerate() {
        let call =
            parse_call(&placement.body).map_err(|error| ServeError::Work { index, error })?;
        let sizes = placement.inputs.iter().map(|range| range.bytes);
        if !sizes.eq(call.input_bytes().iter().copied())
            || placement.output.bytes != call.output_bytes()
        {
            return Err(ServeError::Sizes(index));
        }
        works.push(PlacedWork {
            call,
            inputs,
            output,
        });
    }
    Ok(works)
}

#[cfg(test)]
mod tests;
