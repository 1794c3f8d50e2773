//! nvml-wrapper, as the agent uses it, loads the fake and reads it.
//!
//! The environment is one per process, so each world is a run of this binary of its own.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[cfg(test)]
mod confidential;

use std::path::PathBuf;
use std::process::Command;

use nvml_wrapper::Nvml;
use nvml_wrapper::enum_wrappers::device::{Clock, EccCounter, MemoryError, TemperatureSensor};
use nvml_wrapper::error::NvmlError;

/// Where cargo puts the library beside this test.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().join("libnvidia_ml.so")
}

fn load() -> Result<Nvml, NvmlError> {
    Nvml::builder().lib_path(library().as_os_str()).init()
}

/// Runs one of the worlds below in its own process.
fn in_world(test: &str, environment: &[(&str, &str)]) {
    let status = Command::new("/proc/self/exe")
        .args(["--exact", test, "--include-ignored"])
        .env("FAKE_NVML_TEST_WORLD", test)
        .envs(environment.iter().copied())
        .status();
    assert!(status.unwrap().success(), "{test}");
}

/// Whether this process is that world; else the test has nothing to say.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the configuration of a test's child"
)]
fn is_world(test: &str) -> bool {
    std::env::var("FAKE_NVML_TEST_WORLD").is_ok_and(|world| world == test)
}

#[test]
fn two_gpus_answer_by_default() {
    let nvml = load().unwrap();
    assert_eq!(nvml.device_count().unwrap(), 2);
    assert_eq!(nvml.sys_driver_version().unwrap(), "580.95.05");
    for index in 0..2 {
        let gpu = nvml.device_by_index(index).unwrap();
        assert_eq!(gpu.name().unwrap(), "Fake H100 80GB");
        assert!(gpu.uuid().unwrap().ends_with(&index.to_string()));
        assert_eq!(gpu.utilization_rates().unwrap().gpu, 37 + index);
        let memory = gpu.memory_info().unwrap();
        assert_eq!(memory.used, u64::from(2_048 + index) << 20);
        assert_eq!(memory.total, memory.used + memory.free + memory.reserved);
        assert_eq!(gpu.temperature(TemperatureSensor::Gpu).unwrap(), 41 + index);
        assert_eq!(gpu.power_usage().unwrap(), 310_000 + index);
        assert_eq!(gpu.clock_info(Clock::SM).unwrap(), 1_755 + index);
        assert!(gpu.is_cc_enabled().unwrap());
        let errors = gpu.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile);
        assert_eq!(errors.unwrap(), 0);
    }
    assert!(matches!(
        nvml.device_by_index(2),
        Err(NvmlError::InvalidArg)
    ));
}

#[test]
fn a_function_that_the_fake_lacks_is_an_error_not_a_crash() {
    let nvml = load().unwrap();
    let gpu = nvml.device_by_index(0).unwrap();
    assert!(matches!(
        gpu.fan_speed(0),
        Err(NvmlError::FailedToLoadSymbol(_))
    ));
}

#[test]
fn the_environment_chooses_what_fails() {
    in_world(
        "world_of_a_lost_gpu",
        &[
            ("FAKE_NVML_GPUS", "3"),
            ("FAKE_NVML_LOST_GPU", "1"),
            (
                "FAKE_NVML_NOT_SUPPORTED",
                "nvmlDeviceGetPowerUsage, nvmlDeviceGetTotalEccErrors",
            ),
            ("FAKE_NVML_CC", "0"),
        ],
    );
    in_world("world_without_a_driver", &[("FAKE_NVML_INIT", "9")]);
}

#[test]
fn world_of_a_lost_gpu() {
    if !is_world("world_of_a_lost_gpu") {
        return;
    }
    let nvml = load().unwrap();
    assert_eq!(nvml.device_count().unwrap(), 3);
    let gpu = nvml.device_by_index(0).unwrap();
    assert!(matches!(gpu.power_usage(), Err(NvmlError::NotSupported)));
    let errors = gpu.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile);
    assert!(matches!(errors, Err(NvmlError::NotSupported)));
    assert!(gpu.utilization_rates().is_ok() && !gpu.is_cc_enabled().unwrap());
    let lost = nvml.device_by_index(1).unwrap();
    assert!(matches!(lost.utilization_rates(), Err(NvmlError::GpuLost)));
    assert!(matches!(lost.uuid(), Err(NvmlError::GpuLost)));
}

#[test]
fn world_without_a_driver() {
    if is_world("world_without_a_driver") {
        assert!(matches!(load(), Err(NvmlError::DriverNotLoaded)));
    }
}
