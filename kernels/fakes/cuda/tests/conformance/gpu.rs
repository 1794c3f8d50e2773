//! The first GPU with the module of kernels, as the executor has them.

use std::ffi::{CString, c_void};
use std::sync::Arc;

use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys::{CUfunction, CUmodule, CUresult};
use cudarc::driver::{CudaContext, CudaSlice, CudaStream, DevicePtr};
use kernels::module::MODULE_FATBIN;

pub(crate) struct Gpu {
    pub(crate) context: Arc<CudaContext>,
    pub(crate) stream: Arc<CudaStream>,
    pub(crate) module: CUmodule,
}

/// An argument of a kernel.
pub(crate) enum Argument {
    Address(u64),
    Count(u64),
    Number(f32),
}

impl Gpu {
    pub(crate) fn open() -> Self {
        let context = CudaContext::new(0).unwrap();
        let stream = context.new_stream().unwrap();
        // SAFETY: the whole module that ships.
        let module = unsafe { result::module::load_data(MODULE_FATBIN.as_ptr().cast()) }.unwrap();
        Self {
            context,
            stream,
            module,
        }
    }

    pub(crate) fn kernel(&self, name: &str) -> Result<CUfunction, DriverError> {
        // SAFETY: the module stays loaded.
        unsafe { result::module::get_function(self.module, CString::new(name).unwrap()) }
    }

    /// Launches a kernel with one-dimensional grid and block.
    pub(crate) fn launch(
        &self,
        stream: &CudaStream,
        kernel: &str,
        (blocks, threads): (u32, u32),
        arguments: &[Argument],
    ) -> Result<(), DriverError> {
        let mut pointers: Vec<*mut c_void> = arguments
            .iter()
            .map(|argument| match argument {
                Argument::Address(value) | Argument::Count(value) => {
                    (&raw const *value).cast_mut().cast()
                }
                Argument::Number(value) => (&raw const *value).cast_mut().cast(),
            })
            .collect();
        let kernel = self.kernel(kernel)?;
        // SAFETY: there is an argument for each parameter. What the kernel does with the addresses is what a test is about.
        unsafe {
            result::launch_kernel(
                kernel,
                (blocks, 1, 1),
                (threads, 1, 1),
                0,
                stream.cu_stream(),
                &mut pointers,
            )
        }
    }

    /// `out = 2 x + y`.
    pub(crate) fn saxpy(
        &self,
        stream: &CudaStream,
        [x, y, out]: [u64; 3],
        count: u64,
    ) -> Result<(), DriverError> {
        let arguments = [
            Argument::Number(2.0),
            Argument::Address(x),
            Argument::Address(y),
            Argument::Address(out),
            Argument::Count(count),
        ];
        self.launch(stream, "saxpy", (2, 128), &arguments)
    }
}

/// Where a slice lies, without the bookkeeping of its uses: a test says itself what waits for what.
pub(crate) fn address<T>(slice: &CudaSlice<T>, stream: &CudaStream) -> u64 {
    slice.device_ptr(stream).0
}

pub(crate) fn code<T>(result: Result<T, DriverError>) -> CUresult {
    result.map_or_else(|error| error.0, |_| CUresult::CUDA_SUCCESS)
}
