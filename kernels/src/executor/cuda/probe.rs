//! What is asked before the first call: cudarc panics where a library or one of its functions is missing, and CUDA's own
//! codes do not say what to do.

use std::ffi::c_void;

use cudarc::driver::result;
use cudarc::driver::sys::{self, CUresult};

use super::classify::CudaError;
use super::device::named;

/// CUDA 13.0, driver 580: the module's machine code is of that toolkit, and every function that is called is in it.
const DRIVER_VERSION_MIN: i32 = 13_000;
/// CUDA 13.4, which the bindings are of (cudarc's feature `cuda-13040`). They declare what the driver's functions return as
/// a Rust enumeration of the codes of that version, so that a code which a newer driver adds (918 came with 13.3, 919 with
/// 13.4) would be no value of it, and to receive it undefined behaviour. Raised together with the bindings.
const DRIVER_VERSION_MAX: i32 = 13_040;

/// cuBLASLt of CUDA 12.9: the first that knows each GPU that the module has code for.
const BLAS_VERSION_MIN: usize = 120_900;
/// The same hazard as the driver's: its statuses are the bindings' up to here. They have not changed since CUDA 11.
const BLAS_VERSION_END: usize = 140_000;

/// Why this machine has no device for an executor. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    #[error("libcuda.so.1 cannot be loaded: install the NVIDIA driver, or set executor = \"cpu\"")]
    DriverMissing,
    #[error(
        "none of libcublasLt.so, .so.13 and .so.12 can be loaded: install cuBLAS, and name its folder as gpu.cuda_libraries if the loader does not know it"
    )]
    BlasMissing,
    #[error("the driver speaks CUDA {seen}, this executor needs {wanted}: install driver 580 or later", seen = version(*.seen), wanted = version(DRIVER_VERSION_MIN))]
    DriverTooOld { seen: i32 },
    #[error("the driver speaks CUDA {seen}, this executor knows the answers of drivers up to {known}: install an older driver, or a newer cocoon-worker", seen = version(*.seen), known = version(DRIVER_VERSION_MAX))]
    DriverTooNew { seen: i32 },
    #[error("cuBLASLt is of version {seen}, this executor needs {wanted} or later: install cuBLAS of CUDA 13", seen = blas_version(*.seen), wanted = blas_version(BLAS_VERSION_MIN))]
    BlasTooOld { seen: usize },
    #[error("cuBLASLt is of version {seen}, this executor knows those before {end}: install cuBLAS of CUDA 13", seen = blas_version(*.seen), end = blas_version(BLAS_VERSION_END))]
    BlasTooNew { seen: usize },
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
    pub(super) versions: Versions,
}

/// Of the libraries that were loaded.
#[derive(Debug)]
pub(super) struct Versions {
    /// Of CUDA, which the driver speaks: its own version it does not say.
    pub(super) driver: String,
    pub(super) blas: String,
}

/// The device of this UUID (`GPU-…`, as NVML gives it).
pub(super) fn find(uuid: &str) -> Result<Found, ProbeError> {
    let versions = open()?;
    Ok(Found {
        device: device(uuid)?,
        versions,
    })
}

/// Both libraries loaded, and CUDA initialised.
pub(super) fn open() -> Result<Versions, ProbeError> {
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
    if seen > DRIVER_VERSION_MAX {
        return Err(ProbeError::DriverTooNew { seen });
    }
    let blas_seen = probed_blas()?;
    result::init().map_err(|error| refusal(error.0))?;
    Ok(Versions {
        driver: format!("CUDA {}", version(seen)),
        blas: blas_version(blas_seen),
    })
}

fn probed_blas() -> Result<usize, ProbeError> {
    #[expect(unsafe_code, reason = "a function of a C library")]
    // SAFETY: the library was loaded just now; the function takes nothing and returns a number.
    let seen = unsafe { cudarc::cublaslt::sys::cublasLtGetVersion() };
    match seen {
        ..BLAS_VERSION_MIN => Err(ProbeError::BlasTooOld { seen }),
        BLAS_VERSION_END.. => Err(ProbeError::BlasTooNew { seen }),
        _ => Ok(seen),
    }
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
fn version(number: i32) -> String {
    format!("{}.{}", number / 1_000, number % 1_000 / 10)
}

/// As NVIDIA writes it: 120901 is 12.9.1, 130000 is 13.0.0.
fn blas_version(number: usize) -> String {
    let (major, minor) = (number / 10_000, number / 100 % 100);
    format!("{major}.{minor}.{patch}", patch = number % 100)
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
        assert_eq!(blas_version(120_901), "12.9.1");
        let uuid = uuid_text([0, 1, 2, 3, 0xfa, 0x4e, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255]);
        assert_eq!(uuid, "GPU-00010203-fa4e-0607-0809-0a0b0c0d0eff");
        let old = ProbeError::DriverTooOld { seen: 12_040 };
        assert!(old.to_string().contains("CUDA 12.4") && old.to_string().contains("13.0"));
    }
}
