//! `libcublasLt.so`: descriptors, and one plain matrix product. Names and signatures are those of cublasLt.h.
//!
//! Data are binary32, binary16 or bfloat16, sums and scales binary32; column or row order, transposes, leading dimensions,
//! strided batches and the bias epilogue. Anything else is not supported, and is refused as such.
#![expect(
    unsafe_code,
    reason = "exported symbols, and memory that a caller points to"
)]

mod product;

use std::collections::BTreeMap;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::{Mutex, PoisonError};

use crate::code::SUCCESS;
use crate::driver::{self, Handle};
use product::{Layout, Matrix, Order, Product, Type};

/// `cublasStatus_t`.
#[derive(Clone, Copy)]
struct Status(c_int);

impl Status {
    const INVALID_VALUE: Self = Self(7);
    const EXECUTION_FAILED: Self = Self(13);
    const NOT_SUPPORTED: Self = Self(15);
}

/// What version of cuBLAS this would be.
const VERSION: usize = 130_000;

/// `CUBLAS_COMPUTE_32F`, its pedantic form, and the forms that may round operands. All are computed as the first.
const COMPUTE_32F: [c_int; 5] = [68, 69, 74, 75, 77];

/// `CUBLASLT_EPILOGUE_…`.
const EPILOGUE_DEFAULT: u64 = 1;
const EPILOGUE_BIAS: u64 = 4;

enum Object {
    Library,
    Preference,
    Layout(Layout),
    Operation(Operation),
}

/// `cublasLtMatmulDesc_t`.
#[derive(Clone, Copy)]
struct Operation {
    transposes: [bool; 2],
    has_bias: bool,
    bias: usize,
    bias_type: Option<Type>,
}

struct Objects {
    known: BTreeMap<Handle, Object>,
    last: Handle,
}

static OBJECTS: Mutex<Objects> = Mutex::new(Objects {
    known: BTreeMap::new(),
    last: 0,
});

fn with<T>(what: impl FnOnce(&mut Objects) -> T) -> T {
    what(&mut OBJECTS.lock().unwrap_or_else(PoisonError::into_inner))
}

fn number(result: Result<(), Status>) -> c_int {
    result.map_or_else(|status| status.0, |()| SUCCESS)
}

fn create(out: Option<&mut Handle>, object: Result<Object, Status>) -> c_int {
    let made = out.ok_or(Status::INVALID_VALUE).and_then(|out| {
        let object = object?;
        *out = with(|objects| {
            objects.last += 1;
            objects.known.insert(objects.last, object);
            objects.last
        });
        Ok(())
    });
    number(made)
}

fn destroy(object: Handle) -> c_int {
    let removed = with(|objects| objects.known.remove(&object));
    number(removed.map(|_| ()).ok_or(Status::INVALID_VALUE))
}

impl Objects {
    fn layout(&mut self, handle: Handle) -> Result<&mut Layout, Status> {
        match self.known.get_mut(&handle) {
            Some(Object::Layout(layout)) => Ok(layout),
            _ => Err(Status::INVALID_VALUE),
        }
    }

    fn operation(&mut self, handle: Handle) -> Result<&mut Operation, Status> {
        match self.known.get_mut(&handle) {
            Some(Object::Operation(operation)) => Ok(operation),
            _ => Err(Status::INVALID_VALUE),
        }
    }

