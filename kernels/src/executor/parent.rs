//! The agent's end of the socket: greets a child, submits works, waits for each answer with a deadline, and turns
//! whatever happens into one outcome for each work.

use std::io::{self, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::arena::{ARENA_BYTES, Arena, ArenaError};
use super::frame::{self, FrameError};
use super::message::{COMMAND_BYTES_MAX, Command, REPLY_BYTES_MAX, Reply, VERSION};
use super::run::{self, Run};
use super::work::Work;
use super::{Fault, Identity, clip, descriptor};

mod batch;

use batch::Batch;

/// Monotonic now, from the caller's world.
pub type Clock = Arc<dyn Fn() -> Instant + Send + Sync>;

/// What became of one work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The output: a private copy of as many bytes as the call says.
    Done(Vec<u8>),
    /// The task's own fault: it would fail the same way again.
    TaskFault(String),
    /// This machine could not, as it is now: another may, or this one later. The child stays.
    NotHere(String),
    /// The executor could not; the child is gone.
    ExecutorFault(String),
    /// It was running, or may have been, when the child died, hung or misbehaved.
    Lost(String),
    /// It was never begun.
    NotRun,
}

/// Why a child is of no further use. The process is to be killed and another one started.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    #[error("the executor ended")]
    Closed,
    #[error("the executor gave no answer within {} ms", .limit.as_millis())]
    TimedOut { limit: Duration },
    #[error("the executor speaks version {seen} of the protocol, this is version {wanted}")]
    Version { seen: u32, wanted: u32 },
    #[error("the executor cannot compute: {0}")]
    Unavailable(String),
    #[error("the executor's greeting is out of place")]
    Greeting,
    #[error("the executor answered work {index} of request {request}, which does not wait for it")]
    Answer { request: u64, index: u32 },
    #[error("the executor reported a fault of its own: {0}")]
    ExecutorFault(String),
    #[error("a command could not be written or a reply not read")]
    Frame(#[source] FrameError),
    #[error("the arena failed")]
    Arena(#[source] ArenaError),
}

/// A greeted child. Blocking; after an error every further batch is refused.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TimedStream>,
    arena: Arena,
    identity: Identity,
    request: u64,
    ended: bool,
}

impl Connection {
    /// Greets the child at the other end of `socket`, gives it an arena and waits until it is ready.
    pub fn open(
        socket: UnixStream,
        clock: Clock,
        limit: Duration,
    ) -> Result<Self, ConnectionError> {
        let arena = Arena::create().map_err(ConnectionError::Arena)?;
        let mut stream = BufReader::new(TimedStream::new(socket, clock, limit));
        let hello = Command::Hello {
            version: VERSION,
            arena_bytes: ARENA_BYTES,
        };
        let hello = frame::encode(&hello, COMMAND_BYTES_MAX).map_err(ConnectionError::Frame)?;
        descriptor::send(&stream.get_ref().socket, &hello, arena.descriptor())
            .map_err(|error| stream_error(FrameError::Io(error), limit))?;
        let identity = match read_reply(&mut stream)? {
            Reply::Ready { version, identity } if version == VERSION => identity,
            Reply::Ready { version, .. } => {
                return Err(ConnectionError::Version {
                    seen: version,
                    wanted: VERSION,
                });
            }
            Reply::Unavailable { reason } => {
                return Err(ConnectionError::Unavailable(clip(&reason)));
            }
            Reply::Answered { .. } => return Err(ConnectionError::Greeting),
        };
        Ok(Self {
            stream,
            arena,
            identity,
            request: 0,
            ended: false,
        })
    }

    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Runs the works, cut into runs that fit the arena, and calls `answer` exactly once for each work, as soon as its
    /// outcome is known. The next answer must come within `time_limit` of the one before it, or of the submission.
    pub fn run(
        &mut self,
        works: &[Work],
        time_limit: Duration,
        answer: &mut dyn FnMut(usize, Outcome),
    ) -> Result<(), ConnectionError> {
        self.run_observed(works, time_limit, &mut || {}, answer)
    }

    /// As [`Connection::run`]; `submitted` is called as each run is handed to the child, when its inputs lie in the arena.
    pub fn run_observed(
        &mut self,
        works: &[Work],
        time_limit: Duration,
        submitted: &mut dyn FnMut(),
        answer: &mut dyn FnMut(usize, Outcome),
    ) -> Result<(), ConnectionError> {
        let mut batch = Batch::new(works.len(), self.identity.runs_in_order(works), answer);
        let end = self.run_batch(works, time_limit, submitted, &mut batch);
        if let Err(error) = &end {
            self.ended = true;
            batch.abandon(error);
        }
        end
    }

    fn run_batch(
        &mut self,
        works: &[Work],
        time_limit: Duration,
        submitted: &mut dyn FnMut(),
        batch: &mut Batch<'_>,
    ) -> Result<(), ConnectionError> {
        if self.ended {
            return Err(ConnectionError::Closed);
        }
        let mut first = 0;
        while let Some(rest) = works.get(first..).filter(|rest| !rest.is_empty()) {
            match run::next(rest) {
                Ok(run) => {
                    self.submit(&run, rest, time_limit, submitted)?;
                    batch.begin(first, run.placements.len());
                    self.collect(&run, first, time_limit, batch)?;
                    self.arena.wipe(run.bytes).map_err(ConnectionError::Arena)?;
                    first += run.placements.len();
                }
                Err(too_large) => {
                    batch.settle(first, Outcome::TaskFault(too_large.to_string()));
                    first += 1;
                }
            }
        }
        Ok(())
    }

