//! `libcublasLt.so`: descriptors, and one plain matrix product. Names and signatures are those of cublasLt.h.
//!
//! Data are binary32, binary16 or bfloat16, sums and scales binary32; column or row order, transposes, leading dimensions,
//! strided batches and the bias epilogue. Anything else is refused as not supported. A product takes the algorithm that
//! was answered for it and no other, matrices that are aligned, and a workspace, which it leaves full of poison.
#![expect(
    unsafe_code,
    reason = "exported symbols, and memory that a caller points to"
)]

mod product;

use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint};
use std::ptr::with_exposed_provenance;
use std::sync::{Mutex, PoisonError};

use crate::code::SUCCESS;
use crate::config;
use crate::driver::{self, Handle, exports};
use crate::memory::Memory;
use product::{Matrix, Product};

/// `cublasStatus_t`.
#[derive(Clone, Copy)]
struct Status(c_int);

const INVALID_VALUE: Status = Status(7);
const EXECUTION_FAILED: Status = Status(13);
const NOT_SUPPORTED: Status = Status(15);

/// `CUBLAS_COMPUTE_32F`, its pedantic form, and the forms that may round operands. All are computed as the first.
const COMPUTE_32F: [u64; 5] = [68, 69, 74, 75, 77];
/// `CUDA_R_32F`.
const BINARY32: u64 = 0;

/// `CUBLASLT_MATRIX_LAYOUT_…`.
const TYPE: c_uint = 0;
const ORDER: c_uint = 1;
const ROWS: c_uint = 2;
const COLUMNS: c_uint = 3;
const STRIDE: c_uint = 4;
const BATCHES: c_uint = 5;
const BATCH_STRIDE: c_uint = 6;

/// `CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES`.
const WORKSPACE_BYTES_MAX: c_uint = 1;
/// What a product uses of the workspace that it is allowed: an odd number, as the library's own often are.
const WORKSPACE_BYTES: usize = 1_000_003;
/// What cublasLt.h says of `CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_…`, unless it is set: matrices begin at multiples of this.
const ALIGNMENT_BYTES: usize = 256;

/// `CUBLASLT_MATMUL_DESC_…`.
const COMPUTE_TYPE: c_uint = 0;
const SCALE_TYPE: c_uint = 1;
const POINTER_MODE: c_uint = 2;
const TRANSPOSE_A: c_uint = 3;
const TRANSPOSE_B: c_uint = 4;
const EPILOGUE: c_uint = 7;
const BIAS_POINTER: c_uint = 8;
const FAST_ACCUMULATION: c_uint = 25;
const BIAS_TYPE: c_uint = 26;
/// No attribute: C and D are not transposed.
const NEVER: c_uint = c_uint::MAX;

/// `CUBLASLT_EPILOGUE_…`.
const EPILOGUE_DEFAULT: u64 = 1;
const EPILOGUE_BIAS: u64 = 4;

/// Whatever has been created: its attributes by number.
type Attributes = BTreeMap<c_uint, u64>;

struct Objects {
    known: BTreeMap<Handle, Attributes>,
    last: Handle,
}

static OBJECTS: Mutex<Objects> = Mutex::new(Objects {
    known: BTreeMap::new(),
    last: 0,
});

fn with<T>(what: impl FnOnce(&mut Objects) -> Result<T, Status>) -> Result<T, Status> {
    what(&mut OBJECTS.lock().unwrap_or_else(PoisonError::into_inner))
}

fn number(result: Result<(), Status>) -> c_int {
    result.map_or_else(|status| status.0, |()| SUCCESS)
}

fn create<const COUNT: usize>(out: Option<&mut Handle>, given: [(c_uint, u64); COUNT]) -> c_int {
    number(with(|objects| {
        objects.last += 1;
        objects.known.insert(objects.last, Attributes::from(given));
        *out.ok_or(INVALID_VALUE)? = objects.last;
        Ok(())
    }))
}

fn destroy(object: Handle) -> c_int {
    number(with(|objects| {
        let removed = objects.known.remove(&object);
        removed.map(|_| ()).ok_or(INVALID_VALUE)
    }))
}

