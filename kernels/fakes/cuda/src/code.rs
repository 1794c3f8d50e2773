//! `CUresult`: the codes that the fake answers with, with the names and words of cuda.h.
#![expect(unsafe_code, reason = "exported symbols")]

use std::ffi::{CStr, c_char, c_int};
use std::ptr;

use crate::driver::exports;

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(pub(crate) c_int);

pub(crate) const SUCCESS: c_int = 0;

macro_rules! codes {
    ($($name:ident = $number:literal, $words:literal;)*) => {
        #[expect(dead_code, reason = "some are answered only where a setting says their number")]
        impl Code {
            $(pub(crate) const $name: Self = Self($number);)*
        }

        /// Number, name and description.
        const NAMES: &[(c_int, &str, &str)] = &[
            (SUCCESS, "CUDA_SUCCESS\0", "no error\0"),
            $(($number, concat!("CUDA_ERROR_", stringify!($name), "\0"), concat!($words, "\0")),)*
        ];
    };
}

codes! {
    INVALID_VALUE = 1, "invalid argument";
    OUT_OF_MEMORY = 2, "out of memory";
    NOT_INITIALIZED = 3, "initialization error";
    STUB_LIBRARY = 34, "CUDA driver is a stub library";
    NO_DEVICE = 100, "no CUDA-capable device is detected";
    INVALID_DEVICE = 101, "invalid device ordinal";
    INVALID_IMAGE = 200, "device kernel image is invalid";
    INVALID_CONTEXT = 201, "invalid device context";
    NO_BINARY_FOR_GPU = 209, "no kernel image is available for execution on the device";
    ECC_UNCORRECTABLE = 214, "uncorrectable ECC error encountered";
    JIT_COMPILATION_DISABLED = 223, "PTX JIT compilation was disabled";
    INVALID_HANDLE = 400, "invalid resource handle";
    ILLEGAL_STATE = 401, "the operation cannot be performed in the present state";
    NOT_FOUND = 500, "named symbol not found";
    NOT_READY = 600, "device not ready";
    ILLEGAL_ADDRESS = 700, "an illegal memory access was encountered";
    LAUNCH_OUT_OF_RESOURCES = 701, "too many resources requested for launch";
    LAUNCH_TIMEOUT = 702, "the launch timed out and was terminated";
    HOST_MEMORY_ALREADY_REGISTERED = 712, "part or all of the requested memory range is already mapped";
    HOST_MEMORY_NOT_REGISTERED = 713, "pointer does not correspond to a registered memory region";
    MISALIGNED_ADDRESS = 716, "misaligned address";
    LAUNCH_FAILED = 719, "unspecified launch failure";
    NOT_SUPPORTED = 801, "operation not supported";
    SYSTEM_NOT_READY = 802, "system not yet initialized";
    SYSTEM_DRIVER_MISMATCH = 803, "system has unsupported display driver / cuda driver combination";
    STREAM_CAPTURE_UNSUPPORTED = 900, "operation not permitted when stream is capturing";
    STREAM_CAPTURE_INVALIDATED = 901, "operation failed due to a previous error during capture";
    STREAM_CAPTURE_ISOLATION = 905, "dependency created on uncaptured work in another stream";
    CAPTURED_EVENT = 907, "operation not permitted on an event last recorded in a capturing stream";
    KEY_ROTATION = 916, "confidential computing key rotation is in progress";
    UNKNOWN = 999, "unknown error";
}

exports! {
    fn cuGetErrorName(code: c_int, name: Option<&mut *const c_char>) {
        tell(name, find(code).map(|(_, name, _)| *name))
    }
    fn cuGetErrorString(code: c_int, words: Option<&mut *const c_char>) {
        tell(words, find(code).map(|(_, _, words)| *words))
    }
}

fn find(code: c_int) -> Option<&'static (c_int, &'static str, &'static str)> {
    NAMES.iter().find(|(number, _, _)| *number == code)
}

fn tell(out: Option<&mut *const c_char>, text: Option<&'static str>) -> c_int {
    let Some(out) = out else {
        return Code::INVALID_VALUE.0;
    };
    let text = text.and_then(|text| CStr::from_bytes_with_nul(text.as_bytes()).ok());
    *out = text.map_or(ptr::null(), CStr::as_ptr);
    text.map_or(Code::INVALID_VALUE.0, |_| SUCCESS)
}
