//! The kernels as C++ and what runs them, linked into this library.
#![expect(unsafe_code, reason = "functions and tables of C++")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr;
use std::slice;

use crate::code::{Code, SUCCESS};

/// `cuda_on_cpu::Kernel`.
#[repr(C)]
pub(crate) struct Kernel {
    name: *const c_char,
    call: Option<unsafe extern "C" fn(arguments: *mut *mut c_void)>,
    argument_bytes: *const c_uint,
    argument_count: usize,
    block_threads_max: c_uint,
}

// SAFETY: the table and all that it points to are constants.
unsafe impl Sync for Kernel {}

unsafe extern "C" {
    /// Every kernel, then an entry without a name.
    static cuda_on_cpu_kernels: Kernel;

    fn cuda_on_cpu_launch(
        kernel: *const Kernel,
        grid: *const [c_uint; 3],
        block: *const [c_uint; 3],
        arguments: *mut *mut c_void,
        message: *mut *const c_char,
    ) -> c_int;
}

impl Kernel {
    /// The kernel of this name.
    pub(crate) fn named(name: &CStr) -> Option<&'static Self> {
        let mut entry = &raw const cuda_on_cpu_kernels;
        loop {
            // SAFETY: the table ends with an entry without a name, behind which nothing is read.
            let kernel = unsafe { &*entry };
            if kernel.name.is_null() {
                return None;
            }
            if kernel.c_name() == name {
                return Some(kernel);
            }
            entry = entry.wrapping_add(1);
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.c_name().to_str().unwrap_or_default()
    }

    fn c_name(&self) -> &'static CStr {
        // SAFETY: a string literal.
        unsafe { CStr::from_ptr(self.name) }
    }

    /// Its launch bounds.
    pub(crate) fn block_threads_max(&self) -> c_uint {
        self.block_threads_max
    }

    /// The size of each parameter.
    pub(crate) fn argument_bytes(&self) -> impl Iterator<Item = usize> {
        // SAFETY: a constant array of at least this many.
        let sizes = unsafe { slice::from_raw_parts(self.argument_bytes, self.argument_count) };
        sizes.iter().map(|size| usize::try_from(*size).unwrap_or(0))
    }

    /// Runs a grid; what a device does not survive is an error. One at a time: the caller holds the driver's lock.
    pub(crate) fn run(
        &self,
        grid: [c_uint; 3],
        block: [c_uint; 3],
        arguments: &[Box<[u64]>],
    ) -> Result<(), Code> {
        let mut pointers: Vec<_> = arguments
            .iter()
            .map(|argument| argument.as_ptr().cast_mut().cast::<c_void>())
            .collect();
        let mut message = ptr::null();
        // SAFETY: there is a value for each parameter, which the runtime only reads. What the kernel does with device
        // addresses is under its guard.
        let outcome = unsafe {
            cuda_on_cpu_launch(
                self,
                &raw const grid,
                &raw const block,
                pointers.as_mut_ptr(),
                &raw mut message,
            )
        };
        if outcome == SUCCESS {
            return Ok(());
        }
        // SAFETY: the runtime names what it stopped for, in a string that lives until the next launch.
        let message = unsafe { CStr::from_ptr(message) };
        eprintln!("fake CUDA: {}", message.to_string_lossy());
        Err(Code(outcome))
    }
}
