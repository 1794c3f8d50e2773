//! The code that computes: on the GPU one fatbin with the machine code of every kernel, inside this executable and so measured
//! with it; on the CPU the running executable. Their digests stand in claims and receipts.
//!
//! `cargo ci kernels` compiles `cuda/` into the fatbin and its manifest, which are checked in: to build this crate takes no
//! CUDA toolkit, and everyone has the same bytes.

mod executable;
mod manifest;

#[cfg(test)]
mod tests;

use std::sync::OnceLock;

use protocol::Sha256Digest;

pub(crate) use executable::digest_of;
pub use executable::executable_digest;
pub use manifest::{Kernel, Manifest, Parameter, ParameterKind, Resources};

/// The file as it is, where the driver may read it as structures.
#[repr(C, align(16))]
struct Aligned<Bytes: ?Sized>(Bytes);

static FATBIN: &Aligned<[u8]> = &Aligned(*include_bytes!("../module/cocoon.fatbin"));

/// The machine code of all kernels for every supported architecture, and PTX for development: what one `cuModuleLoadData`
/// takes. It begins at a multiple of 16 bytes.
pub static MODULE_FATBIN: &[u8] = &FATBIN.0;

const MANIFEST_JSON: &[u8] = include_bytes!("../module/manifest.json");

/// SHA-256 of [`MODULE_FATBIN`], computed once from its bytes: the module digest of a GPU executor.
pub fn fatbin_digest() -> Sha256Digest {
    static DIGEST: OnceLock<Sha256Digest> = OnceLock::new();
    *DIGEST.get_or_init(|| Sha256Digest::of(MODULE_FATBIN))
}

/// What the fatbin holds. A manifest that cannot be read is empty, so that no kernel is found in it; a test reads it.
pub fn manifest() -> &'static Manifest {
    static MANIFEST: OnceLock<Manifest> = OnceLock::new();
    MANIFEST.get_or_init(|| Manifest::parse(MANIFEST_JSON).unwrap_or_default())
}
