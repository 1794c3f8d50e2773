//! For benchmarks: which devices there are, and how long one takes to compute a work whose inputs it holds already. Only
//! with the feature `measure`, which nothing that ships has.
#![expect(
    unsafe_code,
    reason = "functions of a C library; each block says why it may be called"
)]

use std::time::Duration;

use cudarc::driver::{result, sys};

use super::classify::CudaError;
use super::device::{DeviceMemory, named};
use super::lot::{self, Lot};
use super::probe::{self, ProbeError};
use super::products::WORKSPACE_BYTES;
use super::slot::Tools;
use super::stream::Stream;
use super::{CudaExecutor, PlacedWork};

/// What the driver says of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFacts {
    pub uuid: String,
    pub name: String,
    pub memory_bytes: usize,
    /// The newest CUDA that the driver speaks.
    pub driver_version: String,
}

/// Every device that the driver shows.
pub fn devices() -> Result<Vec<DeviceFacts>, ProbeError> {
    let driver_version = probe::open()?.driver;
    let failed = |error: CudaError| ProbeError::Cuda(error);
    let count = named("cuDeviceGetCount", result::device::get_count()).map_err(failed)?;
    (0..count)
        .map(|ordinal| facts(ordinal, &driver_version).map_err(failed))
        .collect()
}

fn facts(ordinal: i32, driver_version: &str) -> Result<DeviceFacts, CudaError> {
    let device = named("cuDeviceGet", result::device::get(ordinal))?;
    // SAFETY: the device is one that `cuDeviceGet` gave.
    let memory_bytes = unsafe { result::device::total_mem(device) };
    Ok(DeviceFacts {
        uuid: probe::uuid_of(device)?,
        name: named("cuDeviceGetName", result::device::get_name(device))?,
        memory_bytes: named("cuDeviceTotalMem", memory_bytes)?,
        driver_version: driver_version.to_owned(),
    })
}

impl CudaExecutor {
    /// Computes a work `repetitions` times, as it is computed for tasks but without copies in between, and says how long
    /// the device took for all of them by its own clock. Once before that does not count.
    pub fn time(&mut self, work: &PlacedWork<'_>, repetitions: u32) -> Result<Duration, CudaError> {
        let works = std::slice::from_ref(work);
        let memory = DeviceMemory::new(lot::cut(works, 0).bytes)?;
        let workspace = DeviceMemory::new(WORKSPACE_BYTES)?;
        self.products.make_room();
        let lot = Lot::build(
            works,
            0,
            memory.range(),
            &mut self.products,
            self.device.processors(),
        )?;
        if !lot.refused.is_empty() {
            return Err(CudaError::Launch(work.call.operation().name));
        }
        let mut inputs = vec![0; lot.shape.input_bytes];
        lot.gather(0, &mut inputs);
        // SAFETY: the memory has room for the inputs, and the call returns when they are copied.
        let copied = unsafe { result::memcpy_htod_sync(memory.range().address, &inputs) };
        named("cuMemcpyHtoD", copied)?;
        let tools = Tools {
            kernels: &self.kernels,
            products: &self.products,
        };
        let stream = Stream::new()?;
        let begin_all = || {
            let mut steps = lot.shape.steps.iter();
            // SAFETY: the memory outlives the wait for the second event, and nobody else uses it.
            steps.try_for_each(|step| unsafe { tools.begin(&stream, step, workspace.range()) })
        };
        begin_all()?;
        let (from, to) = (TimedEvent::new()?, TimedEvent::new()?);
        from.record(&stream)?;
        (0..repetitions).try_for_each(|_| begin_all())?;
        to.record(&stream)?;
        to.since(&from)
    }
}

/// Marks a place in a stream and when the device came there.
#[derive(Debug)]
struct TimedEvent(sys::CUevent);

impl TimedEvent {
    fn new() -> Result<Self, CudaError> {
        let event = result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT);
        named("cuEventCreate", event).map(Self)
    }

    fn record(&self, stream: &Stream) -> Result<(), CudaError> {
        // SAFETY: neither is destroyed before it is dropped.
        named("cuEventRecord", unsafe {
            result::event::record(self.0, stream.raw())
        })
    }

    /// Waits until the device has come here.
    fn since(&self, earlier: &Self) -> Result<Duration, CudaError> {
        // SAFETY: both events were recorded.
        let elapsed_ms = unsafe {
            named("cuEventSynchronize", result::event::synchronize(self.0))?;
            result::event::elapsed(earlier.0, self.0)
        };
        let elapsed_ms = named("cuEventElapsedTime", elapsed_ms)?;
        Ok(Duration::from_secs_f32(elapsed_ms.max(0.0) / 1_000.0))
    }
}

impl Drop for TimedEvent {
    fn drop(&mut self) {
        // SAFETY: created once, in `new`.
        let _ = unsafe { result::event::destroy(self.0) };
    }
}
