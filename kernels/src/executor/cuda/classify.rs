//! Whose fault an error of CUDA is: the task's, which would fail the same way again, or the executor's, whose process is
//! then replaced.
//!
//! Only two errors are the task's: its arrays do not fit the device's memory, and cuBLASLt has no algorithm for its shape.
//! Both leave the context as it was. Every other one is the executor's: cuda.h says of an illegal address, a failed launch
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
}

impl CudaError {
    /// Of a call that needs memory for one task.
    pub(super) fn at_allocation(self, bytes: usize) -> Fault {
        match self {
            Self::Driver {
                code: CUresult::CUDA_ERROR_OUT_OF_MEMORY,
                ..
            } => Fault::Task(format!(
                "the device has no room for the task's {bytes} bytes of inputs and output"
            )),
            other => other.of_executor(),
        }
    }

    /// Of a call that looks for a way to multiply matrices of this shape.
    pub(super) fn at_plan(self) -> Fault {
        match self {
            Self::Blas {
                status:
                    cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED
                    | cublasStatus_t::CUBLAS_STATUS_INVALID_VALUE,
                ..
            } => Fault::Task("cuBLASLt has no algorithm for matrices of this shape".to_owned()),
            other => other.of_executor(),
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
    fn memory_that_a_task_cannot_have_is_the_tasks_fault_alone() {
        let exhausted = driver(CUresult::CUDA_ERROR_OUT_OF_MEMORY);
        assert!(
            matches!(exhausted.at_allocation(8), Fault::Task(text) if text.contains(" 8 bytes"))
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
    fn a_shape_without_an_algorithm_is_the_tasks_fault_alone() {
        let unsupported = blas(cublasStatus_t::CUBLAS_STATUS_NOT_SUPPORTED);
        assert!(matches!(unsupported.at_plan(), Fault::Task(_)));
        assert!(matches!(unsupported.of_executor(), Fault::Executor(_)));
        let failed = blas(cublasStatus_t::CUBLAS_STATUS_EXECUTION_FAILED);
        assert!(matches!(failed.at_plan(), Fault::Executor(_)));
    }
}
