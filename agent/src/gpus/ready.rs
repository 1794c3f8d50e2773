//! The ready state: GPUs in confidential mode accept no work before somebody sets it, and only their own evidence,
//! verified, is a reason to.

use attestation::gpu::VerifiedGpu;
use kernels::nvml::{NvmlCallError, gpus_ready, set_gpus_ready};
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use super::GpuError;
use crate::config::chain;

/// Has the GPUs accept work, for they are these. The call needs a right, but not where the state is set already.
pub(super) fn accept_work(nvml: &Nvml, verified: &[VerifiedGpu]) -> Result<(), GpuError> {
    if gpus_ready(nvml).map_err(GpuError::Ready)? {
        return Ok(());
    }
    match set_gpus_ready(nvml, true) {
        Ok(()) => {
            let trust_anchor = verified.first().map(VerifiedGpu::trust_anchor);
            tracing::info!(
                gpus = verified.len(),
                trust_anchor,
                "the GPUs are set ready: their evidence verifies"
            );
            Ok(())
        }
        Err(NvmlCallError::Nvml {
            source: NvmlError::NoPermission,
            ..
        }) => Err(GpuError::ReadyPermission),
        Err(error) => Err(GpuError::Ready(error)),
    }
}

/// Has the GPUs accept no work any more: their evidence failed.
pub(super) fn refuse_work(nvml: &Nvml) {
    match gpus_ready(nvml) {
        Ok(false) => {}
        Ok(true) | Err(_) => match set_gpus_ready(nvml, false) {
            Ok(()) => tracing::warn!("the GPUs are set not ready: their evidence failed"),
            Err(error) => tracing::error!(
                error = chain(&error),
                "the GPUs' evidence failed, and they cannot be set not ready"
            ),
        },
    }
}
