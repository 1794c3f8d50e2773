//! Modules, functions and launches. A module's image is opaque: a kernel is the one of this name that was compiled into
//! the fake.
#![expect(
    unsafe_code,
    reason = "exported symbols, and memory that a caller points to"
)]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::sync::Arc;

use crate::code::Code;
use crate::config;
use crate::driver::{Driver, Handle, Progress, call, exports, get};
use crate::memory::Memory;
use crate::queue::{Action, Work};
use crate::runtime::Kernel;

/// How a fatbin begins (`__cudaFatFormat`), and a cubin, which is an ELF file.
const BINARY_MAGIC: [[u8; 4]; 2] = [0xba55_ed50_u32.to_le_bytes(), *b"\x7fELF"];

/// A kernel as a host has it.
#[derive(Clone, Copy)]
pub(crate) struct Function {
    module: Handle,
    kernel: &'static Kernel,
}

/// # Safety
///
/// `image` is null or an image, or a program as text that ends with a null byte.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleLoadData(module: Option<&mut Handle>, image: *const [u8; 4]) -> c_int {
    get(module, |driver| {
        driver.current()?;
        // SAFETY: an image has a header, and any text that is not empty more than four bytes.
        let start = unsafe { image.as_ref() }.ok_or(Code::INVALID_VALUE)?;
        let is_text = start
            .iter()
            .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
        if is_text && config::is_jit_disabled() {
            return Err(Code::JIT_COMPILATION_DISABLED);
        }
        if !is_text && !BINARY_MAGIC.contains(start) {
            return Err(Code::INVALID_IMAGE);
        }
        let handle = driver.new_handle();
        driver.modules.insert(handle);
        Ok(handle)
    })
}

exports! {
    fn cuModuleUnload(module: Handle) {
        call(|driver| {
            if !driver.modules.remove(&module) {
                return Err(Code::INVALID_HANDLE);
            }
            driver
                .functions
                .retain(|_, function| function.module != module);
            Ok(())
        })
    }
}

/// # Safety
///
/// `name` is null or a string that ends with a null byte.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuModuleGetFunction(
    function: Option<&mut Handle>,
    module: Handle,
    name: *const c_char,
) -> c_int {
    get(function, |driver| {
        if !driver.modules.contains(&module) {
            return Err(Code::INVALID_HANDLE);
        }
        if name.is_null() {
            return Err(Code::INVALID_VALUE);
        }
        // SAFETY: passed on from the caller.
        let kernel = Kernel::named(unsafe { CStr::from_ptr(name) }).ok_or(Code::NOT_FOUND)?;
        let handle = driver.new_handle();
        driver.functions.insert(handle, Function { module, kernel });
        Ok(handle)
    })
}

/// # Safety
///
/// `arguments` points to a pointer to each argument.
#[unsafe(no_mangle)]
unsafe extern "C" fn cuLaunchKernel(
    function: Handle,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    block_x: c_uint,
    block_y: c_uint,
    block_z: c_uint,
    shared_bytes: c_uint,
    stream: Handle,
    arguments: *const *const c_void,
    extra: *const *const c_void,
) -> c_int {
    call(|driver| {
        let function = driver.functions.get(&function).copied();
        let function = function.ok_or(Code::INVALID_HANDLE)?;
        let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
        if !function.kernel.is_launchable(grid, block) {
            return Err(Code::INVALID_VALUE);
        }
        // Arguments in one buffer, and shared memory whose size a launch says, are outside the fake.
        if !extra.is_null() || shared_bytes > 0 {
            return Err(Code::NOT_SUPPORTED);
        }
        if arguments.is_null() && function.kernel.argument_bytes().next().is_some() {
            return Err(Code::INVALID_VALUE);
        }
        let sizes = function.kernel.argument_bytes().enumerate();
        // SAFETY: the caller points to an argument of each parameter's size.
        let arguments = sizes.map(|(index, bytes)| unsafe { copied(*arguments.add(index), bytes) });
        let (kernel, arguments) = (function.kernel, arguments.collect::<Vec<_>>());
        let run = move |_: &mut _| kernel.run(grid, block, &arguments);
        driver.enqueue_launch(stream, kernel.name(), run)
    })
}

impl Kernel {
    /// The limits of every compute capability from 3.0 on, and the kernel's own.
    fn is_launchable(&self, grid: [c_uint; 3], block: [c_uint; 3]) -> bool {
        let within = |sizes: [c_uint; 3], limits: [c_uint; 3]| {
            let mut pairs = sizes.iter().zip(limits);
            pairs.all(|(size, limit)| (1..=limit).contains(size))
        };
        within(grid, [c_int::MAX.unsigned_abs(), 65_535, 65_535])
            && within(block, [1024, 1024, 64])
            && block.iter().product::<c_uint>() <= self.block_threads_max()
    }
}

/// # Safety
///
/// `argument` is valid for reads of `bytes` bytes.
unsafe fn copied(argument: *const c_void, bytes: usize) -> Box<[u64]> {
    let mut words = vec![0; bytes.div_ceil(size_of::<u64>())].into_boxed_slice();
    // SAFETY: the caller's, and there are at least as many words.
    unsafe {
        std::ptr::copy_nonoverlapping(argument.cast::<u8>(), words.as_mut_ptr().cast(), bytes);
    };
    words
}

impl Driver {
    /// Puts a kernel into a stream, by the name that the settings know it by.
    pub(crate) fn enqueue_launch(
        &mut self,
        stream: Handle,
        kernel: &'static str,
        run: impl Fn(&mut Memory) -> Result<(), Code> + Send + Sync + 'static,
    ) -> Result<(), Code> {
        self.enqueue(stream, Work::Launch(kernel, Arc::new(run)))
            .map(|_| ())
    }

    /// Runs a kernel, unless the settings say that it hangs or fails.
    pub(crate) fn run_launch(&mut self, kernel: &str, run: &Action) -> Result<Progress, Code> {
        if config::hangs(kernel) {
            return Ok(Progress::Blocked);
        }
        self.launches += 1;
        match config::fault(kernel, self.launches) {
            Some(code) => Err(code),
            None => run(&mut self.memory).map(|()| Progress::Done),
        }
    }
}
