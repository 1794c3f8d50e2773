//! The calls about streams.
#![expect(unsafe_code, reason = "exported symbols")]

use std::ffi::c_uint;

use crate::code::Code;
use crate::driver::{Driver, Handle, call, exports, get, wait};
use crate::queue::{LARGEST_TICKET, Queue, Work};

/// `CU_STREAM_NON_BLOCKING`.
const NON_BLOCKING: c_uint = 1;

exports! {
    fn cuStreamCreate(stream: Option<&mut Handle>, flags: c_uint) {
        get(stream, |driver| {
            let context = driver.current()?;
            if flags > NON_BLOCKING {
                return Err(Code::INVALID_VALUE);
            }
            let handle = driver.new_handle();
            let queue = Queue::new(context, flags != NON_BLOCKING);
            driver.queues.insert(handle, queue);
            Ok(handle)
        })
    }
    fn cuStreamDestroy_v2(stream: Handle) {
        call(|driver| {
            // "In case the device is still doing work in the stream, the function will return immediately and the resources
            // will be released automatically once the device has completed all work" (cuda.h).
            let is_idle = driver.queue(stream)?.work.is_empty();
            if is_idle {
                driver.queues.remove(&stream);
            }
            Ok(())
        })
    }
    fn cuStreamSynchronize(stream: Handle) {
        wait(|driver| {
            let stream = driver.settled(stream)?;
            Ok(driver.advance(stream, LARGEST_TICKET))
        })
    }
    fn cuStreamQuery(stream: Handle) {
        call(|driver| {
            let stream = driver.settled(stream)?;
            let next = driver
                .queue(stream)?
                .work
                .front()
                .map(|(ticket, _)| *ticket);
            let Some(next) = next else { return Ok(()) };
            // Whoever polls must see an end, in lazy mode too.
            driver.advance(stream, next);
            driver.usable()?;
            Err(Code::NOT_READY)
        })
    }
    fn cuStreamWaitEvent(stream: Handle, event: Handle, _: c_uint) {
        call(|driver| {
            let stream = driver.stream(stream)?;
            let captures = driver.queue(stream)?.capture.is_some();
            let event = driver.event(event)?;
            match (event.captured, event.mark) {
                (Some(from), _) if from == stream && captures => Ok(()),
                // A second stream would join the graph, which the fake does not do.
                (Some(_), _) => Err(Code::NOT_SUPPORTED),
                (None, None) => Ok(()),
                (None, Some(_)) if captures => {
                    driver.invalidate(stream);
                    Err(Code::STREAM_CAPTURE_ISOLATION)
                }
                (None, Some(mark)) => driver.enqueue(stream, Work::Wait(mark)).map(|_| ()),
            }
        })
    }
}

impl Driver {
    /// The stream, unless it is captured: then whoever waits for it spoils the capture.
    pub(crate) fn settled(&mut self, stream: Handle) -> Result<Handle, Code> {
        let stream = self.stream(stream)?;
        if self.queue(stream)?.capture.is_some() {
            self.invalidate(stream);
            return Err(Code::STREAM_CAPTURE_UNSUPPORTED);
        }
        Ok(stream)
    }

    fn invalidate(&mut self, stream: Handle) {
        let queue = self.queues.get_mut(&stream);
        if let Some(capture) = queue.and_then(|queue| queue.capture.as_mut()) {
            capture.is_invalid = true;
        }
    }
}
