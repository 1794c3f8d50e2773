//! cuBLASLt: one product, in all the forms that are used.

use cudarc::cublaslt::result as lt;
use cudarc::cublaslt::sys::cublasComputeType_t::CUBLAS_COMPUTE_32F;
use cudarc::cublaslt::sys::cublasLtEpilogue_t::CUBLASLT_EPILOGUE_BIAS;
use cudarc::cublaslt::sys::cublasLtMatmulDescAttributes_t::{
    self as Attribute, CUBLASLT_MATMUL_DESC_BIAS_POINTER, CUBLASLT_MATMUL_DESC_EPILOGUE,
    CUBLASLT_MATMUL_DESC_TRANSA, CUBLASLT_MATMUL_DESC_TRANSB,
};
use cudarc::cublaslt::sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
use cudarc::cublaslt::sys::cublasLtMatrixLayoutAttribute_t::{
    self as LayoutAttribute, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, CUBLASLT_MATRIX_LAYOUT_ORDER,
    CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET,
};
use cudarc::cublaslt::sys::cublasLtOrder_t::CUBLASLT_ORDER_ROW;
use cudarc::cublaslt::sys::cublasStatus_t::{
    self, CUBLAS_STATUS_INVALID_VALUE, CUBLAS_STATUS_NOT_SUPPORTED,
};
use cudarc::cublaslt::sys::cudaDataType_t::{self as Type, CUDA_R_16BF, CUDA_R_16F, CUDA_R_32F};
use cudarc::cublaslt::sys::{cublasLtMatmulDesc_t, cublasLtMatrixLayout_t};
use cudarc::driver::{CudaSlice, DeviceRepr};
use half::{bf16, f16};

use crate::gpu::{Gpu, address};
use crate::{promised, simulated};

struct Operation(cublasLtMatmulDesc_t);

impl Operation {
    fn new() -> Self {
        Self(lt::create_matmul_desc(CUBLAS_COMPUTE_32F, CUDA_R_32F).unwrap())
    }

    fn with<Value: Copy>(self, attribute: Attribute, value: Value) -> Self {
        let bytes = size_of::<Value>();
        // SAFETY: a value of this size.
        unsafe {
            lt::set_matmul_desc_attribute(self.0, attribute, (&raw const value).cast(), bytes)
        }
        .unwrap();
        self
    }
}

struct Layout(cublasLtMatrixLayout_t);

impl Layout {
    /// In column order.
    fn new(kind: Type, rows: u64, columns: u64, stride: i64) -> Self {
        Self(lt::create_matrix_layout(kind, rows, columns, stride).unwrap())
    }

    fn with<Value: Copy>(self, attribute: LayoutAttribute, value: Value) -> Self {
        let bytes = size_of::<Value>();
        // SAFETY: a value of this size.
        unsafe {
            lt::set_matrix_layout_attribute(self.0, attribute, (&raw const value).cast(), bytes)
        }
        .unwrap();
        self
    }

    fn by_rows(self) -> Self {
        self.with(CUBLASLT_MATRIX_LAYOUT_ORDER, CUBLASLT_ORDER_ROW)
    }

    fn batches(self, count: i32, stride: i64) -> Self {
        let layout = self.with(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, count);
        layout.with(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, stride)
    }
}

/// D = alpha A B + beta D.
fn multiply<In: DeviceRepr, Out: DeviceRepr>(
    gpu: &Gpu,
    operation: &Operation,
    (a, b, d): (&CudaSlice<In>, &CudaSlice<In>, &CudaSlice<Out>),
    layouts: [&Layout; 3],
    (alpha, beta): (f32, f32),
) -> Result<(), cublasStatus_t> {
    let handle = lt::create_handle().unwrap();
    let preference = lt::create_matmul_pref().unwrap();
    let [a_layout, b_layout, d_layout] = layouts.map(|layout| layout.0);
    let [a, b, d] = [
        address(a, &gpu.stream),
        address(b, &gpu.stream),
        address(d, &gpu.stream),
    ]
    .map(|address| std::ptr::with_exposed_provenance_mut(usize::try_from(address).unwrap()));
    // SAFETY: descriptors that live, device memory that they fit, and two scales.
    let multiplied = unsafe {
        lt::get_matmul_algo_heuristic(
            handle,
            operation.0,
            a_layout,
            b_layout,
            d_layout,
            d_layout,
            preference,
        )
        .and_then(|found| {
            lt::matmul(
                handle,
                operation.0,
                (&raw const alpha).cast(),
                (&raw const beta).cast(),
                a,
                a_layout,
                b,
                b_layout,
                d,
                d_layout,
                d,
                d_layout,
                &raw const found.algo,
                std::ptr::null_mut(),
                0,
                gpu.stream.cu_stream().cast(),
            )
        })
    };
    // SAFETY: neither is used again.
    unsafe {
        lt::destroy_matmul_pref(preference).unwrap();
        lt::destroy_handle(handle).unwrap();
    }
    multiplied.map_err(|error| error.0)
}

