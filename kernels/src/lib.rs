//! What a task computes, and the child process that computes it.
//!
//! | part | what it holds |
//! |---|---|
//! | [`operations`] | the CPU definition of every operation of the catalogue: the specification and the oracle |
//! | `cuda/*.cu` | the same operations as CUDA C++, with the same numeric definition; matrix products are cuBLASLt's |
//! | [`executor`] | the [`Executor`](executor::Executor) trait, the child's loop, and the agent's end of the socket |
//! | [`module`] | the fatbin that `cuda/` was compiled to, its manifest, and the digest of the code that computes |
//! | [`nvml`] | the calls about confidential computing to the library of the GPU's driver |
//!
//! No clock and no environment is read here: time comes from the caller.

pub mod embed;
pub mod executor;
pub mod module;
pub mod nvml;
pub mod operations;
