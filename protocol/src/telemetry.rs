//! What a worker reports of itself with each heartbeat. Every GPU reading is optional: MIG and vGPU guests answer
//! "not supported", and a worker on the CPU has none.

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::limits::{GPU_NAME_BYTES_MAX, GPUS_COUNT_MAX};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Telemetry {
    /// Tasks whose lease this worker holds.
    pub tasks_held: u32,
    /// Counters since the agent's start.
    pub tasks_succeeded: u64,
    pub tasks_failed: u64,
    /// Executor children lost and started again since the agent's start.
    pub executor_restarts: u64,
    /// The executor lost too many children: the worker leases nothing until a canary ran well.
    #[serde(default)]
    pub quarantined: bool,
    pub gpus: Vec<GpuTelemetry>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct GpuTelemetry {
    /// `GPU-…` as NVML gives it.
    pub uuid: String,
    pub name: String,
    pub utilisation_percent: Option<u32>,
    pub memory_used_bytes: Option<u64>,
    pub memory_total_bytes: Option<u64>,
    pub temperature_celsius: Option<u32>,
    pub power_milliwatts: Option<u32>,
    pub sm_clock_mhz: Option<u32>,
    pub ecc_uncorrected_count: Option<u64>,
}

/// Telemetry as it enters the gateway, which keeps the latest of every session and shows it to operators.
pub(crate) fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Telemetry, D::Error> {
    let telemetry = Telemetry::deserialize(deserializer)?;
    if telemetry.gpus.len() > GPUS_COUNT_MAX {
        return Err(de::Error::custom(format!(
            "more than {GPUS_COUNT_MAX} GPUs"
        )));
    }
    let plain = |gpu: &GpuTelemetry| is_name(&gpu.uuid) && is_name(&gpu.name);
    if telemetry.gpus.iter().all(plain) {
        Ok(telemetry)
    } else {
        Err(de::Error::custom(format!(
            "a GPU's name is not printable ASCII of at most {GPU_NAME_BYTES_MAX} bytes"
        )))
    }
}

fn is_name(text: &str) -> bool {
    text.len() <= GPU_NAME_BYTES_MAX && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{control::Heartbeat, wire};

    fn read(telemetry: Telemetry) -> Result<Heartbeat, wire::WireError> {
        let heartbeat = Heartbeat {
            sequence: 1,
            telemetry,
        };
        wire::decode(&wire::encode(&heartbeat).unwrap(), 256 * 1024)
    }

    fn gpu(uuid: &str, name: &str) -> GpuTelemetry {
        GpuTelemetry {
            uuid: uuid.to_owned(),
            name: name.to_owned(),
            ..GpuTelemetry::default()
        }
    }

    #[test]
    fn telemetry_keeps_to_its_limits() {
        let gpus = |gpus| Telemetry {
            gpus,
            ..Telemetry::default()
        };
        let good = gpu("GPU-1", "NVIDIA H100 80GB HBM3");
        assert!(read(gpus(vec![good.clone(); 16])).is_ok());
        assert!(read(gpus(vec![good; 17])).is_err());
        let long = "G".repeat(129);
        for bad in [
            gpu("GPU-1\n", "x"),
            gpu("GPU-1", "\u{1b}[2J"),
            gpu(&long, "x"),
        ] {
            assert!(read(gpus(vec![bad.clone()])).is_err(), "{bad:?}");
        }
    }
}