/// 3 x 2 by columns, its rows [1, 4], [2, 5], [3, 6].
const A: [f32; 6] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
/// 2 x 2 by columns, its rows [7, 9], [8, 10].
const B: [f32; 4] = [7.0, 8.0, 9.0, 10.0];
/// 3 x 2 by columns.
const AB: [f32; 6] = [39.0, 54.0, 69.0, 49.0, 68.0, 87.0];

#[test]
fn a_product_by_columns() {
    promised(|| {
        let gpu = Gpu::open();
        let (a, b) = (
            gpu.stream.clone_htod(&A).unwrap(),
            gpu.stream.clone_htod(&B).unwrap(),
        );
        let d = gpu.stream.clone_htod(&[1.0_f32; 6]).unwrap();
        let layouts = [
            &Layout::new(CUDA_R_32F, 3, 2, 3),
            &Layout::new(CUDA_R_32F, 2, 2, 2),
            &Layout::new(CUDA_R_32F, 3, 2, 3),
        ];
        multiply(&gpu, &Operation::new(), (&a, &b, &d), layouts, (1.0, 0.0)).unwrap();
        assert_eq!(gpu.stream.clone_dtoh(&d).unwrap(), AB);
        multiply(&gpu, &Operation::new(), (&a, &b, &d), layouts, (2.0, -1.0)).unwrap();
        assert_eq!(gpu.stream.clone_dtoh(&d).unwrap(), AB);
    });
}

#[test]
fn a_product_of_transposes_by_rows_with_longer_strides() {
    promised(|| {
        let gpu = Gpu::open();
        // Both operands as their transposes by rows, which are the same bytes, each row of A's in four places.
        let a = gpu
            .stream
            .clone_htod(&[1.0_f32, 2.0, 3.0, 99.0, 4.0, 5.0, 6.0, 99.0])
            .unwrap();
        let b = gpu.stream.clone_htod(&B).unwrap();
        let d = gpu.stream.clone_htod(&[0.5_f32; 12]).unwrap();
        let operation = Operation::new()
            .with(CUBLASLT_MATMUL_DESC_TRANSA, 1_i32)
            .with(CUBLASLT_MATMUL_DESC_TRANSB, 1_i32);
        let layouts = [
            &Layout::new(CUDA_R_32F, 2, 3, 4).by_rows(),
            &Layout::new(CUDA_R_32F, 2, 2, 2).by_rows(),
            &Layout::new(CUDA_R_32F, 3, 2, 4).by_rows(),
        ];
        multiply(&gpu, &operation, (&a, &b, &d), layouts, (1.0, 0.0)).unwrap();
        let expected = [
            39.0, 49.0, 0.5, 0.5, 54.0, 68.0, 0.5, 0.5, 69.0, 87.0, 0.5, 0.5,
        ];
        assert_eq!(gpu.stream.clone_dtoh(&d).unwrap(), expected);
    });
}

#[test]
fn products_of_a_batch() {
    promised(|| {
        let gpu = Gpu::open();
        let a = gpu
            .stream
            .clone_htod(&[A, A.map(|element| -element)].concat())
            .unwrap();
        let b = gpu.stream.clone_htod(&B).unwrap();
        let d = gpu.stream.alloc_zeros::<f32>(12).unwrap();
        let layouts = [
            &Layout::new(CUDA_R_32F, 3, 2, 3).batches(2, 6),
            &Layout::new(CUDA_R_32F, 2, 2, 2).batches(2, 0),
            &Layout::new(CUDA_R_32F, 3, 2, 3).batches(2, 6),
        ];
        multiply(&gpu, &Operation::new(), (&a, &b, &d), layouts, (1.0, 0.0)).unwrap();
        let expected = [AB, AB.map(|element| -element)].concat();
        assert_eq!(gpu.stream.clone_dtoh(&d).unwrap(), expected);
    });
}