    fn submit(
        &mut self,
        run: &Run,
        works: &[Work],
        time_limit: Duration,
        submitted: &mut dyn FnMut(),
    ) -> Result<(), ConnectionError> {
        for (placement, work) in run.placements.iter().zip(works) {
            for (range, input) in placement.inputs.iter().zip(work.inputs()) {
                self.arena
                    .write(*range, input)
                    .map_err(ConnectionError::Arena)?;
            }
        }
        self.request += 1;
        let command = Command::Run {
            request: self.request,
            works: run.placements.clone(),
        };
        submitted();
        self.send(&command, time_limit)
    }

    fn send(&mut self, command: &Command, limit: Duration) -> Result<(), ConnectionError> {
        let frame = frame::encode(command, COMMAND_BYTES_MAX).map_err(ConnectionError::Frame)?;
        let stream = self.stream.get_mut();
        stream.allow(limit);
        stream
            .write_all(&frame)
            .map_err(|error| stream_error(FrameError::Io(error), limit))
    }

    fn collect(
        &mut self,
        run: &Run,
        first: usize,
        time_limit: Duration,
        batch: &mut Batch<'_>,
    ) -> Result<(), ConnectionError> {
        for _ in &run.placements {
            self.stream.get_mut().allow(time_limit);
            let (request, index, fault) = match read_reply(&mut self.stream)? {
                Reply::Answered {
                    request,
                    index,
                    fault,
                } => (request, index, fault.map(Fault::clipped)),
                Reply::Ready { .. } | Reply::Unavailable { .. } => {
                    return Err(ConnectionError::Greeting);
                }
            };
            let out_of_place = ConnectionError::Answer { request, index };
            let within = usize::try_from(index).unwrap_or(usize::MAX);
            let (Some(placement), true) = (run.placements.get(within), request == self.request)
            else {
                return Err(out_of_place);
            };
            let work = first.saturating_add(within);
            if !batch.expects(work) {
                return Err(out_of_place);
            }
            match fault {
                None => {
                    let output = self.arena.read(placement.output);
                    batch.settle(work, Outcome::Done(output.map_err(ConnectionError::Arena)?));
                }
                Some(Fault::Task(text)) => batch.settle(work, Outcome::TaskFault(text)),
                Some(Fault::Here(text)) => batch.settle(work, Outcome::NotHere(text)),
                Some(Fault::Executor(text)) => {
                    batch.settle(work, Outcome::ExecutorFault(text.clone()));
                    return Err(ConnectionError::ExecutorFault(text));
                }
            }
        }
        Ok(())
    }

    /// Tells the child to end; it does so between two runs.
    pub fn shutdown(&mut self, limit: Duration) -> Result<(), ConnectionError> {
        self.ended = true;
        self.send(&Command::Shutdown {}, limit)
    }
}

fn read_reply(stream: &mut BufReader<TimedStream>) -> Result<Reply, ConnectionError> {
    match frame::read(stream, REPLY_BYTES_MAX) {
        Ok(Some(reply)) => Ok(reply),
        Ok(None) => Err(ConnectionError::Closed),
        Err(error) => Err(stream_error(error, stream.get_ref().limit)),
    }
}

/// A dead child shows as an end of stream, within a frame or between two, or as a broken pipe: all mean the same.
fn stream_error(error: FrameError, limit: Duration) -> ConnectionError {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, TimedOut, WouldBlock};
    match error {
        FrameError::Truncated => ConnectionError::Closed,
        FrameError::Io(cause) => match cause.kind() {
            TimedOut | WouldBlock => ConnectionError::TimedOut { limit },
            BrokenPipe | ConnectionReset => ConnectionError::Closed,
            _ => ConnectionError::Frame(FrameError::Io(cause)),
        },
        other => ConnectionError::Frame(other),
    }
}

/// A socket with a deadline over many reads or writes: the socket's own time-out would begin anew with each byte.
struct TimedStream {
    socket: UnixStream,
    clock: Clock,
    limit: Duration,
    deadline: Option<Instant>,
}

impl TimedStream {
    fn new(socket: UnixStream, clock: Clock, limit: Duration) -> Self {
        let mut stream = Self {
            socket,
            clock,
            limit,
            deadline: None,
        };
        stream.allow(limit);
        stream
    }

    /// Starts the deadline anew. One beyond what the clock can express is none.
    fn allow(&mut self, limit: Duration) {
        self.limit = limit;
        self.deadline = (self.clock)().checked_add(limit);
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        let Some(deadline) = self.deadline else {
            return Ok(None);
        };
        let left = deadline.saturating_duration_since((self.clock)());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(Some(left))
    }
}

impl std::fmt::Debug for TimedStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("TimedStream")
            .field("socket", &self.socket)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Read for TimedStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(self.left()?)?;
        self.socket.read(buffer)
    }
}

impl Write for TimedStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(self.left()?)?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
