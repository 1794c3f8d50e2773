//! Events: marks in streams, with the time at which they were reached.
#![expect(unsafe_code, reason = "exported symbols")]

use std::ffi::c_uint;
use std::time::Instant;

use crate::code::Code;
use crate::driver::{Driver, Handle, Progress, call, exports, get, wait};
use crate::queue::{Mark, Work};

/// `CU_EVENT_DISABLE_TIMING`.
const DISABLE_TIMING: c_uint = 2;

pub(crate) struct Event {
    has_time: bool,
    /// What was recorded last.
    pub(crate) mark: Option<Mark>,
    reached: Option<Instant>,
    /// The stream from which it was captured, if it was recorded so last.
    pub(crate) captured: Option<Handle>,
}

exports! {
    fn cuEventCreate(event: Option<&mut Handle>, flags: c_uint) {
        get(event, |driver| {
            driver.current()?;
            let handle = driver.new_handle();
            let event = Event {
                has_time: flags & DISABLE_TIMING == 0,
                mark: None,
                reached: None,
                captured: None,
            };
            driver.events.insert(handle, event);
            Ok(handle)
        })
    }
    fn cuEventDestroy_v2(event: Handle) {
        call(|driver| {
            let removed = driver.events.remove(&event);
            removed.map(|_| ()).ok_or(Code::INVALID_HANDLE)
        })
    }
    fn cuEventRecord(event: Handle, stream: Handle) {
        call(|driver| {
            let stream = driver.stream(stream)?;
            let captures = driver.queue(stream)?.capture.is_some();
            let ticket = driver.ticket_last + 1;
            let recorded = driver.event(event)?;
            recorded.captured = captures.then_some(stream);
            if captures {
                return Ok(());
            }
            recorded.mark = Some(Mark { stream, ticket });
            recorded.reached = None;
            driver.enqueue(stream, Work::Record(event)).map(|_| ())
        })
    }
    fn cuEventSynchronize(event: Handle) {
        wait(|driver| {
            let mark = driver.recorded(event)?;
            Ok(mark.map_or(Progress::Done, |mark| {
                driver.advance(mark.stream, mark.ticket)
            }))
        })
    }
    fn cuEventQuery(event: Handle) {
        call(|driver| {
            let mark = driver.recorded(event)?;
            let Some(mark) = mark.filter(|mark| !driver.is_done(*mark)) else {
                return Ok(());
            };
            driver.advance(mark.stream, mark.ticket);
            driver.usable()?;
            Err(Code::NOT_READY)
        })
    }
    fn cuEventElapsedTime_v2(milliseconds: Option<&mut f32>, start: Handle, end: Handle) {
        get(milliseconds, |driver| {
            let (start, end) = (driver.time(start)?, driver.time(end)?);
            Ok(match end.checked_duration_since(start) {
                Some(forwards) => forwards.as_secs_f32() * 1e3,
                None => start.duration_since(end).as_secs_f32() * -1e3,
            })
        })
    }
}

impl Driver {
    pub(crate) fn event(&mut self, event: Handle) -> Result<&mut Event, Code> {
        self.events.get_mut(&event).ok_or(Code::INVALID_HANDLE)
    }

    /// What the event stands for, if anything was recorded.
    fn recorded(&mut self, event: Handle) -> Result<Option<Mark>, Code> {
        let event = self.event(event)?;
        match event.captured {
            Some(_) => Err(Code::CAPTURED_EVENT),
            None => Ok(event.mark),
        }
    }

    fn time(&mut self, event: Handle) -> Result<Instant, Code> {
        let event = self.event(event)?;
        if !event.has_time || event.mark.is_none() {
            return Err(Code::INVALID_HANDLE);
        }
        event.reached.ok_or(Code::NOT_READY)
    }

    /// The work came to where this event was recorded; if it was not recorded again since, now is its time.
    #[expect(clippy::disallowed_methods, reason = "a driver has a clock of its own")]
    pub(crate) fn reach(&mut self, event: Handle, ticket: u64) {
        if let Some(event) = self.events.get_mut(&event)
            && event.mark.is_some_and(|mark| mark.ticket == ticket)
        {
            event.reached = Some(Instant::now());
        }
    }
}
