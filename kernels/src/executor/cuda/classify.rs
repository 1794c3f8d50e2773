//! What an error of CUDA says of: this machine as it is now, where another one may have the output, or the executor, whose
//! process is then replaced. No error says that a task would fail everywhere.
//!
//! Only two are this machine's: a task's arrays do not fit the memory that its device has left, and its cuBLASLt has no
//! algorithm for a shape on it. Both leave the context as it was. Every other one is the executor's: cuda.h says of an illegal address, a failed launch
//! or a time-out that the process "must be terminated and relaunched", and what is not known to be harmless is not.

use cudarc::cublaslt::sys::cublasStatus_t;
use cudarc::driver::sys::CUresult;

use crate::executor::Fault;

/// A call that CUDA refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CudaError {
    #[error("{call} answered {code:?}")]
    Driver { call: &'static str, code: CUresult },
    #[error("{call} answered {status:?}")]
    Blas {
        call: &'static str,
        status: cublasStatus_t,
    },
    #[error("the kernel `{0}` is not launched as the module's manifest says")]
    Launch(&'static str),
    #[error("memory of the device or of its staging would be used beyond its end")]
    Bounds,
    #[error("memory that a lot under way uses would be used for another")]
    UnderWay,
    #[error("the module has no kernels for a model of these sizes")]
    Dimensions,
    #[error("a capture was broken off")]
    Capture,
}

impl CudaError {
    /// Of a call that needs memory for one task.
    pub(super) fn at_allocation(self, bytes: usize) -> Fault {
        match self {
            Self::Driver {
                code: CUresult::CUDA_ERROR_OUT_OF_MEMORY,
                ..
            } => Fault::Here(format!(
                "the device has no room for the task's {bytes} bytes of inputs and output"
            )),
            other => other.of_executor(),
        }
    }

    /// Of a call that looks for a way to multiply matrices of this shape.
    pub(super) fn at_plan(self) -> Result<Fault, Self> {
        match self {
            Self::Blas {
                status: cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED,
                ..
            } => Ok(Fault::Here(
                "cuBLASLt has no algorithm for matrices of this shape here".to_owned(),
            )),
            other => Err(other),
        }
    }

    /// Of a call that records: nothing of it was done, and everything can be done step by step.
    pub(super) fn is_of_capture(self) -> bool {
        match self {
            Self::Capture => true,
            // cuda.h: from CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED to CUDA_ERROR_STREAM_CAPTURE_IMPLICIT.
            #[expect(clippy::as_conversions, reason = "the number of an enumeration of C")]
            Self::Driver { code, .. } => (900..=906).contains(&(code as u32)),
            _ => false,
        }
    }

    /// Of any other call.
    pub(super) fn of_executor(self) -> Fault {
        Fault::Executor(self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn driver(code: CUresult) -> CudaError {
        CudaError::Driver { call: "call", code }
    }

    const fn blas(status: cublasStatus_t) -> CudaError {
        CudaError::Blas {
            call: "call",
            status,
        }
    }

    #[test]
    fn memory_that_a_task_cannot_have_is_not_here() {
        let exhausted = driver(CUresult::CUDA_ERROR_OUT_OF_MEMORY);
        assert!(
            matches!(exhausted.at_allocation(8), Fault::Here(text) if text.contains(" 8 bytes"))
        );
        assert!(matches!(exhausted.of_executor(), Fault::Executor(_)));
        for code in [
            CUresult::CUDA_ERROR_ILLEGAL_ADDRESS,
            CUresult::CUDA_ERROR_LAUNCH_FAILED,
            CUresult::CUDA_ERROR_UNKNOWN,
        ] {
            assert!(matches!(driver(code).at_allocation(8), Fault::Executor(_)));
        }
    }

    #[test]
    fn a_shape_without_an_algorithm_is_not_multiplied_here() {
        let unsupported = blas(cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED);
        assert!(matches!(unsupported.at_plan(), Ok(Fault::Here(_))));
        assert!(matches!(unsupported.of_executor(), Fault::Executor(_)));
        // Whatever the catalogue lets through is valid: a value that is not is the executor's.
        for status in [
            cublasStatus_t::CUBLAS_STATUS_INVALID_VALUE,
            cublasStatus_t::CUBLAS_STATUS_EXECUTION_FAILED,
        ] {
            assert_eq!(blas(status).at_plan(), Err(blas(status)));
        }
    }

    #[test]
    fn what_only_breaks_a_capture_off_is_told_apart() {
        for code in [
            CUresult::CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
            CUresult::CUDA_ERROR_STREAM_CAPTURE_INVALIDATED,
            CUresult::CUDA_ERROR_STREAM_CAPTURE_IMPLICIT,
        ] {
            assert!(driver(code).is_of_capture());
        }
        for error in [
            driver(CUresult::CUDA_ERROR_ILLEGAL_ADDRESS),
            driver(CUresult::CUDA_ERROR_CAPTURED_EVENT),
            CudaError::Bounds,
        ] {
            assert!(!error.is_of_capture());
        }
    }
}
