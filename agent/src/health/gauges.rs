//! The worker's metrics. Each name, with its unit, in one place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use metrics::{
    Counter, Gauge, counter, describe_counter, describe_gauge, gauge, with_local_recorder,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusRecorder};
use protocol::telemetry::GpuTelemetry;

use crate::machine::{Counts, QuarantineReason};

/// The machine's state, as gauges show it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shown {
    pub tasks_held: usize,
    pub connected: bool,
    pub ready: bool,
    pub quarantine: Option<QuarantineReason>,
}

/// A recorder of its own, so that two agents in one process (tests) do not share one.
pub struct Gauges {
    recorder: PrometheusRecorder,
    /// Every GPU reading there ever was, by metric and UUID.
    gpus: Mutex<BTreeMap<(&'static str, String), Gauge>>,
    tasks_held: Gauge,
    connected: Gauge,
    ready: Gauge,
    quarantined: Gauge,
    tasks_succeeded: Counter,
    tasks_failed: Counter,
    executor_restarts: Counter,
    quarantine_count: Counter,
    connections: Counter,
}

impl std::fmt::Debug for Gauges {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Gauges")
    }
}

impl Gauges {
    #[must_use]
    pub fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let gauges = with_local_recorder(&recorder, || {
            describe();
            (
                [
                    gauge!("cocoon_worker_tasks_held"),
                    gauge!("cocoon_worker_connected"),
                    gauge!("cocoon_worker_ready"),
                    gauge!("cocoon_worker_quarantined"),
                ],
                [
                    counter!("cocoon_worker_tasks_succeeded_total"),
                    counter!("cocoon_worker_tasks_failed_total"),
                    counter!("cocoon_worker_executor_restarts_total"),
                    counter!("cocoon_worker_quarantines_total"),
                    counter!("cocoon_worker_connections_total"),
                ],
            )
        });
        let (
            [tasks_held, connected, ready, quarantined],
            [
                tasks_succeeded,
                tasks_failed,
                executor_restarts,
                quarantine_count,
                connections,
            ],
        ) = gauges;
        Self {
            recorder,
            gpus: Mutex::default(),
            tasks_held,
            connected,
            ready,
            quarantined,
            tasks_succeeded,
            tasks_failed,
            executor_restarts,
            quarantine_count,
            connections,
        }
    }

    /// The machine's present state.
    pub fn set(&self, shown: Shown, counts: Counts) {
        let held = u32::try_from(shown.tasks_held).unwrap_or(u32::MAX);
        self.tasks_held.set(f64::from(held));
        self.connected.set(f64::from(u8::from(shown.connected)));
        self.ready.set(f64::from(u8::from(shown.ready)));
        let quarantined = shown.quarantine.is_some();
        self.quarantined.set(f64::from(u8::from(quarantined)));
        self.tasks_succeeded.absolute(counts.tasks_succeeded);
        self.tasks_failed.absolute(counts.tasks_failed);
        self.executor_restarts.absolute(counts.executor_restarts);
        self.quarantine_count.absolute(counts.quarantines);
        self.connections.absolute(counts.connections);
    }

    /// The GPUs' latest readings. One that there was and that is missing now becomes NaN: a GPU that fell off the bus must not
    /// look as if it were still at work.
    pub fn set_gpus(&self, gpus: &[GpuTelemetry]) {
        let mut known = self.gpus.lock().unwrap_or_else(PoisonError::into_inner);
        let mut missing: BTreeSet<_> = known.keys().cloned().collect();
        with_local_recorder(&self.recorder, || {
            for (index, gpu) in gpus.iter().enumerate() {
                for (name, reading) in readings(gpu) {
                    let key = (name, gpu.uuid.clone());
                    missing.remove(&key);
                    let register =
                        || gauge!(name, "gpu" => index.to_string(), "uuid" => gpu.uuid.clone());
                    known.entry(key).or_insert_with(register).set(reading);
                }
            }
        });
        for gauge in missing.iter().filter_map(|key| known.get(key)) {
            gauge.set(f64::NAN);
        }
    }

    /// The Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.recorder.handle().render()
    }
}

impl Default for Gauges {
    fn default() -> Self {
        Self::new()
    }
}

/// What this GPU says, by metric.
fn readings(gpu: &GpuTelemetry) -> impl Iterator<Item = (&'static str, f64)> {
    let readings = [
        (
            "cocoon_gpu_utilisation_percent",
            gpu.utilisation_percent.map(f64::from),
        ),
        (
            "cocoon_gpu_memory_used_bytes",
            gpu.memory_used_bytes.map(real),
        ),
        (
            "cocoon_gpu_memory_total_bytes",
            gpu.memory_total_bytes.map(real),
        ),
        (
            "cocoon_gpu_temperature_celsius",
            gpu.temperature_celsius.map(f64::from),
        ),
        (
            "cocoon_gpu_power_milliwatts",
            gpu.power_milliwatts.map(f64::from),
        ),
        ("cocoon_gpu_sm_clock_mhz", gpu.sm_clock_mhz.map(f64::from)),
        (
            "cocoon_gpu_ecc_uncorrected_count",
            gpu.ecc_uncorrected_count.map(real),
        ),
    ];
    readings
        .into_iter()
        .filter_map(|(name, reading)| Some((name, reading?)))
}

