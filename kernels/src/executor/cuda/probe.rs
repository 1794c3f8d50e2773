//! What is asked before the first call: cudarc panics where a library or one of its functions is missing, and CUDA's own
//! codes do not say what to do.

use std::ffi::c_void;

use cudarc::driver::result;
use cudarc::driver::sys::{self, CUresult};

use super::classify::CudaError;
use super::device::named;

/// CUDA 13.0, driver 580: the module's machine code is of that toolkit.
const DRIVER_VERSION_MIN: i32 = 13_000;

/// Why this machine has no device for an executor. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    #[error("libcuda.so.1 cannot be loaded: install the NVIDIA driver, or set executor = \"cpu\"")]
    DriverMissing,
    #[error(
        "libcublasLt.so cannot be loaded: install cuBLAS, and name its folder as gpu.cuda_libraries if the loader does not know it"
    )]
    BlasMissing,
    #[error("the driver speaks CUDA {seen}, this executor needs {wanted}: install driver 580 or later", seen = version(*.seen), wanted = version(DRIVER_VERSION_MIN))]
    DriverTooOld { seen: i32 },
    #[error("CUDA sees no device: is the GPU passed through, and its driver loaded? (nvidia-smi)")]
    NoDevice,
    #[error(
        "the GPU accepts no work yet: in confidential computing it does so once its evidence verified; otherwise NVIDIA's fabric manager must run"
    )]
    NotReady,
    #[error("libcuda and the kernel's driver are of different versions: restart the machine")]
    DriverMismatch,
    #[error(
        "libcuda is the toolkit's stub, which runs nothing: take its folder off the library path"
    )]
    Stub,
    #[error("there is no GPU {wanted}; CUDA sees {seen}")]
    DeviceMissing { wanted: String, seen: String },
    #[error("CUDA cannot be initialised")]
    Cuda(#[source] CudaError),
}

/// A device that exists, and what the driver says of itself.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) device: sys::CUdevice,
    pub(super) driver_version: String,
}

/// The device of this UUID (`GPU-…`, as NVML gives it).
pub(super) fn find(uuid: &str) -> Result<Found, ProbeError> {
    let driver_version = open()?;
    Ok(Found {
        device: device(uuid)?,
        driver_version,
    })
}

/// Both libraries loaded, and CUDA initialised; the driver's version.
pub(super) fn open() -> Result<String, ProbeError> {
    #[expect(unsafe_code, reason = "loading a library runs its constructors")]
    // SAFETY: the driver's library and cuBLASLt are loaded by their own names, as any program of theirs does.
    let (driver, blas) = unsafe {
        (
            sys::is_culib_present(),
            cudarc::cublaslt::sys::is_culib_present(),
        )
    };
    if !driver {
        return Err(ProbeError::DriverMissing);
    }
    if !blas {
        return Err(ProbeError::BlasMissing);
    }
    let seen = driver_version()?;
    if seen < DRIVER_VERSION_MIN {
        return Err(ProbeError::DriverTooOld { seen });
    }
    result::init().map_err(|error| refusal(error.0))?;
    Ok(version(seen))
}

/// Where a function of the driver's library lies; 0 where it has none of that name.
pub(super) fn driver_function() -> usize {
    #[expect(unsafe_code, reason = "the library's handle and a symbol's address")]
    // SAFETY: the library was loaded by `find`; the address is not used as anything but a number.
    unsafe {
        let symbol = sys::culib().get::<*const c_void>(b"cuInit\0");
        symbol.map_or(0, |symbol| symbol.addr())
    }
}

/// The same of cuBLASLt.
pub(super) fn blas_function() -> usize {
    #[expect(unsafe_code, reason = "the library's handle and a symbol's address")]
    // SAFETY: as above.
    unsafe {
        let symbol = cudarc::cublaslt::sys::culib().get::<*const c_void>(b"cublasLtCreate\0");
        symbol.map_or(0, |symbol| symbol.addr())
    }
}

