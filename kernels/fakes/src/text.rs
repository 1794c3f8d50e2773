//! Text into a caller's buffer, as NVML returns it.
#![expect(unsafe_code, reason = "a C buffer is a pointer and a length")]

use std::ffi::{CString, c_char, c_int, c_uint};

use crate::code;

/// Copies the text with its final zero, or says that the buffer is too small.
///
/// # Safety
///
/// `buffer` is null or valid for writes of `length` bytes.
pub(crate) unsafe fn put(buffer: *mut c_char, length: c_uint, text: &str) -> c_int {
    let Ok(text) = CString::new(text) else {
        return code::UNKNOWN;
    };
    if buffer.is_null() {
        return code::INVALID_ARGUMENT;
    }
    let needed = text.count_bytes().saturating_add(1);
    if usize::try_from(length).is_ok_and(|length| length < needed) {
        return code::INSUFFICIENT_SIZE;
    }
    // SAFETY: `needed` bytes are readable from a `CString`, and by the contract above and the comparison as many are writable
    // at `buffer`, which the caller owns and which therefore overlaps nothing of ours.
    unsafe { buffer.copy_from_nonoverlapping(text.as_ptr(), needed) };
    code::SUCCESS
}
