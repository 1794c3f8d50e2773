//! Products of matrices, by cuBLASLt. How it multiplies matrices of one shape is asked once and kept: the question costs tens
//! of microseconds, and cudarc's own wrapper asks it at each call.
#![expect(
    unsafe_code,
    reason = "functions of a C library; each block says why it may be called"
)]

use std::collections::HashMap;

use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys;

use super::classify::CudaError;
use super::device::DeviceRange;
use super::launch::Product;
use super::stream::Stream;

/// What cuBLASLt may use beside the matrices. NVIDIA's documentation of cuBLAS recommends 32 MiB for Hopper.
pub(super) const WORKSPACE_BYTES: usize = 32 * 1024 * 1024;
/// Shapes whose plan is kept; when there are more, all are asked anew. A worker that multiplies more shapes than this in
/// turn does not notice the question beside them.
const PLANS_MAX: usize = 256;

/// What the elements are. Sums are binary32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Number {
    Binary32,
    Binary16,
    Bfloat16,
}

/// An m × k and a k × n matrix, row by row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub(super) number: Number,
    pub(super) m: u64,
    pub(super) n: u64,
    pub(super) k: u64,
}

/// cuBLASLt, with the plans that were asked for.
#[derive(Debug)]
pub(super) struct Products {
    plans: HashMap<Shape, Plan>,
    handle: Handle,
}

#[derive(Debug)]
struct Handle(sys::cublasLtHandle_t);

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: created once, in `Products::new`.
        let _ = unsafe { result::destroy_handle(self.0) };
    }
}

fn named<T>(call: &'static str, result: Result<T, CublasError>) -> Result<T, CudaError> {
    result.map_err(|error| CudaError::Blas {
        call,
        status: error.0,
    })
}

impl Products {
    /// For the current context.
    pub(super) fn new() -> Result<Self, CudaError> {
        let handle = named("cublasLtCreate", result::create_handle())?;
        Ok(Self {
            plans: HashMap::new(),
            handle: Handle(handle),
        })
    }

    /// Called before each lot, whose plans are all used before the next call.
    pub(super) fn make_room(&mut self) {
        if self.plans.len() >= PLANS_MAX {
            self.plans.clear();
        }
    }

    /// Makes sure that there is a plan; how much of the workspace it uses.
    pub(super) fn plan(&mut self, shape: Shape) -> Result<usize, CudaError> {
        if let Some(plan) = self.plans.get(&shape) {
            return Ok(plan.workspace_bytes);
        }
        let plan = Plan::ask(&self.handle, shape)?;
        let workspace_bytes = plan.workspace_bytes;
        self.plans.insert(shape, plan);
        Ok(workspace_bytes)
    }

    /// Begins the product; as [`Stream`]'s unsafe functions. The addresses are of matrices of the shape.
    pub(super) unsafe fn begin(
        &self,
        product: &Product,
        workspace: DeviceRange,
        stream: &Stream,
    ) -> Result<(), CudaError> {
        let plan = self.plans.get(&product.shape);
        let plan = plan.ok_or(CudaError::Launch("cublasLtMatmul"))?;
        let (one, zero) = (1.0_f32, 0.0_f32);
        let pointer = |address: u64| {
            usize::try_from(address)
                .map(std::ptr::without_provenance_mut)
                .map_err(|_| CudaError::Bounds)
        };
        let (a, b, output) = (
            pointer(product.a)?,
            pointer(product.b)?,
            pointer(product.output)?,
        );
        // SAFETY: every description is alive as long as its plan; the scale factors are read before the call returns, since
        // their place is this process's memory by default; for the matrices see the promise above. cuBLASLt counts columns
        // first, and a matrix row by row is its transpose so: the product's transpose is b's times a's.
        let begun = unsafe {
            result::matmul(
                self.handle.0,
                plan.operation.0,
                (&raw const one).cast(),
                (&raw const zero).cast(),
                b,
                plan.b.0,
                a,
                plan.a.0,
                output,
                plan.output.0,
                output,
                plan.output.0,
                &raw const plan.algorithm,
                pointer(workspace.address)?,
                plan.workspace_bytes,
                stream.raw().cast(),
            )
        };
        named("cublasLtMatmul", begun)
    }
}

