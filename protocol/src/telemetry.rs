//! What a worker reports of itself with each heartbeat. Every GPU reading is optional: MIG and vGPU guests answer
//! "not supported", and a worker on the CPU has none.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Telemetry {
    /// Tasks whose lease this worker holds.
    pub tasks_held: u32,
    /// Counters since the agent's start.
    pub tasks_succeeded: u64,
    pub tasks_failed: u64,
    /// Executor children lost and started again since the agent's start.
    pub executor_restarts: u64,
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
