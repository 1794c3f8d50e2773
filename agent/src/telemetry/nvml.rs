//! Readings of NVML. Each may be missing: MIG and vGPU guests answer "not supported", and so may any driver.

use std::path::Path;

use attestation::GpuClaim;
use nvml_wrapper::enum_wrappers::device::{Clock, EccCounter, MemoryError, TemperatureSensor};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};
use protocol::limits::GPUS_COUNT_MAX;
use protocol::telemetry::GpuTelemetry;

/// A name or UUID longer than this is no name; it ends up in claims, labels and tables.
const NAME_BYTES_MAX: usize = attestation::claims::NAME_BYTES_MAX;

/// The GPUs of this machine.
#[derive(Debug)]
pub struct Gpus {
    nvml: Nvml,
    count: u32,
}

/// Why there are no GPUs to read.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("NVML cannot be used")]
    Nvml(#[source] NvmlError),
    #[error("NVML sees no GPU")]
    None,
}

impl Gpus {
    /// Loads NVML, from `library` or where the dynamic loader finds it.
    pub fn open(library: Option<&Path>) -> Result<Self, TelemetryError> {
        let nvml = match library {
            Some(path) => Nvml::builder().lib_path(path.as_os_str()).init(),
            None => Nvml::init(),
        };
        let nvml = nvml.map_err(TelemetryError::Nvml)?;
        match nvml.device_count().map_err(TelemetryError::Nvml)? {
            0 => Err(TelemetryError::None),
            seen => {
                let max = u32::try_from(GPUS_COUNT_MAX).unwrap_or(u32::MAX);
                Ok(Self {
                    nvml,
                    count: seen.min(max),
                })
            }
        }
    }

    /// Each GPU's UUID and name. A GPU that does not say both is not claimed.
    #[must_use]
    pub fn claims(&self) -> Vec<GpuClaim> {
        let claim = |device: Device<'_>| {
            Some(GpuClaim {
                uuid: text(device.uuid())?,
                name: text(device.name())?,
            })
        };
        self.devices().filter_map(claim).collect()
    }

    /// The present readings. A GPU without a UUID (just fallen off the bus) is left out.
    #[must_use]
    pub fn read(&self) -> Vec<GpuTelemetry> {
        self.devices()
            .filter_map(|device| reading(&device))
            .collect()
    }

    fn devices(&self) -> impl Iterator<Item = Device<'_>> {
        (0..self.count).filter_map(|index| self.nvml.device_by_index(index).ok())
    }
}

fn reading(device: &Device<'_>) -> Option<GpuTelemetry> {
    let memory = device.memory_info().ok();
    Some(GpuTelemetry {
        uuid: text(device.uuid())?,
        name: text(device.name()).unwrap_or_default(),
        utilisation_percent: device
            .utilization_rates()
            .ok()
            .map(|rates| rates.gpu)
            .filter(|percent| *percent <= 100),
        memory_used_bytes: memory.as_ref().map(|memory| memory.used),
        memory_total_bytes: memory.as_ref().map(|memory| memory.total),
        temperature_celsius: device.temperature(TemperatureSensor::Gpu).ok(),
        power_milliwatts: device.power_usage().ok(),
        sm_clock_mhz: device.clock_info(Clock::SM).ok(),
        ecc_uncorrected_count: device
            .total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile)
            .ok(),
    })
}

/// Printable ASCII of a sane length, or nothing.
fn text(read: Result<String, NvmlError>) -> Option<String> {
    let text = read.ok()?;
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    (plain && !text.is_empty() && text.len() <= NAME_BYTES_MAX).then_some(text)
}
