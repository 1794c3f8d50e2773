//! A stream: what the device is to do, one thing after another, while the CPU goes on; and the graphs recorded from it.
#![expect(
    unsafe_code,
    reason = "functions of a C library; each block says why it may be called"
)]

use std::collections::BTreeMap;
use std::ffi::{CString, c_void};

use cudarc::driver::result;
use cudarc::driver::sys;

use super::classify::CudaError;
use super::device::{DeviceRange, Event, PinnedMemory, named};
use super::launch::Launch;
use crate::module::{Kernel, MODULE_FATBIN, manifest};

/// The kernels of a module, by name.
#[derive(Debug)]
pub(super) struct Kernels {
    module: sys::CUmodule,
    functions: BTreeMap<&'static str, (sys::CUfunction, &'static Kernel)>,
}

impl Kernels {
    /// Loads the module's machine code for the current device. Every kernel must be in its manifest.
    pub(super) fn load(names: impl Iterator<Item = &'static str>) -> Result<Self, CudaError> {
        // SAFETY: a context is current, and the image is a whole fatbin, whose header says how long it is.
        let module = unsafe { result::module::load_data(MODULE_FATBIN.as_ptr().cast()) };
        let mut kernels = Self {
            module: named("cuModuleLoadData", module)?,
            functions: BTreeMap::new(),
        };
        for name in names {
            let kernel = manifest().kernel(name).ok_or(CudaError::Launch(name))?;
            let text = CString::new(name).map_err(|_| CudaError::Launch(name))?;
            // SAFETY: the module was loaded just now.
            let function = unsafe { result::module::get_function(kernels.module, text) };
            let function = named("cuModuleGetFunction", function)?;
            kernels.functions.insert(name, (function, kernel));
        }
        Ok(kernels)
    }
}

impl Drop for Kernels {
    fn drop(&mut self) {
        // SAFETY: loaded once, in `load`.
        let _ = unsafe { result::module::unload(self.module) };
    }
}

/// A stream that does not wait for any other.
#[derive(Debug)]
pub(super) struct Stream(sys::CUstream);

/// The functions marked unsafe begin something and return before it is done. Their callers promise that the memory outlives
/// it, that nobody else uses it meanwhile, and that an event behind it is waited for before the CPU reads what it wrote or
/// writes what it reads.
impl Stream {
    pub(super) fn new() -> Result<Self, CudaError> {
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking);
        named("cuStreamCreate", stream).map(Self)
    }

    /// For cuBLASLt, which takes the driver's streams.
    pub(super) fn raw(&self) -> sys::CUstream {
        self.0
    }

    /// The first bytes of `from`, as many as `to` has.
    pub(super) unsafe fn copy_in(
        &self,
        from: &PinnedMemory,
        to: DeviceRange,
    ) -> Result<(), CudaError> {
        // SAFETY: see the promise above.
        let from = unsafe { from.bytes() };
        let from = from.get(..to.bytes).ok_or(CudaError::Bounds)?;
        if from.is_empty() {
            return Ok(());
        }
        // SAFETY: the range lies in memory of the device; see the promise above.
        named("cuMemcpyHtoDAsync", unsafe {
            result::memcpy_htod_async(to.address, from, self.0)
        })
    }

    /// The first bytes of `to`, as many as `from` has.
    pub(super) unsafe fn copy_out(
        &self,
        from: DeviceRange,
        to: &mut PinnedMemory,
    ) -> Result<(), CudaError> {
        // SAFETY: see the promise above.
        let to = unsafe { to.bytes_mut() };
        let to = to.get_mut(..from.bytes).ok_or(CudaError::Bounds)?;
        if to.is_empty() {
            return Ok(());
        }
        // SAFETY: the range lies in memory of the device; see the promise above.
        named("cuMemcpyDtoHAsync", unsafe {
            result::memcpy_dtoh_async(to, from.address, self.0)
        })
    }

    pub(super) unsafe fn zero(&self, range: DeviceRange) -> Result<(), CudaError> {
        if range.bytes == 0 {
            return Ok(());
        }
        // SAFETY: the range lies in memory of the device; see the promise above.
        named("cuMemsetD8Async", unsafe {
            result::memset_d8_async(range.address, 0, range.bytes, self.0)
        })
    }

    /// The launch's addresses are of ranges as long as its kernel reads and writes.
    pub(super) unsafe fn launch(
        &self,
        kernels: &Kernels,
        launch: &Launch,
    ) -> Result<(), CudaError> {
        let function = kernels.functions.get(launch.kernel);
        let function = function.filter(|(_, kernel)| launch.agrees_with(kernel));
        let (function, _) = *function.ok_or(CudaError::Launch(launch.kernel))?;
        let mut values: Vec<u64> = launch.arguments.iter().map(|value| value.bits()).collect();
        // An argument of four bytes is read from the first four of its eight: both ends are little-endian.
        let mut pointers: Vec<*mut c_void> = values
            .iter_mut()
            .map(|value| std::ptr::from_mut(value).cast())
            .collect();
        let ([x, y], grid) = (launch.block, launch.grid);
        // SAFETY: the function is of a module that is loaded; there are as many arguments of the kinds that the module's
        // manifest says; the driver copies them before it returns.
        named("cuLaunchKernel", unsafe {
            result::launch_kernel(function, grid.into(), (x, y, 1), 0, self.0, &mut pointers)
        })
    }

    /// Waits until everything that was begun is done.
    pub(super) fn wait(&self) -> Result<(), CudaError> {
        // SAFETY: the stream is destroyed in `drop` alone.
        named("cuStreamSynchronize", unsafe {
            result::stream::synchronize(self.0)
        })
    }

    pub(super) fn record(&self, event: &Event) -> Result<(), CudaError> {
        // SAFETY: neither is destroyed before it is dropped.
        named("cuEventRecord", unsafe {
            result::event::record(event.0, self.0)
        })
    }

    /// What is begun between here and `end_capture` is not done but recorded.
    pub(super) fn begin_capture(&self) -> Result<(), CudaError> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream is destroyed in `drop` alone.
        named("cuStreamBeginCapture", unsafe {
            result::stream::begin_capture(self.0, mode)
        })
    }

    pub(super) fn end_capture(&self) -> Result<Graph, CudaError> {
        // SAFETY: as above.
        let graph = named("cuStreamEndCapture", unsafe {
            result::stream::end_capture(self.0)
        })?;
        // Null where the capture was broken off.
        if graph.is_null() {
            return Err(CudaError::Capture);
        }
        // SAFETY: the graph is the one just recorded; it is not needed once it is instantiated.
        let instance = unsafe {
            let instance = result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0));
            let _ = result::graph::destroy(graph);
            instance
        };
        named("cuGraphInstantiate", instance).map(Graph)
    }

    /// Begins everything that the graph recorded, with the same memory.
    pub(super) unsafe fn replay(&self, graph: &Graph) -> Result<(), CudaError> {
        // SAFETY: the graph is destroyed in `drop` alone; see the promise above.
        named("cuGraphLaunch", unsafe {
            result::graph::launch(graph.0, self.0)
        })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: created once, in `new`.
        let _ = unsafe { result::stream::destroy(self.0) };
    }
}

/// Recorded work that one call begins.
#[derive(Debug)]
pub(super) struct Graph(sys::CUgraphExec);

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: instantiated once, in `end_capture`.
        let _ = unsafe { result::graph::exec_destroy(self.0) };
    }
}