/// Prometheus knows only binary64; above 2^53 the last digits do not matter to anyone.
fn real(count: u64) -> f64 {
    let (high, low) = (
        u32::try_from(count >> 32).unwrap_or(u32::MAX),
        u32::try_from(count & 0xffff_ffff).unwrap_or(0),
    );
    f64::from(high) * 4_294_967_296.0 + f64::from(low)
}

fn describe() {
    describe_gauge!(
        "cocoon_worker_tasks_held",
        "Tasks held, from lease to accepted ack."
    );
    describe_gauge!(
        "cocoon_worker_connected",
        "1 while an admitted connection to the gateway is up."
    );
    describe_gauge!("cocoon_worker_ready", "1 while this worker takes work.");
    describe_gauge!(
        "cocoon_worker_quarantined",
        "1 while the executor, having lost too many children, is not trusted with tasks."
    );
    describe_counter!(
        "cocoon_worker_quarantines_total",
        "How often the executor was put into quarantine."
    );
    describe_counter!(
        "cocoon_worker_tasks_succeeded_total",
        "Tasks whose ack was accepted."
    );
    describe_counter!(
        "cocoon_worker_tasks_failed_total",
        "Tasks given back because they failed."
    );
    describe_counter!(
        "cocoon_worker_executor_restarts_total",
        "Executor children lost."
    );
    describe_counter!("cocoon_worker_connections_total", "Admitted connections.");
    describe_gauge!(
        "cocoon_gpu_utilisation_percent",
        "Share of the last sample period in which a kernel ran."
    );
    describe_gauge!("cocoon_gpu_memory_used_bytes", "Device memory in use.");
    describe_gauge!("cocoon_gpu_memory_total_bytes", "Device memory.");
    describe_gauge!("cocoon_gpu_temperature_celsius", "GPU temperature.");
    describe_gauge!("cocoon_gpu_power_milliwatts", "Power drawn.");
    describe_gauge!(
        "cocoon_gpu_sm_clock_mhz",
        "Clock of the streaming multiprocessors."
    );
    describe_gauge!(
        "cocoon_gpu_ecc_uncorrected_count",
        "Uncorrected memory errors since the driver was loaded."
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_rendered_and_what_is_not_is_absent() {
        let gauges = Gauges::new();
        let counts = Counts {
            tasks_succeeded: 7,
            ..Counts::default()
        };
        let shown = Shown {
            tasks_held: 3,
            connected: true,
            quarantine: Some(QuarantineReason::ChildrenLost),
            ..Shown::default()
        };
        gauges.set(shown, counts);
        let gpu = GpuTelemetry {
            uuid: "GPU-1".to_owned(),
            memory_used_bytes: Some(1 << 40),
            ..GpuTelemetry::default()
        };
        gauges.set_gpus(&[gpu]);
        let text = gauges.render();
        assert!(text.contains("cocoon_worker_tasks_held 3\n"), "{text}");
        assert!(text.contains("cocoon_worker_quarantined 1\n"), "{text}");
        assert!(
            text.contains("cocoon_worker_tasks_succeeded_total 7\n"),
            "{text}"
        );
        assert!(
            text.contains("cocoon_gpu_memory_used_bytes{gpu=\"0\",uuid=\"GPU-1\"} 1099511627776"),
            "{text}"
        );
        assert!(!text.contains("cocoon_gpu_power_milliwatts{"), "{text}");
    }

    #[test]
    fn a_gpu_that_is_gone_reads_as_no_number() {
        let gauges = Gauges::new();
        let gpu = GpuTelemetry {
            uuid: "GPU-1".to_owned(),
            temperature_celsius: Some(40),
            ..GpuTelemetry::default()
        };
        gauges.set_gpus(std::slice::from_ref(&gpu));
        assert!(
            gauges
                .render()
                .contains("cocoon_gpu_temperature_celsius{gpu=\"0\",uuid=\"GPU-1\"} 40\n")
        );
        gauges.set_gpus(&[]);
        assert!(
            gauges
                .render()
                .contains("cocoon_gpu_temperature_celsius{gpu=\"0\",uuid=\"GPU-1\"} NaN\n")
        );
        gauges.set_gpus(&[gpu]);
        assert!(gauges.render().contains("} 40\n"));
    }
}
