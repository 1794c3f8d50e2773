//! Streams as queues of work, and when that work runs.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::code::Code;
use crate::config;
use crate::driver::{Driver, Handle, Progress};
use crate::memory::Memory;

pub(crate) const LARGEST_TICKET: u64 = u64::MAX;

/// One stream.
pub(crate) struct Queue {
    pub(crate) context: Handle,
    /// Whether it keeps order with the legacy default stream.
    pub(crate) is_blocking: bool,
    pub(crate) work: VecDeque<(u64, Work)>,
    pub(crate) capture: Option<Capture>,
}

/// What a stream is told while its work is captured.
#[derive(Default)]
pub(crate) struct Capture {
    pub(crate) work: Vec<Work>,
    /// A call that is forbidden meanwhile was made.
    pub(crate) is_invalid: bool,
}

/// A place in a stream: everything up to this ticket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) stream: Handle,
    pub(crate) ticket: u64,
}

/// Something with device memory.
pub(crate) type Action = Arc<dyn Fn(&mut Memory) -> Result<(), Code> + Send + Sync>;

#[derive(Clone)]
pub(crate) enum Work {
    Do(Action),
    /// A kernel by its name.
    Launch(&'static str, Action),
    Record(Handle),
    Wait(Mark),
}

impl Queue {
    pub(crate) fn new(context: Handle, is_blocking: bool) -> Self {
        Self {
            context,
            is_blocking,
            work: VecDeque::new(),
            capture: None,
        }
    }
}

impl Driver {
    /// The stream that a handle means for the calling thread.
    pub(crate) fn stream(&self, handle: Handle) -> Result<Handle, Code> {
        match handle {
            0..=2 => self.current(),
            _ if self.queues.contains_key(&handle) => Ok(handle),
            _ => Err(Code::INVALID_HANDLE),
        }
    }

    pub(crate) fn queue(&mut self, stream: Handle) -> Result<&mut Queue, Code> {
        self.queues.get_mut(&stream).ok_or(Code::INVALID_HANDLE)
    }

    /// Puts work into a stream, or into the graph that is captured from it, which then has no mark.
    pub(crate) fn enqueue(&mut self, handle: Handle, work: Work) -> Result<Option<Mark>, Code> {
        let stream = self.stream(handle)?;
        let ticket = self.ticket_last + 1;
        let queue = self.queue(stream)?;
        if let Some(capture) = &mut queue.capture {
            capture.work.push(work);
            return Ok(None);
        }
        queue.work.push_back((ticket, work));
        self.ticket_last = ticket;
        if !config::is_lazy() {
            self.advance(stream, ticket);
        }
        Ok(Some(Mark { stream, ticket }))
    }

    /// Puts something with device memory into a stream.
    pub(crate) fn enqueue_action(
        &mut self,
        stream: Handle,
        action: impl Fn(&mut Memory) -> Result<(), Code> + Send + Sync + 'static,
    ) -> Result<Option<Mark>, Code> {
        self.enqueue(stream, Work::Do(Arc::new(action)))
    }

    pub(crate) fn is_done(&self, mark: Mark) -> bool {
        let first = self
            .queues
            .get(&mark.stream)
            .and_then(|queue| queue.work.front());
        first.is_none_or(|(ticket, _)| *ticket > mark.ticket)
    }

    /// Whether a stream of this context is being captured.
    pub(crate) fn captures(&self, context: Handle) -> bool {
        let mut queues = self.queues.values();
        queues.any(|queue| queue.context == context && queue.capture.is_some())
    }

    /// Runs the work of every stream of a context, up to this ticket.
    pub(crate) fn advance_context(&mut self, context: Handle, ticket: u64) -> Progress {
        let streams = self.streams_where(|_, queue| queue.context == context);
        self.advance_all(streams, ticket)
    }

    /// Runs the work of a stream in its order, up to this ticket.
    pub(crate) fn advance(&mut self, stream: Handle, upto: u64) -> Progress {
        loop {
            let next = self
                .queues
                .get_mut(&stream)
                .and_then(|queue| queue.work.pop_front());
            let Some((ticket, work)) = next else {
                return Progress::Done;
            };
            let is_due = ticket <= upto;
            if is_due && self.advance_before(stream, ticket) == Progress::Done {
                match self.run(ticket, &work) {
                    Ok(Progress::Done) => continue,
                    Ok(Progress::Blocked) => (),
                    Err(code) => {
                        self.lose(code);
                        return Progress::Done;
                    }
                }
            }
            if let Some(queue) = self.queues.get_mut(&stream) {
                queue.work.push_front((ticket, work));
            }
            return if is_due {
                Progress::Blocked
            } else {
                Progress::Done
            };
        }
    }

    /// The order that the legacy default stream keeps with blocking streams: each waits for what the other was told before.
    fn advance_before(&mut self, stream: Handle, ticket: u64) -> Progress {
        let Some(queue) = self.queues.get(&stream).filter(|queue| queue.is_blocking) else {
            return Progress::Done;
        };
        let context = queue.context;
        let is_default = |handle: Handle| handle == context;
        let others = self.streams_where(|handle, queue| {
            queue.context == context
                && queue.is_blocking
                && is_default(handle) != is_default(stream)
        });
        self.advance_all(others, ticket - 1)
    }

    fn streams_where(&self, which: impl Fn(Handle, &Queue) -> bool) -> Vec<Handle> {
        let chosen = self
            .queues
            .iter()
            .filter(|(handle, queue)| which(**handle, queue));
        chosen.map(|(handle, _)| *handle).collect()
    }

    /// All of them, even if one is blocked.
    fn advance_all(&mut self, streams: Vec<Handle>, ticket: u64) -> Progress {
        let progress: Vec<_> = streams
            .into_iter()
            .map(|stream| self.advance(stream, ticket))
            .collect();
        if progress.contains(&Progress::Blocked) {
            Progress::Blocked
        } else {
            Progress::Done
        }
    }

    fn run(&mut self, ticket: u64, work: &Work) -> Result<Progress, Code> {
        // What came before may have lost the context.
        self.usable()?;
        match work {
            Work::Do(action) => action(&mut self.memory)?,
            Work::Launch(kernel, action) => return self.run_launch(kernel, action),
            Work::Record(event) => self.reach(*event, ticket),
            Work::Wait(mark) => return Ok(self.advance(mark.stream, mark.ticket)),
        }
        Ok(Progress::Done)
    }
}
