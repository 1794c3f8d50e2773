//! Why the GPUs give no evidence. Each has its own name; none of them stops the agent, which tries again.

use std::time::Duration;

use kernels::nvml::NvmlCallError;
use nvml_wrapper::error::NvmlError;

use crate::telemetry::TelemetryError;

/// Why this machine's GPUs give no evidence, or were not set ready.
#[derive(Debug, thiserror::Error)]
pub enum GpuError {
    #[error("no GPU can be asked")]
    Open(#[source] TelemetryError),
    #[error("NVML sees {seen} GPUs; a worker has at most {max}")]
    TooMany { seen: u32, max: usize },
    #[error("GPU {index} is lost: it fell off the bus, or is being reset")]
    Lost { index: u32 },
    #[error("GPU {index} knows no attestation: {function} is not supported")]
    NotSupported { index: u32, function: &'static str },
    #[error("GPU {index} did not answer")]
    Device {
        index: u32,
        #[source]
        source: NvmlError,
    },
    #[error("GPU {index} did not answer")]
    Call {
        index: u32,
        #[source]
        source: NvmlCallError,
    },
    #[error("GPU {index} has no printable UUID or name")]
    Name { index: u32 },
    #[error("the certificate chain of GPU {index} is not PEM")]
    ChainPem {
        index: u32,
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    #[error("the certificate chain of GPU {index} has no certificate")]
    ChainEmpty { index: u32 },
    #[error("the settings of confidential computing cannot be read")]
    Settings(#[source] NvmlCallError),
    #[error("confidential computing is on in environment {0}, which is not production")]
    NotProduction(u32),
    #[error("the GPUs are in developer mode: their memory can be read")]
    DevTools,
    #[error("NVML names a multi-GPU mode {0}, which this release does not know")]
    MultiGpuMode(u32),
    #[error("the evidence of {uuid} does not verify")]
    Unverified {
        uuid: String,
        #[source]
        source: attestation::gpu::GpuError,
    },
    #[error("NVIDIA revoked a certificate of {uuid}")]
    Revoked { uuid: String },
    #[error("the GPUs' ready state cannot be read or set")]
    Ready(#[source] NvmlCallError),
    #[error(
        "this process may not set the GPUs ready: run the worker with the right to, or set them ready by a unit that has it"
    )]
    ReadyPermission,
    #[error("the GPUs gave no evidence within {0:?}")]
    Deadline(Duration),
    #[error("NVML still hangs in an earlier attestation")]
    Busy,
    #[error("no thread can be started for NVML")]
    Thread(#[source] std::io::Error),
    #[error("the thread that asks NVML ended without an answer")]
    Ended,
}

impl GpuError {
    /// What a call about one GPU came to, by name where it has one.
    pub(super) fn device(index: u32, source: NvmlError) -> Self {
        match source {
            NvmlError::GpuLost => Self::Lost { index },
            source => Self::Device { index, source },
        }
    }

    /// The same for a call that this release makes itself.
    pub(super) fn call(index: u32, source: NvmlCallError) -> Self {
        match source {
            NvmlCallError::Nvml {
                source: NvmlError::GpuLost,
                ..
            } => Self::Lost { index },
            NvmlCallError::Nvml { function, source } if is_unsupported(&source) => {
                Self::NotSupported { index, function }
            }
            source => Self::Call { index, source },
        }
    }
}

/// A driver that is older than the call, or a GPU that does not have it.
pub(super) fn is_unsupported(error: &NvmlError) -> bool {
    matches!(
        error,
        NvmlError::NotSupported | NvmlError::FunctionNotFound | NvmlError::FailedToLoadSymbol(_)
    )
}
