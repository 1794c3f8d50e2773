//! Readings of NVML. Each may be missing: MIG and vGPU guests answer "not supported", and so may any driver.

use std::fmt;
use std::path::Path;

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
    seen: u32,
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
            seen => Ok(Self { nvml, seen }),
        }
    }

    #[must_use]
    pub fn nvml(&self) -> &Nvml {
        &self.nvml
    }

    /// How many GPUs there were when NVML was loaded.
    #[must_use]
    pub fn seen(&self) -> u32 {
        self.seen
    }

    /// The present readings. A GPU without a UUID (just fallen off the bus) is left out.
    #[must_use]
    pub fn read(&self) -> Vec<GpuTelemetry> {
        self.devices()
            .filter_map(|device| reading(&device))
            .collect()
    }

    /// What an attestation is about, as NVML sees it now.
    #[must_use]
    pub fn identity(&self) -> GpusIdentity {
        let uuid = |index| text(self.nvml.device_by_index(index).and_then(|gpu| gpu.uuid()));
        GpusIdentity {
            driver: text(self.nvml.sys_driver_version()),
            uuids: (0..self.nvml.device_count().unwrap_or(0).min(gpus_max()))
                .map(uuid)
                .collect(),
        }
    }

    fn devices(&self) -> impl Iterator<Item = Device<'_>> {
        (0..self.seen.min(gpus_max())).filter_map(|index| self.nvml.device_by_index(index).ok())
    }
}

/// The driver and the GPUs, one that does not answer as nothing. Another one than before means that what was attested is
/// not so any more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GpusIdentity {
    driver: Option<String>,
    uuids: Vec<Option<String>>,
}

impl GpusIdentity {
    /// Whether the driver and every GPU answered.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.driver.is_some() && !self.uuids.is_empty() && self.uuids.iter().all(Option::is_some)
    }
}

impl fmt::Display for GpusIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let driver = self.driver.as_deref().unwrap_or("none");
        write!(formatter, "driver {driver}, GPUs")?;
        for uuid in &self.uuids {
            write!(formatter, " {}", uuid.as_deref().unwrap_or("lost"))?;
        }
        Ok(())
    }
}

fn gpus_max() -> u32 {
    u32::try_from(GPUS_COUNT_MAX).unwrap_or(u32::MAX)
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

fn text(read: Result<String, NvmlError>) -> Option<String> {
    printable(read.ok()?)
}

/// The text, if it is printable ASCII of a sane length.
pub(crate) fn printable(text: String) -> Option<String> {
    let plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    (plain && !text.is_empty() && text.len() <= NAME_BYTES_MAX).then_some(text)
}