/// 16 x 16 of ones times itself plus a bias by row, in a narrow type.
fn narrow_with_bias<Number: DeviceRepr + Copy>(
    kind: Type,
    from: fn(f32) -> Number,
    to: fn(Number) -> f32,
) {
    let gpu = Gpu::open();
    let ones = gpu.stream.clone_htod(&[from(1.0); 256]).unwrap();
    let d = gpu.stream.clone_htod(&[from(0.0); 256]).unwrap();
    let bias: Vec<_> = (0..16_u8).map(|row| from(f32::from(row))).collect();
    let bias = gpu.stream.clone_htod(&bias).unwrap();
    let operation = Operation::new()
        .with(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS)
        .with(
            CUBLASLT_MATMUL_DESC_BIAS_POINTER,
            address(&bias, &gpu.stream),
        );
    let layout = Layout::new(kind, 16, 16, 16);
    multiply(
        &gpu,
        &operation,
        (&ones, &ones, &d),
        [&layout; 3],
        (0.5, 0.0),
    )
    .unwrap();
    let expected: Vec<_> = (0..256_u16).map(|i| 8.0 + f32::from(i % 16)).collect();
    let read: Vec<_> = gpu
        .stream
        .clone_dtoh(&d)
        .unwrap()
        .into_iter()
        .map(to)
        .collect();
    assert_eq!(read, expected);
}

#[test]
fn a_product_in_binary16_with_a_bias() {
    promised(|| narrow_with_bias(CUDA_R_16F, f16::from_f32, f16::to_f32));
}

#[test]
fn a_product_in_bfloat16_with_a_bias() {
    promised(|| narrow_with_bias(CUDA_R_16BF, bf16::from_f32, bf16::to_f32));
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    promised(|| {
        let gpu = Gpu::open();
        let (a, b) = (
            gpu.stream.clone_htod(&A).unwrap(),
            gpu.stream.clone_htod(&B).unwrap(),
        );
        let d = gpu.stream.alloc_zeros::<f32>(6).unwrap();
        let layouts = [
            &Layout::new(CUDA_R_32F, 2, 3, 2),
            &Layout::new(CUDA_R_32F, 2, 2, 2),
            &Layout::new(CUDA_R_32F, 2, 2, 2),
        ];
        let refused = multiply(&gpu, &Operation::new(), (&a, &b, &d), layouts, (1.0, 0.0));
        assert_eq!(refused, Err(CUBLAS_STATUS_INVALID_VALUE));
    });
}

/// What a call that the library should refuse is made with.
#[derive(Clone, Copy)]
struct Given {
    /// Bytes behind the beginning of its allocation.
    d_at: u64,
    workspace_bytes_max: usize,
    workspace_bytes: usize,
    /// Rows of the product that the algorithm is asked for.
    asked_rows: u64,
}

const PLAIN: Given = Given {
    d_at: 0,
    workspace_bytes_max: 1 << 20,
    workspace_bytes: 1 << 20,
    asked_rows: 2,
};