fn refusal(code: CUresult) -> ProbeError {
    match code {
        CUresult::CUDA_ERROR_NO_DEVICE => ProbeError::NoDevice,
        CUresult::CUDA_ERROR_SYSTEM_NOT_READY => ProbeError::NotReady,
        CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH => ProbeError::DriverMismatch,
        CUresult::CUDA_ERROR_STUB_LIBRARY => ProbeError::Stub,
        code => ProbeError::Cuda(CudaError::Driver {
            call: "cuInit",
            code,
        }),
    }
}

/// Answered before `cuInit`, so that no function is called that an old driver may lack.
fn driver_version() -> Result<i32, ProbeError> {
    let mut seen = 0;
    #[expect(unsafe_code, reason = "a function of a C library")]
    // SAFETY: the function writes one integer, which lives on this stack throughout the call.
    let code = unsafe { sys::cuDriverGetVersion(&raw mut seen) };
    code.result().map_err(|error| refusal(error.0))?;
    Ok(seen)
}

fn device(wanted: &str) -> Result<sys::CUdevice, ProbeError> {
    let count = named("cuDeviceGetCount", result::device::get_count()).map_err(ProbeError::Cuda)?;
    let mut seen = Vec::new();
    for ordinal in 0..count {
        let device =
            named("cuDeviceGet", result::device::get(ordinal)).map_err(ProbeError::Cuda)?;
        let uuid = uuid_of(device).map_err(ProbeError::Cuda)?;
        if uuid == wanted {
            return Ok(device);
        }
        seen.push(uuid);
    }
    Err(ProbeError::DeviceMissing {
        wanted: wanted.to_owned(),
        seen: if seen.is_empty() {
            "none".to_owned()
        } else {
            seen.join(", ")
        },
    })
}

pub(super) fn uuid_of(device: sys::CUdevice) -> Result<String, CudaError> {
    let uuid = named("cuDeviceGetUuid", result::device::get_uuid(device))?;
    Ok(uuid_text(uuid.bytes.map(i8::cast_unsigned)))
}

/// As NVML writes it: `GPU-` and groups of 8, 4, 4, 4 and 12 digits.
fn uuid_text(bytes: [u8; 16]) -> String {
    const GROUP_BYTES: [usize; 5] = [4, 2, 2, 2, 6];
    let mut digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    let groups = GROUP_BYTES.map(|count| digits.by_ref().take(count).collect::<String>());
    format!("GPU-{}", groups.join("-"))
}

/// cuda.h: 1000 × major + 10 × minor.
pub(super) fn version(number: i32) -> String {
    format!("{}.{}", number / 1_000, number % 1_000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_that_an_operator_can_do_something_about_has_its_own_error() {
        let told = [
            (CUresult::CUDA_ERROR_NO_DEVICE, ProbeError::NoDevice),
            (CUresult::CUDA_ERROR_SYSTEM_NOT_READY, ProbeError::NotReady),
            (
                CUresult::CUDA_ERROR_SYSTEM_DRIVER_MISMATCH,
                ProbeError::DriverMismatch,
            ),
            (CUresult::CUDA_ERROR_STUB_LIBRARY, ProbeError::Stub),
        ];
        for (code, error) in told {
            assert_eq!(refusal(code), error);
        }
        let other = refusal(CUresult::CUDA_ERROR_UNKNOWN);
        assert!(matches!(other, ProbeError::Cuda(_)));
    }

    #[test]
    fn versions_and_uuids_read_as_nvidia_writes_them() {
        assert_eq!(
            (version(13_000), version(12_090)),
            ("13.0".into(), "12.9".into())
        );
        let uuid = uuid_text([0, 1, 2, 3, 0xfa, 0x4e, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(uuid, "GPU-00010203-fa4e-0607-0809-0a0b0c0d0eff");
        let old = ProbeError::DriverTooOld { seen: 12_040 };
        assert!(old.to_string().contains("CUDA 12.4") && old.to_string().contains("13.0"));
    }
}
