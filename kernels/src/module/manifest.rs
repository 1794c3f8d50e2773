//! What a launch must know of each kernel, as `cargo ci kernels` wrote it down from the sources and the compiler.

use std::collections::BTreeMap;

use protocol::Sha256Digest;
use serde::Deserialize;

/// The fatbin's contents.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Manifest {
    /// Of the fatbin beside the manifest. None in an empty manifest.
    pub fatbin_sha256: Option<Sha256Digest>,
    /// Of every file of `cuda/` by name: its name, a newline, its length in decimal, a newline, its bytes.
    pub sources_sha256: Option<Sha256Digest>,
    /// The compiler's version and build.
    pub compiler: String,
    /// The compiler's arguments, but for file names.
    pub arguments: Vec<String>,
    /// By name.
    pub kernels: Vec<Kernel>,
}

/// One `extern "C" __global__` function. Its launch contract stands in its source.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Kernel {
    pub name: String,
    pub parameters: Vec<Parameter>,
    /// The most threads that a block may have; a launch with more fails.
    pub block_threads_max: u32,
    /// By architecture, for example `sm_90a`.
    pub architectures: BTreeMap<String, Resources>,
}

/// One parameter of a kernel, in the order of its signature.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Parameter {
    pub name: String,
    pub kind: ParameterKind,
    pub bytes: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterKind {
    /// An address in device memory.
    Pointer,
    U32,
    U64,
    F32,
}

/// What a kernel takes of a multiprocessor on one architecture.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Resources {
    /// Of each thread.
    pub registers: u32,
    /// Of each block, and all it takes: no kernel asks for more at launch.
    pub shared_bytes: u32,
    /// Registers that a thread keeps in memory instead; `cargo ci kernels` refuses any.
    pub spill_stores_bytes: u32,
    pub spill_loads_bytes: u32,
}

impl Manifest {
    pub(super) fn parse(json: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(json)
    }

    /// The kernel of this name.
    #[must_use]
    pub fn kernel(&self, name: &str) -> Option<&Kernel> {
        self.kernels.iter().find(|kernel| kernel.name == name)
    }
}