/// 2 x 2 of ones times itself, with a workspace of zeroes; how much of that the product changed.
fn multiply_ones(gpu: &Gpu, given: Given) -> Result<usize, cublasStatus_t> {
    let ones = gpu.stream.clone_htod(&[1.0_f32; 8]).unwrap();
    let d = gpu.stream.alloc_zeros::<f32>(8).unwrap();
    let workspace = gpu.stream.alloc_zeros::<u8>(1 << 20).unwrap();
    let handle = lt::create_handle().unwrap();
    let preference = lt::create_matmul_pref().unwrap();
    let operation = Operation::new();
    let layout = Layout::new(CUDA_R_32F, 2, 2, 2);
    let asked = Layout::new(
        CUDA_R_32F,
        given.asked_rows,
        2,
        given.asked_rows.cast_signed(),
    );
    let pointer =
        |address: u64| std::ptr::with_exposed_provenance_mut(usize::try_from(address).unwrap());
    let (ones, d_pointer) = (
        pointer(address(&ones, &gpu.stream)),
        pointer(address(&d, &gpu.stream) + given.d_at),
    );
    // SAFETY: descriptors that live, device memory that they fit, and two scales.
    let multiplied = unsafe {
        let bytes_max = given.workspace_bytes_max;
        let attribute = CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
        let value = (&raw const bytes_max).cast();
        lt::set_matmul_pref_attribute(preference, attribute, value, size_of::<usize>()).unwrap();
        let (a, c) = (asked.0, asked.0);
        lt::get_matmul_algo_heuristic(handle, operation.0, a, layout.0, c, c, preference).and_then(
            |found| {
                let (one, zero) = (1.0_f32, 0.0_f32);
                lt::matmul(
                    handle,
                    operation.0,
                    (&raw const one).cast(),
                    (&raw const zero).cast(),
                    ones,
                    layout.0,
                    ones,
                    layout.0,
                    d_pointer,
                    layout.0,
                    d_pointer,
                    layout.0,
                    &raw const found.algo,
                    pointer(address(&workspace, &gpu.stream)),
                    given.workspace_bytes,
                    gpu.stream.cu_stream().cast(),
                )
            },
        )
    };
    // SAFETY: neither is used again.
    unsafe {
        lt::destroy_matmul_pref(preference).unwrap();
        lt::destroy_handle(handle).unwrap();
    }
    multiplied.map_err(|error| error.0)?;
    assert_eq!(gpu.stream.clone_dtoh(&d).unwrap()[..4], [2.0; 4]);
    let left = gpu.stream.clone_dtoh(&workspace).unwrap();
    Ok(left.iter().filter(|byte| **byte != 0).count())
}

#[test]
fn a_product_leaves_its_workspace_full_of_poison_and_uses_no_more_than_is_allowed() {
    let reason = "which workspace a product uses is the library's own choice";
    simulated(reason, &[], || {
        let gpu = Gpu::open();
        assert_eq!(multiply_ones(&gpu, PLAIN), Ok(1_000_003));
        let small = Given {
            workspace_bytes_max: 512,
            workspace_bytes: 512,
            ..PLAIN
        };
        assert_eq!(multiply_ones(&gpu, small), Ok(512));
    });
}

#[test]
fn a_product_takes_its_own_algorithm_its_workspace_and_aligned_matrices_alone() {
    let reason = "the products that are computed forgive some of it";
    simulated(reason, &[], || {
        let gpu = Gpu::open();
        let shifted = Given { d_at: 4, ..PLAIN };
        let short = Given {
            workspace_bytes: 1_000,
            ..PLAIN
        };
        let others = Given {
            asked_rows: 3,
            ..PLAIN
        };
        for given in [shifted, short, others] {
            assert_eq!(multiply_ones(&gpu, given), Err(CUBLAS_STATUS_INVALID_VALUE));
        }
    });
}

#[test]
fn a_question_is_answered_with_the_status_that_was_set() {
    let reason = "the shapes that are asked for are supported";
    simulated(reason, &[("FAKE_CUDA_HEURISTIC", "15")], || {
        let refused = multiply_ones(&Gpu::open(), PLAIN);
        assert_eq!(refused, Err(CUBLAS_STATUS_NOT_SUPPORTED));
    });
}

#[test]
fn a_product_that_faults_loses_the_context() {
    let reason = "the products that are computed do not fault when told to";
    simulated(reason, &[("FAKE_CUDA_FAULT", "matmul")], || {
        let gpu = Gpu::open();
        let ones = gpu.stream.clone_htod(&[1.0_f32; 4]).unwrap();
        let layout = Layout::new(CUDA_R_32F, 2, 2, 2);
        let operation = Operation::new();
        multiply(
            &gpu,
            &operation,
            (&ones, &ones, &ones),
            [&layout; 3],
            (1.0, 0.0),
        )
        .unwrap();
        assert!(gpu.stream.synchronize().is_err());
    });
}
