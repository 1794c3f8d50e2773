//! The child as a process: started, and killed and reaped on every path.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use super::parent::{Clock, Connection, ConnectionError, Outcome};
use super::{Identity, Work};

/// What is executed as the child.
#[derive(Debug, Clone)]
pub struct Program {
    /// `/proc/self/exe` is the running executable itself, even if its file was replaced meanwhile.
    pub path: PathBuf,
    pub arguments: Vec<OsString>,
    /// The child's whole environment: nothing is inherited.
    pub environment: Vec<(OsString, OsString)>,
}

/// Why there is no child.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    #[error("cannot start the executor process")]
    Process(#[source] io::Error),
    #[error("the executor process did not get ready")]
    Handshake(#[source] ConnectionError),
}

/// How a child ended that was told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with success.
    Orderly,
    /// With another status, or killed because it did not end in time.
    Forced,
}

/// A running child. Dropped, it is killed and reaped.
#[derive(Debug)]
pub struct ExecutorChild {
    process: Process,
    connection: Connection,
}

/// A process that was started and has said nothing yet. Dropped, it is killed and reaped.
#[derive(Debug)]
pub struct StartedProcess {
    process: Process,
    socket: UnixStream,
}

impl StartedProcess {
    /// Executes the program with one end of a new socket as its standard input. Its standard error is the caller's; it
    /// has its own process group, so that a terminal's Ctrl-C stops the caller only, which then decides how its child
    /// ends.
    pub fn start(program: &Program) -> Result<Self, SpawnError> {
        let (socket, child_socket) = UnixStream::pair().map_err(SpawnError::Process)?;
        let process = Process::start(program, child_socket).map_err(SpawnError::Process)?;
        Ok(Self { process, socket })
    }

    /// Kills it from any thread, also while somebody waits for its greeting.
    #[must_use]
    pub fn killer(&self) -> Killer {
        self.process.killer.clone()
    }

    /// Waits until it is ready.
    pub fn greet(self, clock: Clock, limit: Duration) -> Result<ExecutorChild, SpawnError> {
        let connection =
            Connection::open(self.socket, clock, limit).map_err(SpawnError::Handshake)?;
        Ok(ExecutorChild {
            process: self.process,
            connection,
        })
    }
}

impl ExecutorChild {
    /// [Starts](StartedProcess::start) the program and waits until it is ready.
    pub fn spawn(
        program: &Program,
        clock: Clock,
        start_limit: Duration,
    ) -> Result<Self, SpawnError> {
        StartedProcess::start(program)?.greet(clock, start_limit)
    }

    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.connection.identity()
    }

    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.process.child.id()
    }

    /// Kills this child from any thread.
    #[must_use]
    pub fn killer(&self) -> Killer {
        self.process.killer.clone()
    }

    /// As [`Connection::run`]. On an error the child is killed and reaped before this returns.
    pub fn run(
        &mut self,
        works: &[Work],
        time_limit: Duration,
        answer: &mut dyn FnMut(usize, Outcome),
    ) -> Result<(), ConnectionError> {
        self.run_observed(works, time_limit, &mut || {}, answer)
    }

    /// As [`Connection::run_observed`], and as [`ExecutorChild::run`].
    pub fn run_observed(
        &mut self,
        works: &[Work],
        time_limit: Duration,
        submitted: &mut dyn FnMut(),
        answer: &mut dyn FnMut(usize, Outcome),
    ) -> Result<(), ConnectionError> {
        let end = self
            .connection
            .run_observed(works, time_limit, submitted, answer);
        if end.is_err() {
            self.process.end();
        }
        end
    }

    /// Tells the child to end, and kills it where it has not within `limit`.
    #[must_use]
    pub fn shutdown(mut self, limit: Duration) -> Exit {
        let told = self.connection.shutdown(limit).is_ok();
        if told && self.process.wait(limit) {
            Exit::Orderly
        } else {
            Exit::Forced
        }
    }
}

/// Kills one child. Names the process by a pidfd, so that a process number used again is never hit.
#[derive(Debug, Clone)]
pub struct Killer(Arc<OwnedFd>);

impl Killer {
    /// Does nothing to a child that has ended.
    pub fn kill(&self) {
        let _ = rustix::process::pidfd_send_signal(&*self.0, Signal::KILL);
    }
}

#[derive(Debug)]
struct Process {
    child: Child,
    killer: Killer,
}

impl Process {
    fn start(program: &Program, socket: UnixStream) -> io::Result<Self> {
        let mut command = Command::new(&program.path);
        command
            .args(&program.arguments)
            .env_clear()
            .envs(
                program
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdin(OwnedFd::from(socket))
            .stdout(Stdio::null())
            .process_group(0);
        let mut child = command.spawn()?;
        match pidfd(&child) {
            Ok(pidfd) => Ok(Self {
                child,
                killer: Killer(Arc::new(pidfd)),
            }),
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    /// Waits at most `limit`; whether the child ended with success.
    fn wait(&mut self, limit: Duration) -> bool {
        let mut ended = [PollFd::new(&*self.killer.0, PollFlags::IN)];
        let limit = Timespec::try_from(limit).ok();
        let mut count = Err(Errno::INTR);
        // A signal to the agent is not the child's end, nor its limit's.
        while count == Err(Errno::INTR) {
            count = rustix::event::poll(&mut ended, limit.as_ref());
        }
        count.is_ok_and(|count| count > 0) && self.child.wait().is_ok_and(|status| status.success())
    }

    /// Kills and reaps. Twice is harmless.
    fn end(&mut self) {
        self.killer.kill();
        // Fails only for a child that was reaped before.
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

fn pidfd(child: &Child) -> io::Result<OwnedFd> {
    let process_id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let process_id = process_id.ok_or_else(|| io::Error::other("the process has no number"))?;
    // The child is not reaped yet, so the number is still its own.
    Ok(rustix::process::pidfd_open(
        process_id,
        PidfdFlags::empty(),
    )?)
}