    /// The product that these descriptors say, with matrices at no address yet.
    fn product(&mut self, operation: Handle, layouts: [Handle; 4]) -> Result<Product, Status> {
        let operation = *self.operation(operation)?;
        let [a, b, c, d] = layouts.map(|handle| self.layout(handle).copied());
        let [ta, tb] = operation.transposes;
        let d = d?;
        let product = Product {
            a: Matrix::new(a?.transposed_if(ta)),
            b: Matrix::new(b?.transposed_if(tb)),
            c: Matrix::new(c?),
            d: Matrix::new(d),
            bias: operation
                .has_bias
                .then_some((operation.bias, operation.bias_type.unwrap_or(d.kind))),
            alpha: 1.0,
            beta: 0.0,
        };
        product
            .fits()
            .then_some(product)
            .ok_or(Status::INVALID_VALUE)
    }
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtGetVersion() -> usize {
    VERSION
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtCreate(library: Option<&mut Handle>) -> c_int {
    create(library, Ok(Object::Library))
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtDestroy(library: Handle) -> c_int {
    destroy(library)
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulPreferenceCreate(preference: Option<&mut Handle>) -> c_int {
    create(preference, Ok(Object::Preference))
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulPreferenceSetAttribute(
    _: Handle,
    _: c_uint,
    _: *const c_void,
    _: usize,
) -> c_int {
    SUCCESS
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulPreferenceDestroy(preference: Handle) -> c_int {
    destroy(preference)
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatrixLayoutCreate(
    layout: Option<&mut Handle>,
    kind: c_int,
    rows: u64,
    columns: u64,
    stride: i64,
) -> c_int {
    let made = Layout::new(kind, rows, columns, stride).ok_or(Status::NOT_SUPPORTED);
    create(layout, made.map(Object::Layout))
}

/// # Safety
///
/// `value` is valid for reads of `bytes` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn cublasLtMatrixLayoutSetAttribute(
    layout: Handle,
    attribute: c_uint,
    value: *const u8,
    bytes: usize,
) -> c_int {
    // SAFETY: passed on from the caller.
    let value = unsafe { integer(value, bytes) };
    number(with(|objects| {
        let (layout, value) = (objects.layout(layout)?, value?);
        let size = usize::try_from(value).map_err(|_| Status::INVALID_VALUE)?;
        match attribute {
            // CUBLASLT_MATRIX_LAYOUT_…: ORDER, ROWS, COLS, LD, BATCH_COUNT, STRIDED_BATCH_OFFSET
            1 => layout.order = Order::numbered(value).ok_or(Status::NOT_SUPPORTED)?,
            2 => layout.rows = size,
            3 => layout.columns = size,
            4 => layout.stride = size,
            5 => layout.batches = size,
            6 => layout.batch_stride = size,
            _ => return Err(Status::NOT_SUPPORTED),
        }
        Ok(())
    }))
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatrixLayoutDestroy(layout: Handle) -> c_int {
    destroy(layout)
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulDescCreate(
    operation: Option<&mut Handle>,
    compute: c_int,
    scale: c_int,
) -> c_int {
    let is_known = COMPUTE_32F.contains(&compute) && scale == Type::BINARY32;
    let made = Object::Operation(Operation {
        transposes: [false; 2],
        has_bias: false,
        bias: 0,
        bias_type: None,
    });
    create(
        operation,
        is_known.then_some(made).ok_or(Status::NOT_SUPPORTED),
    )
}

/// # Safety
///
/// `value` is valid for reads of `bytes` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn cublasLtMatmulDescSetAttribute(
    operation: Handle,
    attribute: c_uint,
    value: *const u8,
    bytes: usize,
) -> c_int {
    // SAFETY: passed on from the caller.
    let value = unsafe { integer(value, bytes) };
    number(with(|objects| {
        let (operation, value) = (objects.operation(operation)?, value?);
        match (attribute, value) {
            // CUBLASLT_MATMUL_DESC_…: POINTER_MODE on the host, TRANSA, TRANSB (not conjugate), EPILOGUE, BIAS_POINTER,
            // FAST_ACCUM, BIAS_DATA_TYPE
            (2, 0) | (25, _) => (),
            (3, 0 | 1) => operation.transposes[0] = value == 1,
            (4, 0 | 1) => operation.transposes[1] = value == 1,
            (7, EPILOGUE_DEFAULT | EPILOGUE_BIAS) => operation.has_bias = value == EPILOGUE_BIAS,
            (8, _) => operation.bias = usize::try_from(value).map_err(|_| Status::INVALID_VALUE)?,
            (26, _) => {
                operation.bias_type = Some(Type::numbered(value).ok_or(Status::NOT_SUPPORTED)?);
            }
            _ => return Err(Status::NOT_SUPPORTED),
        }
        Ok(())
    }))
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulDescDestroy(operation: Handle) -> c_int {
    destroy(operation)
}

/// `cublasLtMatmulHeuristicResult_t`.
#[repr(C)]
struct Heuristic {
    algorithm: [u64; 8],
    workspace_bytes: usize,
    state: c_int,
    waves: f32,
    reserved: [c_int; 4],
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmulAlgoGetHeuristic(
    _: Handle,
    operation: Handle,
    a: Handle,
    b: Handle,
    c: Handle,
    d: Handle,
    _: Handle,
    requested: c_int,
    result: Option<&mut Heuristic>,
    count: Option<&mut c_int>,
) -> c_int {
    let product = with(|objects| objects.product(operation, [a, b, c, d]));
    let found = product.and_then(|_| {
        let out = result.zip(count).filter(|_| requested > 0);
        let (result, count) = out.ok_or(Status::INVALID_VALUE)?;
        *count = 1;
        *result = Heuristic {
            algorithm: [1; 8],
            workspace_bytes: 0,
            state: SUCCESS,
            waves: 1.0,
            reserved: [0; 4],
        };
        Ok(())
    });
    number(found)
}

#[unsafe(no_mangle)]
extern "C" fn cublasLtMatmul(
    _: Handle,
    operation: Handle,
    alpha: Option<&f32>,
    a: usize,
    a_layout: Handle,
    b: usize,
    b_layout: Handle,
    beta: Option<&f32>,
    c: usize,
    c_layout: Handle,
    d: usize,
    d_layout: Handle,
    _: *const [u64; 8],
    _: usize,
    _: usize,
    stream: Handle,
) -> c_int {
    let layouts = [a_layout, b_layout, c_layout, d_layout];
    let product = with(|objects| objects.product(operation, layouts));
    let enqueued = product.and_then(|mut product| {
        let scales = alpha.zip(beta).ok_or(Status::INVALID_VALUE)?;
        (product.alpha, product.beta) = (*scales.0, *scales.1);
        product.a.address = a;
        product.b.address = b;
        product.c.address = c;
        product.d.address = d;
        let run = move |memory: &mut _| product.run(memory);
        let code = driver::call(|driver| driver.enqueue_launch(stream, "matmul", run));
        (code == SUCCESS)
            .then_some(())
            .ok_or(Status::EXECUTION_FAILED)
    });
    number(enqueued)
}

/// An attribute of four or eight bytes.
///
/// # Safety
///
/// `value` is valid for reads of `bytes` bytes.
unsafe fn integer(value: *const u8, bytes: usize) -> Result<u64, Status> {
    if value.is_null() || ![4, 8].contains(&bytes) {
        return Err(Status::INVALID_VALUE);
    }
    let mut little_endian = [0; 8];
    // SAFETY: the caller's, and there is room for eight.
    unsafe { std::ptr::copy_nonoverlapping(value, little_endian.as_mut_ptr(), bytes) };
    Ok(u64::from_le_bytes(little_endian))
}
