//! Modules, functions and launches. A module's image is opaque: a kernel is the one of this name that was compiled into
//! the fake.
#![expect(
    unsafe_code,
    reason = "exported symbols, and memory that a caller points to"
)]

use std::ffi::{CStr, c_int, c_uint};
use std::ptr::with_exposed_provenance;
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

exports! {
    fn cuModuleLoadData(module: Option<&mut Handle>, image: Option<&[u8; 4]>) {
        get(module, |driver| {
            driver.current()?;
            // An image has a header, and a program as text more than four letters.
            let start = image.ok_or(Code::INVALID_VALUE)?;
            let is_text = start.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
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
    fn cuModuleUnload(module: Handle) {
        call(|driver| {
            driver.functions.retain(|_, function| function.module != module);
            driver.modules.remove(&module).then_some(()).ok_or(Code::INVALID_HANDLE)
        })
    }
    fn cuModuleGetFunction(function: Option<&mut Handle>, module: Handle, name: usize) {
        get(function, |driver| {
            driver.modules.get(&module).ok_or(Code::INVALID_HANDLE)?;
            if name == 0 {
                return Err(Code::INVALID_VALUE);
            }
            // SAFETY: the caller of the C interface points to a string that ends with a null byte.
            let name = unsafe { CStr::from_ptr(with_exposed_provenance(name)) };
            let kernel = Kernel::named(name).ok_or(Code::NOT_FOUND)?;
            let handle = driver.new_handle();
            driver.functions.insert(handle, Function { module, kernel });
            Ok(handle)
        })
    }
    fn cuLaunchKernel(
        function: Handle, grid_x: c_uint, grid_y: c_uint, grid_z: c_uint, block_x: c_uint, block_y: c_uint,
        block_z: c_uint, shared_bytes: c_uint, stream: Handle, arguments: usize, extra: usize
    ) {
        call(|driver| {
            let function = driver.functions.get(&function).copied();
            let kernel = function.ok_or(Code::INVALID_HANDLE)?.kernel;
            let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
            if !kernel.is_launchable(grid, block) || arguments == 0 {
                return Err(Code::INVALID_VALUE);
            }
            // Arguments in one buffer, and shared memory whose size a launch says, are outside the fake.
            if extra != 0 || shared_bytes > 0 {
                return Err(Code::NOT_SUPPORTED);
            }
            let mut argument = with_exposed_provenance::<*const u8>(arguments);
            let mut arguments = Vec::new();
            for bytes in kernel.argument_bytes() {
                let mut words = vec![0_u64; bytes.div_ceil(8)].into_boxed_slice();
                // SAFETY: the caller of the C interface points to a pointer for each argument, of this size.
                unsafe { (*argument).copy_to(words.as_mut_ptr().cast(), bytes) };
                arguments.push(words);
                argument = argument.wrapping_add(1);
            }
            let run = move |_: &mut _| kernel.run(grid, block, &arguments);
            driver.enqueue_launch(stream, kernel.name(), run)
        })
    }
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
