//! The executor child: this program again, confined as the worker's child is.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kernels::executor::cuda::CudaExecutor;
use kernels::executor::{Clock, ExecutorChild, Program, serve_stdin};

use crate::device::Device;

/// Longer than anything here takes.
pub(crate) const LIMIT: Duration = Duration::from_mins(2);

pub(crate) fn serve(uuid: &str) -> Result<()> {
    serve_stdin(|| CudaExecutor::start(uuid)).context("the executor ended")
}

pub(crate) fn spawn(device: &Device) -> Result<ExecutorChild> {
    let mut environment = vec![("CUDA_DISABLE_PTX_JIT".into(), "1".into())];
    #[expect(
        clippy::disallowed_methods,
        reason = "where the driver's library is, if the loader was told"
    )]
    let libraries = std::env::var_os("LD_LIBRARY_PATH");
    environment.extend(libraries.map(|folders| ("LD_LIBRARY_PATH".into(), folders)));
    let program = Program {
        path: "/proc/self/exe".into(),
        arguments: ["executor", "--cuda", &device.uuid]
            .map(Into::into)
            .to_vec(),
        environment,
    };
    ExecutorChild::spawn(&program, clock(), LIMIT).context("the executor child does not start")
}

#[expect(clippy::disallowed_methods, reason = "this program's one clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

fn clock() -> Clock {
    Arc::new(now)
}
