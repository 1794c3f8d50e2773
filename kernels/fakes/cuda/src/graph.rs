//! Graphs: the work of one stream, captured and launched again.
#![expect(unsafe_code, reason = "exported symbols")]

use std::ffi::{c_uint, c_ulonglong};
use std::sync::Arc;

use crate::code::Code;
use crate::config;
use crate::driver::{Handle, call, exports, get};
use crate::queue::{Capture, Work};

/// A graph, or one that can be launched: both are the work in its order.
pub(crate) struct Graph {
    is_executable: bool,
    work: Arc<[Work]>,
}

exports! {
    fn cuStreamBeginCapture_v2(stream: Handle, _: c_uint) {
        call(|driver| {
            let context = driver.current()?;
            let stream = driver.stream(stream)?;
            let queue = driver.queue(stream)?;
            if stream == context {
                // The legacy default stream cannot be captured.
                return Err(Code::STREAM_CAPTURE_UNSUPPORTED);
            }
            if queue.capture.is_some() {
                return Err(Code::ILLEGAL_STATE);
            }
            queue.capture = Some(Capture::default());
            Ok(())
        })
    }
    fn cuStreamEndCapture(stream: Handle, graph: Option<&mut Handle>) {
        get(graph, |driver| {
            let stream = driver.stream(stream)?;
            let capture = driver.queue(stream)?.capture.take();
            let capture = capture.ok_or(Code::ILLEGAL_STATE)?;
            if let Some(code) = config::capture_code() {
                return Err(code);
            }
            if capture.is_invalid {
                return Err(Code::STREAM_CAPTURE_INVALIDATED);
            }
            let handle = driver.new_handle();
            let graph = Graph {
                is_executable: false,
                work: capture.work.into(),
            };
            driver.graphs.insert(handle, graph);
            Ok(handle)
        })
    }
    fn cuStreamIsCapturing(stream: Handle, status: Option<&mut c_uint>) {
        get(status, |driver| {
            let stream = driver.stream(stream)?;
            let capture = driver.queue(stream)?.capture.as_ref();
            // CU_STREAM_CAPTURE_STATUS_NONE, …_ACTIVE, …_INVALIDATED.
            Ok(capture.map_or(0, |capture| 1 + c_uint::from(capture.is_invalid)))
        })
    }
    fn cuGraphInstantiateWithFlags(executable: Option<&mut Handle>, graph: Handle, _: c_ulonglong) {
        get(executable, |driver| {
            let graph = driver
                .graphs
                .get(&graph)
                .filter(|graph| !graph.is_executable);
            let work = Arc::clone(&graph.ok_or(Code::INVALID_VALUE)?.work);
            let handle = driver.new_handle();
            let is_executable = true;
            driver.graphs.insert(
                handle,
                Graph {
                    is_executable,
                    work,
                },
            );
            Ok(handle)
        })
    }
    fn cuGraphLaunch(executable: Handle, stream: Handle) {
        call(|driver| {
            let graph = driver
                .graphs
                .get(&executable)
                .filter(|graph| graph.is_executable);
            let work = Arc::clone(&graph.ok_or(Code::INVALID_VALUE)?.work);
            let mut work = work.iter().cloned();
            work.try_for_each(|each| driver.enqueue(stream, each).map(|_| ()))
        })
    }
    fn cuGraphUpload(executable: Handle, stream: Handle) {
        call(|driver| {
            driver.stream(stream)?;
            let graph = driver
                .graphs
                .get(&executable)
                .filter(|graph| graph.is_executable);
            graph.map(|_| ()).ok_or(Code::INVALID_VALUE)
        })
    }
    fn cuGraphExecDestroy(executable: Handle) { cuGraphDestroy(executable) }
    fn cuGraphDestroy(graph: Handle) {
        call(|driver| {
            let removed = driver.graphs.remove(&graph);
            removed.map(|_| ()).ok_or(Code::INVALID_VALUE)
        })
    }
}
