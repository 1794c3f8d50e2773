//! TEST-ONLY stand-in for NVIDIA's `libcuda.so.1` and `libcublasLt.so`: the kernels that ship run on the CPU. Never
//! shipped, and linked by nothing that is.
//!
//! A test that depends on this crate has cargo build `libfake_cuda.so`, calls [`install()`] with a folder of its own, and
//! starts the unmodified program with `LD_LIBRARY_PATH` set to that folder. The calls are those that cudarc makes; any
//! other is absent, as in an older driver.
//!
//! - `kernels/cuda/*.cu` are compiled as C++ with `include/cuda_on_cpu.h` and run by `runtime/`; a kernel is known by its
//!   name, its parameters by its signature. The image of a module is opaque.
//! - Device memory is memory of this process between pages that nobody may touch, poisoned when it is handed out, so a
//!   kernel that strays gives `CUDA_ERROR_ILLEGAL_ADDRESS` and the context is lost, as on a GPU.
//! - Work runs when it is enqueued, on the caller's thread. In lazy mode it runs only when somebody waits for it or asks
//!   whether it is done, which shows a join that is missing.
//! - Per-thread default streams are the legacy one; a graph is captured from one stream.
//!
//! | setting | meaning | default |
//! |---|---|---|
//! | `FAKE_CUDA_GPUS` | how many GPUs there are; of these, `CUDA_VISIBLE_DEVICES` chooses by index or UUID | 2 |
//! | `FAKE_CUDA_UUID` | four digits that stand in every UUID, as in the fake NVML's | fa4e |
//! | `FAKE_CUDA_DRIVER` | the CUDA version of the driver | 13000 |
//! | `FAKE_CUDA_BLAS` | the version of cuBLASLt | 130000 |
//! | `FAKE_CUDA_CAPABILITY` | the compute capability | 9.0 |
//! | `FAKE_CUDA_INIT` | the code of `cuInit`, e.g. 100: no device, 802: GPU not ready, 803: driver too old | 0 |
//! | `FAKE_CUDA_MEMORY_BYTES` | the memory of each GPU | 1 GiB |
//! | `FAKE_CUDA_ALLOCATION_BYTES_MAX` | a larger allocation is out of memory | none |
//! | `FAKE_CUDA_LAZY` | 1: lazy mode | 0 |
//! | `FAKE_CUDA_FAULT` | the kernel, or `matmul`, that loses the context | none |
//! | `FAKE_CUDA_FAULT_LAUNCH` | the launch, counted from 1, that does so | none |
//! | `FAKE_CUDA_FAULT_CODE` | with which code, e.g. 702: time-out, 719: launch failed, 916: key rotation | 700 |
//! | `FAKE_CUDA_HEURISTIC` | the status of cuBLASLt's choice of an algorithm, e.g. 15: not supported | 0 |
//! | `FAKE_CUDA_CAPTURE` | the code that every capture ends with, e.g. 901: invalidated | 0 |
//! | `FAKE_CUDA_HANG` | the kernel, or `matmul`, that does not end while it is named here | none |
//! | `FAKE_CUDA_CC` | 1: as under confidential computing, where host memory cannot be registered (801) | 0 |
//!
//! Each is a line `NAME=value` of the file `fake-cuda.env` in the library's folder (the last one counts), or an
//! environment variable, and is read whenever it matters, so a GPU can fail under a running process.

mod code;
mod config;
mod context;
mod cublaslt;
mod driver;
mod event;
mod graph;
mod install;
mod launch;
mod memory;
mod queue;
mod runtime;
#[path = "../../src/settings.rs"]
mod settings;
mod stream;
mod transfer;

pub use install::{InstallError, install};
