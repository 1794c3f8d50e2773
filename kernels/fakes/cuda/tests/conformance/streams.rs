//! Streams and events: what waits for what.

use cudarc::driver::CudaSlice;
use cudarc::driver::result::event::elapsed;
use cudarc::driver::result::stream::{self, StreamKind};
use cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT;
use cudarc::driver::sys::CUresult::{
    CUDA_ERROR_INVALID_HANDLE, CUDA_ERROR_NOT_READY, CUDA_SUCCESS,
};
use cudarc::driver::sys::{cuMemsetD8_v2, cuMemsetD8Async, cuStreamQuery};

use crate::gpu::{Gpu, address, code};
use crate::{promised, simulated};

const LAZY: &[(&str, &str)] = &[("FAKE_CUDA_LAZY", "1")];

/// Slices `[2; n]`, `[0; n]` and `[0; n]`, ready for any stream, without cudarc's own order between streams.
fn slices(gpu: &Gpu) -> [CudaSlice<f32>; 3] {
    // SAFETY: the tests say what waits for what.
    unsafe { gpu.context.disable_event_tracking() };
    let slices = [2.0_f32, 0.0, 0.0].map(|value| gpu.stream.clone_htod(&[value; 256]).unwrap());
    gpu.context.synchronize().unwrap();
    slices
}

#[test]
fn a_stream_keeps_its_order() {
    promised(|| {
        let gpu = Gpu::open();
        let slices = slices(&gpu);
        let [x, y, out] = slices.each_ref().map(|slice| address(slice, &gpu.stream));
        for _ in 0..3 {
            gpu.saxpy(&gpu.stream, [x, y, out], 256).unwrap();
            gpu.saxpy(&gpu.stream, [out, x, y], 256).unwrap();
        }
        // y = 2 (2 x + y) + x, three times.
        assert_eq!(gpu.stream.clone_dtoh(&slices[1]).unwrap(), [70.0; 256]);
    });
}

#[test]
fn a_stream_waits_for_what_an_event_stands_for() {
    promised(|| {
        let gpu = Gpu::open();
        let slices = slices(&gpu);
        let [x, y, out] = slices.each_ref().map(|slice| address(slice, &gpu.stream));
        let second = gpu.context.new_stream().unwrap();
        gpu.saxpy(&gpu.stream, [x, y, out], 256).unwrap();
        let event = gpu.stream.record_event(None).unwrap();
        second.wait(&event).unwrap();
        gpu.saxpy(&second, [out, out, y], 256).unwrap();
        second.synchronize().unwrap();
        assert_eq!(gpu.stream.clone_dtoh(&slices[1]).unwrap(), [12.0; 256]);
    });
}

#[test]
fn without_a_join_a_stream_may_see_what_was_before() {
    let reason = "a real stream may be fast enough to hide the mistake";
    simulated(reason, LAZY, || {
        let gpu = Gpu::open();
        let slices = slices(&gpu);
        let [x, y, out] = slices.each_ref().map(|slice| address(slice, &gpu.stream));
        let second = gpu.context.new_stream().unwrap();
        gpu.saxpy(&gpu.stream, [x, x, out], 256).unwrap();
        gpu.saxpy(&second, [out, out, y], 256).unwrap();
        second.synchronize().unwrap();
        assert_eq!(second.clone_dtoh(&slices[1]).unwrap(), [0.0; 256]);
    });
}

#[test]
fn whoever_polls_sees_an_end() {
    simulated("a real stream may be idle at once", LAZY, || {
        let gpu = Gpu::open();
        let slices = slices(&gpu);
        let [x, y, out] = slices.each_ref().map(|slice| address(slice, &gpu.stream));
        gpu.saxpy(&gpu.stream, [x, y, out], 256).unwrap();
        let event = gpu.stream.record_event(None).unwrap();
        assert!(!event.try_is_complete().unwrap());
        assert!(event.try_is_complete().unwrap());
        gpu.saxpy(&gpu.stream, [x, y, out], 256).unwrap();
        // SAFETY: a stream.
        let query = || unsafe { cuStreamQuery(gpu.stream.cu_stream()) };
        assert_eq!(query(), CUDA_ERROR_NOT_READY);
        assert_eq!(query(), CUDA_SUCCESS);
    });
}

#[test]
fn the_default_stream_keeps_order_with_blocking_streams() {
    promised(|| {
        let gpu = Gpu::open();
        let slices = slices(&gpu);
        let to = address(&slices[1], &gpu.stream);
        let default = std::ptr::null_mut();
        let blocking = stream::create(StreamKind::Default).unwrap();
        for (first, second) in [(default, blocking), (blocking, default)] {
            // Whoever waits for the second stream waits for what the first was told before.
            // SAFETY: two streams, and memory of this size.
            unsafe {
                cuMemsetD8Async(to, 1, 1024, first).result().unwrap();
                cuMemsetD8Async(to, 2, 512, second).result().unwrap();
                stream::synchronize(second).unwrap();
            }
            let read = gpu.stream.clone_dtoh(&slices[1]).unwrap();
            let [one, two] = [1, 2].map(|byte| f32::from_le_bytes([byte; 4]));
            assert_eq!(read, [[two; 128], [one; 128]].concat());
            // SAFETY: as above.
            unsafe { cuMemsetD8_v2(to, 0, 1024) }.result().unwrap();
            gpu.context.synchronize().unwrap();
        }
        // SAFETY: it is not used again.
        unsafe { stream::destroy(blocking) }.unwrap();
    });
}

#[test]
fn events_tell_the_time_between_them() {
    promised(|| {
        let gpu = Gpu::open();
        let slices = slices(&gpu);
        let [x, y, out] = slices.each_ref().map(|slice| address(slice, &gpu.stream));
        let start = gpu.stream.record_event(Some(CU_EVENT_DEFAULT)).unwrap();
        gpu.saxpy(&gpu.stream, [x, y, out], 256).unwrap();
        let end = gpu.stream.record_event(Some(CU_EVENT_DEFAULT)).unwrap();
        assert!(start.elapsed_ms(&end).unwrap() >= 0.0);

        let unrecorded = gpu.context.new_event(Some(CU_EVENT_DEFAULT)).unwrap();
        // An event that stands for nothing is complete, and has no time.
        assert!(unrecorded.try_is_complete().unwrap());
        let without_time = gpu.stream.record_event(None).unwrap();
        for wrong in [&unrecorded, &without_time] {
            wrong.synchronize().unwrap();
            // SAFETY: two events.
            let between = unsafe { elapsed(start.cu_event(), wrong.cu_event()) };
            assert_eq!(code(between), CUDA_ERROR_INVALID_HANDLE);
        }
    });
}

#[test]
fn an_event_stands_for_what_was_recorded_last() {
    simulated("a real stream may be idle at once", LAZY, || {
        let gpu = Gpu::open();
        let slices = slices(&gpu);
        let [x, y, out] = slices.each_ref().map(|slice| address(slice, &gpu.stream));
        let second = gpu.context.new_stream().unwrap();
        gpu.saxpy(&gpu.stream, [x, x, out], 256).unwrap();
        let event = gpu.stream.record_event(None).unwrap();
        second.wait(&event).unwrap();
        // That the event moves on does not change what the second stream waits for.
        gpu.saxpy(&gpu.stream, [x, out, out], 256).unwrap();
        event.record(&gpu.stream).unwrap();
        gpu.saxpy(&second, [out, out, y], 256).unwrap();
        second.synchronize().unwrap();
        assert_eq!(second.clone_dtoh(&slices[1]).unwrap(), [18.0; 256]);
        assert!(!event.try_is_complete().unwrap());
    });
}
