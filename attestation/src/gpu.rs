//! What NVIDIA says of its GPUs.

mod references;
pub mod rim;

pub use references::{GpuReferences, MANIFESTS_MAX, VerifiedReferences};
