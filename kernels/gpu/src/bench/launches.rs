//! What it costs to begin a kernel and to wait for it: the floor under every small task.
#![expect(
    unsafe_code,
    reason = "functions of a C library; each block says why it may be called"
)]

use std::ffi::c_void;
use std::time::Duration;

use anyhow::{Context, Result};
use cudarc::driver::{result, sys};
use kernels::module::MODULE_FATBIN;

use super::copies::synchronize;
use super::{Rows, median, microseconds};
use crate::child::now;

const SAMPLES: usize = 2_000;
const SAMPLES_QUICK: usize = 5;
/// Launches in a row for the time of one.
const TIMES: u32 = 200;

/// Adds two rows: a launch that is waited for, which is given back, and one among many.
pub(super) fn run(rows: &mut Rows, quick: bool) -> Result<Duration> {
    let samples = if quick { SAMPLES_QUICK } else { SAMPLES };
    let kernel = Empty::load()?;
    let waited = sample(samples, &|| {
        kernel.launch()?;
        synchronize()
    })?;
    let many = sample(samples.div_ceil(100), &|| {
        for _ in 0..TIMES {
            kernel.launch()?;
        }
        synchronize()
    })?;
    let shape = "saxpy of nothing";
    let one = microseconds(waited);
    rows.add("launch and wait", shape, one, "median".to_owned(), None);
    let each = microseconds(many / TIMES);
    rows.add("launch among many", shape, each, "median".to_owned(), None);
    Ok(waited)
}

fn sample(samples: usize, of: &dyn Fn() -> Result<()>) -> Result<Duration> {
    of()?;
    let mut times = Vec::with_capacity(samples);
    for _ in 0..samples {
        let begun = now();
        of()?;
        times.push(begun.elapsed());
    }
    Ok(median(times))
}

/// `saxpy` with a count of 0.
struct Empty {
    module: sys::CUmodule,
    function: sys::CUfunction,
}

impl Empty {
    fn load() -> Result<Self> {
        // SAFETY: a context is current, and the image is a whole fatbin, whose header says how long it is.
        let module = unsafe { result::module::load_data(MODULE_FATBIN.as_ptr().cast()) };
        let module = module.context("cuModuleLoadData")?;
        // SAFETY: the module was loaded just now.
        let function = unsafe { result::module::get_function(module, c"saxpy".to_owned()) };
        let function = function.context("cuModuleGetFunction")?;
        Ok(Self { module, function })
    }

    fn launch(&self) -> Result<()> {
        let (mut alpha, mut address, mut count) = (0.0_f32, 0_u64, 0_u64);
        let address: *mut c_void = (&raw mut address).cast();
        let mut arguments = [
            (&raw mut alpha).cast(),
            address,
            address,
            address,
            (&raw mut count).cast(),
        ];
        let stream = std::ptr::null_mut();
        // SAFETY: the arguments are those of `saxpy`, and with a count of 0 it reads and writes nothing.
        unsafe {
            result::launch_kernel(
                self.function,
                (1, 1, 1),
                (32, 1, 1),
                0,
                stream,
                &mut arguments,
            )
        }
        .context("cuLaunchKernel")
    }
}

impl Drop for Empty {
    fn drop(&mut self) {
        // SAFETY: loaded once, in `load`.
        let _ = unsafe { result::module::unload(self.module) };
    }
}