/// How matrices of one shape are multiplied.
#[derive(Debug)]
struct Plan {
    operation: Operation,
    a: Layout,
    b: Layout,
    output: Layout,
    algorithm: sys::cublasLtMatmulAlgo_t,
    workspace_bytes: usize,
}

impl Plan {
    fn ask(handle: &Handle, shape: Shape) -> Result<Self, CudaError> {
        let number = match shape.number {
            Number::Binary32 => sys::cudaDataType_t::CUDA_R_32F,
            Number::Binary16 => sys::cudaDataType_t::CUDA_R_16F,
            Number::Bfloat16 => sys::cudaDataType_t::CUDA_R_16BF,
        };
        let operation = Operation::new()?;
        let a = Layout::new(number, shape.m, shape.k)?;
        let b = Layout::new(number, shape.k, shape.n)?;
        let output = Layout::new(number, shape.m, shape.n)?;
        let preference = Preference::new()?;
        // SAFETY: every description was made just now; a and b change places as they do in `begin`.
        let answer = unsafe {
            result::get_matmul_algo_heuristic(
                handle.0,
                operation.0,
                b.0,
                a.0,
                output.0,
                output.0,
                preference.0,
            )
        };
        let answer = named("cublasLtMatmulAlgoGetHeuristic", answer)?;
        if answer.workspaceSize > WORKSPACE_BYTES {
            return Err(CudaError::Bounds);
        }
        Ok(Self {
            operation,
            a,
            b,
            output,
            algorithm: answer.algo,
            workspace_bytes: answer.workspaceSize,
        })
    }
}

#[derive(Debug)]
struct Operation(sys::cublasLtMatmulDesc_t);

impl Operation {
    /// Products of binary32 are taken in binary32, not in the shorter TF32, unless that is asked for by name.
    fn new() -> Result<Self, CudaError> {
        let operation = result::create_matmul_desc(
            sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
            sys::cudaDataType_t::CUDA_R_32F,
        );
        named("cublasLtMatmulDescCreate", operation).map(Self)
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        // SAFETY: created once, in `new`.
        let _ = unsafe { result::destroy_matmul_desc(self.0) };
    }
}

/// A matrix row by row, which to cuBLASLt is one of as many rows as this has columns.
#[derive(Debug)]
struct Layout(sys::cublasLtMatrixLayout_t);

impl Layout {
    fn new(number: sys::cudaDataType_t, rows: u64, columns: u64) -> Result<Self, CudaError> {
        let stride = i64::try_from(columns).map_err(|_| CudaError::Bounds)?;
        let layout = result::create_matrix_layout(number, columns, rows, stride);
        named("cublasLtMatrixLayoutCreate", layout).map(Self)
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        // SAFETY: created once, in `new`.
        let _ = unsafe { result::destroy_matrix_layout(self.0) };
    }
}

#[derive(Debug)]
struct Preference(sys::cublasLtMatmulPreference_t);

impl Preference {
    fn new() -> Result<Self, CudaError> {
        let preference = named(
            "cublasLtMatmulPreferenceCreate",
            result::create_matmul_pref(),
        )?;
        let preference = Self(preference);
        let attribute =
            sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        let workspace_bytes = WORKSPACE_BYTES;
        // SAFETY: the preference was made just now; the attribute is a `size_t`, and copied before the call returns.
        let set = unsafe {
            result::set_matmul_pref_attribute(
                preference.0,
                attribute,
                (&raw const workspace_bytes).cast(),
                size_of::<usize>(),
            )
        };
        named("cublasLtMatmulPreferenceSetAttribute", set)?;
        Ok(preference)
    }
}

impl Drop for Preference {
    fn drop(&mut self) {
        // SAFETY: created once, in `new`.
        let _ = unsafe { result::destroy_matmul_pref(self.0) };
    }
}
