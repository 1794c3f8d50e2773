//! Initialisation, devices and their primary contexts. Names and signatures here and in the other modules are those of
//! cuda.h; a reference that may be null is a pointer to CUDA, and an address or a handle is a number.
#![expect(unsafe_code, reason = "exported symbols, and a buffer of text")]

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::ptr::with_exposed_provenance_mut;

use crate::code::{Code, SUCCESS};
use crate::config;
use crate::driver::{CURRENT, Driver, Handle, call, exports, get, lock, wait};
use crate::queue::{LARGEST_TICKET, Queue};

const DEVICE_NAME: &CStr = c"Fake H100 80GB";

/// A device and its primary context.
pub(crate) struct Context {
    pub(crate) handle: Handle,
    gpu: u32,
    /// How often the primary context is held.
    pub(crate) retained: u32,
}

exports! {
    fn cuInit(flags: c_uint) {
        let gpus = config::visible_gpus();
        let refusal = (flags != 0).then_some(Code::INVALID_VALUE);
        let refusal = refusal.or_else(config::init_code);
        if let Some(code) = refusal.or(gpus.is_empty().then_some(Code::NO_DEVICE)) {
            return code.0;
        }
        let mut driver = lock();
        if driver.contexts.is_empty() {
            for gpu in gpus {
                let handle = driver.new_handle();
                // The legacy default stream goes by its context's handle.
                driver.queues.insert(handle, Queue::new(handle, true));
                driver.contexts.push(Context {
                    handle,
                    gpu,
                    retained: 0,
                });
            }
        }
        SUCCESS
    }
    fn cuDriverGetVersion(version: Option<&mut c_int>) {
        let Some(version) = version else {
            return Code::INVALID_VALUE.0;
        };
        *version = config::driver_version();
        SUCCESS
    }
    fn cuDeviceGetCount(count: Option<&mut c_int>) {
        get(count, |driver| {
            c_int::try_from(driver.contexts.len()).map_err(|_| Code::UNKNOWN)
        })
    }
    fn cuDeviceGet(device: Option<&mut c_int>, ordinal: c_int) {
        get(device, |driver| driver.device(ordinal).map(|_| ordinal))
    }

    fn cuDeviceGetName(name: usize, length: c_int, device: c_int) {
        call(|driver| {
            driver.device(device)?;
            let room = usize::try_from(length).ok().filter(|room| *room > 0 && name != 0);
            // A shorter buffer gets the beginning; a null byte ends it.
            let length = room.ok_or(Code::INVALID_VALUE)?.min(DEVICE_NAME.count_bytes() + 1);
            let to = with_exposed_provenance_mut::<c_char>(name);
            // SAFETY: the caller of the C interface has room for this many bytes, and the name has as many.
            unsafe {
                to.copy_from(DEVICE_NAME.as_ptr(), length);
                to.add(length - 1).write(0);
            }
            Ok(())
        })
    }
    fn cuDeviceGetUuid_v2(uuid: Option<&mut [u8; 16]>, device: c_int) {
        get(uuid, |driver| {
            let text = config::uuid(driver.device(device)?.gpu);
            let digits = text.trim_start_matches("GPU-").replace('-', "");
            let value = u128::from_str_radix(&digits, 16).map_err(|_| Code::UNKNOWN)?;
            Ok(value.to_be_bytes())
        })
    }
    fn cuDeviceTotalMem_v2(bytes: Option<&mut usize>, device: c_int) {
        get(bytes, |driver| {
            driver.device(device).map(|_| config::memory_bytes())
        })
    }
    fn cuDeviceGetAttribute(value: Option<&mut c_int>, attribute: c_int, device: c_int) {
        get(value, |driver| {
            driver.device(device)?;
            Ok(match attribute {
                1..=3 => 1024,   // threads of a block, also in x and in y
                4 => 64,         // and in z
                5 => c_int::MAX, // blocks of a grid in x
                6 | 7 => 65_535, // in y, in z
                8 => 48 * 1024,  // shared memory of a block
                10 => 32,        // threads of a warp
                12 => 65_536,    // registers of a block
                16 => 132,       // multiprocessors
                // Mapped host memory, concurrent kernels, ECC, one address space, memory pools.
                19 | 31 | 32 | 41 | 91 | 115 => 1,
                39 => 2048, // threads of a multiprocessor
                40 => 3,    // copy engines
                75 => config::capability().0,
                76 => config::capability().1,
                97 => 227 * 1024, // shared memory of a block that asks for it
                99 => c_int::from(!config::confidential_computing()), // registering host memory
                _ => 0,
            })
        })
    }
    fn cuDevicePrimaryCtxRetain(context: Option<&mut Handle>, device: c_int) {
        get(context, |driver| {
            let device = driver.device_mut(device)?;
            device.retained += 1;
            Ok(device.handle)
        })
    }
    fn cuDevicePrimaryCtxRelease_v2(device: c_int) {
        call(|driver| {
            let device = driver.device_mut(device)?;
            device.retained = device
                .retained
                .checked_sub(1)
                .ok_or(Code::INVALID_CONTEXT)?;
            let (handle, is_last) = (device.handle, device.retained == 0);
            if is_last {
                // Whatever belongs to the context goes with it.
                driver.memory.forget(handle);
                driver.queues.retain(|_, queue| queue.context != handle);
                driver.queues.insert(handle, Queue::new(handle, true));
            }
            Ok(())
        })
    }
    fn cuCtxGetCurrent(context: Option<&mut Handle>) { get(context, |_| Ok(CURRENT.get())) }
    fn cuCtxSetCurrent(context: Handle) {
        call(|driver| {
            let known = driver.contexts.iter().any(|each| each.handle == context);
            if context != 0 && !known {
                return Err(Code::INVALID_CONTEXT);
            }
            CURRENT.set(context);
            Ok(())
        })
    }
    fn cuCtxSynchronize() {
        wait(|driver| {
            let context = driver.current()?;
            if driver.captures(context) {
                return Err(Code::STREAM_CAPTURE_UNSUPPORTED);
            }
            Ok(driver.advance_context(context, LARGEST_TICKET))
        })
    }
}

impl Driver {
    fn device(&self, ordinal: c_int) -> Result<&Context, Code> {
        let index = usize::try_from(ordinal).ok();
        let found = index.and_then(|index| self.contexts.get(index));
        found.ok_or(Code::INVALID_DEVICE)
    }

    fn device_mut(&mut self, ordinal: c_int) -> Result<&mut Context, Code> {
        let index = usize::try_from(ordinal).ok();
        let found = index.and_then(|index| self.contexts.get_mut(index));
        found.ok_or(Code::INVALID_DEVICE)
    }
}