fn set(object: Handle, attribute: c_uint, value: usize, bytes: usize) -> c_int {
    let mut little_endian = [0; 8];
    if value == 0 || ![4, 8].contains(&bytes) {
        return INVALID_VALUE.0;
    }
    let value = with_exposed_provenance::<u8>(value);
    // SAFETY: the caller of the C interface points to this many bytes, and there is room for eight.
    unsafe { value.copy_to(little_endian.as_mut_ptr(), bytes) };
    number(with(|objects| {
        let known = objects.known.get_mut(&object).ok_or(INVALID_VALUE)?;
        known.insert(attribute, u64::from_le_bytes(little_endian));
        Ok(())
    }))
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtGetVersion() -> usize {
    config::blas_version()
}

exports! {
    fn cublasLtCreate(library: Option<&mut Handle>) { create(library, []) }
    fn cublasLtDestroy(library: Handle) { destroy(library) }

    fn cublasLtMatmulPreferenceCreate(preference: Option<&mut Handle>) { create(preference, []) }
    fn cublasLtMatmulPreferenceSetAttribute(preference: Handle, attribute: c_uint, value: usize, bytes: usize) {
        set(preference, attribute, value, bytes)
    }
    fn cublasLtMatmulPreferenceDestroy(preference: Handle) { destroy(preference) }

    fn cublasLtMatrixLayoutCreate(layout: Option<&mut Handle>, kind: c_uint, rows: u64, columns: u64, stride: u64) {
        create(layout, [(TYPE, kind.into()), (ROWS, rows), (COLUMNS, columns), (STRIDE, stride)])
    }
    fn cublasLtMatrixLayoutSetAttribute(layout: Handle, attribute: c_uint, value: usize, bytes: usize) {
        set(layout, attribute, value, bytes)
    }
    fn cublasLtMatrixLayoutDestroy(layout: Handle) { destroy(layout) }

    fn cublasLtMatmulDescCreate(operation: Option<&mut Handle>, compute: c_uint, scale: c_uint) {
        create(operation, [(COMPUTE_TYPE, compute.into()), (SCALE_TYPE, scale.into())])
    }
    fn cublasLtMatmulDescSetAttribute(operation: Handle, attribute: c_uint, value: usize, bytes: usize) {
        set(operation, attribute, value, bytes)
    }
    fn cublasLtMatmulDescDestroy(operation: Handle) { destroy(operation) }
}

/// `cublasLtMatmulHeuristicResult_t`.
#[repr(C)]
struct Heuristic {
    algorithm: Algorithm,
    workspace_bytes: usize,
    state: c_int,
    waves: f32,
    reserved: [c_int; 4],
}

exports! {
    fn cublasLtMatmulAlgoGetHeuristic(
        _: Handle, operation: Handle, a: Handle, b: Handle, c: Handle, d: Handle, preference: Handle,
        requested: c_int, result: Option<&mut Heuristic>, count: Option<&mut c_int>
    ) {
        number(product(operation, [a, b, c, d].map(|layout| (layout, 0))).and_then(|product| {
            config::heuristic_status().map_or(Ok(()), |status| Err(Status(status)))?;
            let workspace_bytes = workspace_allowed(preference)?.min(WORKSPACE_BYTES);
            let out = result.zip(count).filter(|_| requested > 0);
            let (result, count) = out.ok_or(INVALID_VALUE)?;
            *count = 1;
            *result = Heuristic {
                algorithm: algorithm(&product, workspace_bytes),
                workspace_bytes,
                state: SUCCESS,
                waves: 1.0,
                reserved: [0; 4],
            };
            Ok(())
        }))
    }
    fn cublasLtMatmul(
        _: Handle, operation: Handle, alpha: Option<&f32>, a: usize, a_layout: Handle, b: usize, b_layout: Handle,
        beta: Option<&f32>, c: usize, c_layout: Handle, d: usize, d_layout: Handle, given: Option<&Algorithm>,
        workspace: usize, workspace_bytes: usize, stream: Handle
    ) {
        let matrices = [(a_layout, a), (b_layout, b), (c_layout, c), (d_layout, d)];
        number(product(operation, matrices).and_then(|mut product| {
            let (alpha, beta) = alpha.zip(beta).ok_or(INVALID_VALUE)?;
            (product.alpha, product.beta) = (*alpha, *beta);
            let used_bytes = workspace_of(&product, given)?;
            let is_aligned = [a, b, c, d, workspace].iter().all(|at| at.is_multiple_of(ALIGNMENT_BYTES));
            if !is_aligned || used_bytes > workspace_bytes {
                return Err(INVALID_VALUE);
            }
            let run = move |memory: &mut Memory| {
                product.run(memory)?;
                memory.scribble(workspace, used_bytes)
            };
            let code = driver::call(|driver| driver.enqueue_launch(stream, "matmul", run));
            (code == SUCCESS).then_some(()).ok_or(EXECUTION_FAILED)
        }))
    }
}

/// `cublasLtMatmulAlgo_t`, which only the library can read.
type Algorithm = [u64; 8];

/// The one that goes with this product and no other.
fn algorithm(product: &Product, workspace_bytes: usize) -> Algorithm {
    let Product { a, b, d, .. } = product;
    let number = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
    let (rows, columns, sums) = (number(d.rows), number(d.columns), number(a.columns));
    let workspace_bytes = number(workspace_bytes);
    [
        !0,
        rows,
        columns,
        sums,
        a.kind,
        b.kind,
        d.kind,
        workspace_bytes,
    ]
}

/// How much of the workspace the algorithm uses, where it is this product's.
fn workspace_of(product: &Product, given: Option<&Algorithm>) -> Result<usize, Status> {
    let given = given.ok_or(NOT_SUPPORTED)?;
    let [.., used_bytes] = *given;
    let used_bytes = usize::try_from(used_bytes).map_err(|_| INVALID_VALUE)?;
    let is_own = *given == algorithm(product, used_bytes);
    is_own.then_some(used_bytes).ok_or(INVALID_VALUE)
}

fn workspace_allowed(preference: Handle) -> Result<usize, Status> {
    with(|objects| {
        let preference = objects.known.get(&preference).ok_or(INVALID_VALUE)?;
        let bytes = preference.get(&WORKSPACE_BYTES_MAX).copied().unwrap_or(0);
        usize::try_from(bytes).map_err(|_| INVALID_VALUE)
    })
}

/// The product that these descriptors say, of matrices at these addresses.
fn product(operation: Handle, matrices: [(Handle, usize); 4]) -> Result<Product, Status> {
    with(|objects| {
        let find = |handle| objects.known.get(&handle).ok_or(INVALID_VALUE);
        let operation = find(operation)?;
        let of = |attribute, unless| operation.get(&attribute).copied().unwrap_or(unless);
        let is_supported = operation.iter().all(|(attribute, value)| match *attribute {
            COMPUTE_TYPE => COMPUTE_32F.contains(value),
            SCALE_TYPE => *value == BINARY32,
            // On the host.
            POINTER_MODE => *value == 0,
            TRANSPOSE_A | TRANSPOSE_B => *value <= 1,
            EPILOGUE => [EPILOGUE_DEFAULT, EPILOGUE_BIAS].contains(value),
            BIAS_POINTER | FAST_ACCUMULATION | BIAS_TYPE => true,
            _ => false,
        });
        if !is_supported {
            return Err(NOT_SUPPORTED);
        }
        let matrix = |(layout, address), transpose| {
            let matrix = matrix(find(layout)?, address)?;
            Ok(matrix.transposed_if(of(transpose, 0) == 1))
        };
        let [a, b, c, d] = matrices;
        let d = matrix(d, NEVER)?;
        let bias = Matrix {
            address: usize::try_from(of(BIAS_POINTER, 0)).map_err(|_| INVALID_VALUE)?,
            kind: of(BIAS_TYPE, d.kind),
            strides: [1, 0],
            batches: (1, 0),
            ..d
        };
        let product = Product {
            a: matrix(a, TRANSPOSE_A)?,
            b: matrix(b, TRANSPOSE_B)?,
            c: matrix(c, NEVER)?,
            d,
            bias: (of(EPILOGUE, EPILOGUE_DEFAULT) == EPILOGUE_BIAS).then_some(bias),
            alpha: 1.0,
            beta: 0.0,
        };
        product.fits().then_some(product).ok_or(INVALID_VALUE)
    })
}

fn matrix(layout: &Attributes, address: usize) -> Result<Matrix, Status> {
    let of = |attribute, unless| layout.get(&attribute).copied().unwrap_or(unless);
    let size =
        |attribute, unless| usize::try_from(of(attribute, unless)).map_err(|_| INVALID_VALUE);
    let kind = of(TYPE, BINARY32);
    let is_supported = product::bytes_of(kind).is_some()
        && layout.keys().all(|attribute| *attribute <= BATCH_STRIDE);
    let stride = size(STRIDE, 0)?;
    let (rows, columns) = (size(ROWS, 0)?, size(COLUMNS, 0)?);
    let (strides, run) = match of(ORDER, 0) {
        0 => ([1, stride], rows),
        1 => ([stride, 1], columns),
        _ => return Err(NOT_SUPPORTED),
    };
    match stride >= run {
        false => Err(INVALID_VALUE),
        true if !is_supported => Err(NOT_SUPPORTED),
        true => Ok(Matrix {
            address,
            kind,
            rows,
            columns,
            strides,
            batches: (size(BATCHES, 1)?, size(BATCH_STRIDE, 0)?),
        }),
    }
}
