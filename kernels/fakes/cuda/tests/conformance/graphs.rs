//! Graphs: captured once, launched again and again.

use cudarc::driver::CudaSlice;
use cudarc::driver::result::stream;
use cudarc::driver::sys::CUresult::{
    CUDA_ERROR_CAPTURED_EVENT, CUDA_ERROR_ILLEGAL_STATE, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED,
    CUDA_ERROR_STREAM_CAPTURE_ISOLATION, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
};
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
use cudarc::driver::sys::{CUgraphInstantiate_flags, CUstreamCaptureStatus, cuEventQuery};

use crate::gpu::{Gpu, address, code};
use crate::promised;

/// A slice of ones that nothing else orders.
fn ones(gpu: &Gpu) -> CudaSlice<f32> {
    // SAFETY: one stream alone uses it.
    unsafe { gpu.context.disable_event_tracking() };
    let ones = gpu.stream.clone_htod(&[1.0_f32; 64]).unwrap();
    gpu.stream.synchronize().unwrap();
    ones
}

fn begin(gpu: &Gpu) {
    gpu.stream
        .begin_capture(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
        .unwrap();
}

#[test]
fn a_graph_does_its_work_at_every_launch_and_not_before() {
    promised(|| {
        let gpu = Gpu::open();
        let ones = ones(&gpu);
        let x = address(&ones, &gpu.stream);
        begin(&gpu);
        let status = CUstreamCaptureStatus::CU_STREAM_CAPTURE_STATUS_ACTIVE;
        assert_eq!(gpu.stream.capture_status().unwrap(), status);
        // x = 2 x + x, twice.
        gpu.saxpy(&gpu.stream, [x, x, x], 64).unwrap();
        gpu.saxpy(&gpu.stream, [x, x, x], 64).unwrap();
        let graph = gpu
            .stream
            .end_capture(CUgraphInstantiate_flags(0))
            .unwrap()
            .unwrap();
        assert_eq!(gpu.stream.clone_dtoh(&ones).unwrap(), [1.0; 64]);
        graph.upload().unwrap();
        for expected in [9.0, 81.0, 729.0] {
            graph.launch().unwrap();
            assert_eq!(gpu.stream.clone_dtoh(&ones).unwrap(), [expected; 64]);
        }
    });
}

#[test]
fn a_stream_that_is_captured_cannot_be_waited_for() {
    promised(|| {
        let gpu = Gpu::open();
        begin(&gpu);
        assert_eq!(
            code(gpu.stream.synchronize()),
            CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
        );
        // The attempt spoiled the capture.
        // SAFETY: a stream.
        let ended = unsafe { stream::end_capture(gpu.stream.cu_stream()) };
        assert_eq!(code(ended), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        gpu.stream.synchronize().unwrap();
    });
}

#[test]
fn a_capture_that_did_not_begin_does_not_end() {
    promised(|| {
        let gpu = Gpu::open();
        // SAFETY: a stream.
        let ended = unsafe { stream::end_capture(gpu.stream.cu_stream()) };
        assert_eq!(code(ended), CUDA_ERROR_ILLEGAL_STATE);
        let default = gpu.context.default_stream();
        let begun = default.begin_capture(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        assert_eq!(code(begun), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    });
}

#[test]
fn a_graph_depends_on_nothing_outside_of_it() {
    promised(|| {
        let gpu = Gpu::open();
        let ones = ones(&gpu);
        let x = address(&ones, &gpu.stream);
        let second = gpu.context.new_stream().unwrap();
        gpu.saxpy(&second, [x, x, x], 64).unwrap();
        let outside = second.record_event(None).unwrap();
        begin(&gpu);
        assert_eq!(
            code(gpu.stream.wait(&outside)),
            CUDA_ERROR_STREAM_CAPTURE_ISOLATION
        );
        // SAFETY: a stream.
        let ended = unsafe { stream::end_capture(gpu.stream.cu_stream()) };
        assert_eq!(code(ended), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    });
}

#[test]
fn an_event_of_a_capture_has_no_state() {
    promised(|| {
        let gpu = Gpu::open();
        begin(&gpu);
        let event = gpu.stream.record_event(None).unwrap();
        gpu.stream.wait(&event).unwrap();
        // SAFETY: an event.
        let queried = unsafe { cuEventQuery(event.cu_event()) };
        assert_eq!(queried, CUDA_ERROR_CAPTURED_EVENT);
    });
}
