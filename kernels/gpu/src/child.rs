//! The executor child: this program again, confined as the worker's child is.

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kernels::executor::cuda::CudaExecutor;
use kernels::executor::{Clock, ExecutorChild, Program, serve_stdin};

use crate::device::Device;

/// Longer than anything here takes.
pub(crate) const LIMIT: Duration = Duration::from_mins(2);

pub(crate) fn serve(uuid: &str, model: Option<&Path>) -> Result<()> {
    serve_stdin(|| CudaExecutor::start(uuid, model)).context("the executor ended")
}

pub(crate) fn spawn(device: &Device) -> Result<ExecutorChild> {
    let mut environment = vec![("CUDA_DISABLE_PTX_JIT".into(), "1".into())];
    #[expect(
        clippy::disallowed_methods,
        reason = "where the driver's library is, if the loader was told"
    )]
    let libraries = std::env::var_os("LD_LIBRARY_PATH");
    environment.extend(libraries.map(|folders| ("LD_LIBRARY_PATH".into(), folders)));
    let mut arguments: Vec<OsString> = ["executor", "--cuda", &device.uuid]
        .map(Into::into)
        .to_vec();
    if let Some(model) = &device.model {
        arguments.extend(["--with-model".into(), model.into()]);
    }
    let program = Program {
        path: "/proc/self/exe".into(),
        arguments,
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
