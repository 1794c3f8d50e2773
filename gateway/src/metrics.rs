//! What the gateway counts. Each process (and each gateway of a test) has a recorder of its own; nothing is global.

mod definitions;
mod known;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use attestation::{ErrorCode, Family};
use metrics::{Counter, Gauge, Histogram, Key, Label, Metadata, Recorder, SharedString};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use protocol::api::{TaskCounts, WorkerCounts};

use crate::store::WriteStatistics;

pub use definitions::{DEFINITIONS, Definition, Kind};
use known::Known;

/// The gateway's meters. Cheap to clone.
#[derive(Clone)]
pub struct Metrics {
    recorder: Arc<PrometheusRecorder>,
    handle: PrometheusHandle,
    counters: Arc<Known<Counter>>,
    histograms: Arc<Known<Histogram>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let recorder = builder().build_recorder();
        for definition in DEFINITIONS {
            describe(&recorder, definition);
        }
        let handle = recorder.handle();
        Self {
            recorder: Arc::new(recorder),
            handle,
            counters: Arc::default(),
            histograms: Arc::default(),
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Metrics(..)")
    }
}

impl Metrics {
    /// The Prometheus text format.
    #[must_use]
    pub fn render(&self) -> String {
        self.handle.run_upkeep();
        self.handle.render()
    }

    pub(crate) fn info(&self, trust_anchor: &str) {
        let version = env!("CARGO_PKG_VERSION");
        let labels = [("version", version), ("trust_anchor", trust_anchor)];
        self.gauge("cocoon_gateway_info", &labels).set(1.0);
    }

    pub(crate) fn tasks(&self, counts: TaskCounts) {
        for (state, count) in [
            ("queued", counts.queued),
            ("running", counts.running),
            ("succeeded", counts.succeeded),
            ("dead-letter", counts.dead_letter),
            ("cancelled", counts.cancelled),
            ("expired", counts.expired),
        ] {
            self.gauge("cocoon_gateway_tasks", &[("state", state)])
                .set(real(count));
        }
    }

    pub(crate) fn workers(&self, counts: WorkerCounts) {
        for (state, count) in [
            ("enrolled", counts.enrolled),
            ("live", counts.live),
            ("stale", counts.stale),
            ("draining", counts.draining),
        ] {
            self.gauge("cocoon_gateway_workers", &[("state", state)])
                .set(real(count));
        }
    }

    /// `outcome`: `accepted`, `repeated` or `refused`.
    pub(crate) fn submitted(&self, outcome: &'static str, count: u64) {
        self.counter("cocoon_gateway_submissions_total", &[("outcome", outcome)])
            .increment(count);
    }

    pub(crate) fn leased(&self, count: u64) {
        self.counter("cocoon_gateway_leases_total", &[])
            .increment(count);
    }

    pub(crate) fn lease_expired(&self, count: u64) {
        self.counter("cocoon_gateway_leases_expired_total", &[])
            .increment(count);
    }

    pub(crate) fn acked(&self, outcome: &'static str, count: u64) {
        self.counter("cocoon_gateway_acks_total", &[("outcome", outcome)])
            .increment(count);
    }

    pub(crate) fn nacked(&self, outcome: &'static str, count: u64) {
        self.counter("cocoon_gateway_nacks_total", &[("outcome", outcome)])
            .increment(count);
    }

    /// `stage`: `handshake`, `gate`, `reattestation` or `reappraisal`.
    pub(crate) fn refused(&self, stage: &'static str, code: ErrorCode) {
        let labels = [("stage", stage), ("code", code.as_str())];
        self.counter("cocoon_gateway_refusals_total", &labels)
            .increment(1);
    }

    pub(crate) fn admitted(&self, stage: &'static str) {
        self.counter("cocoon_gateway_admissions_total", &[("stage", stage)])
            .increment(1);
    }

    /// `outcome`: `stands`, `cut` or `undecided`.
    pub(crate) fn reappraised(&self, outcome: &'static str) {
        self.counter("cocoon_gateway_reappraisals_total", &[("outcome", outcome)])
            .increment(1);
    }

    pub(crate) fn appraised(&self, took: Duration) {
        self.histogram("cocoon_gateway_appraisal_seconds", &[])
            .record(took.as_secs_f64());
    }

    pub(crate) fn gates_in_flight(&self) -> Gauge {
        self.gauge("cocoon_gateway_gates_in_flight", &[])
    }

    pub(crate) fn sessions(&self) -> Gauge {
        self.gauge("cocoon_gateway_sessions", &[])
    }

    pub(crate) fn connection_refused(&self, listener: &'static str, reason: &'static str) {
        let labels = [("listener", listener), ("reason", reason)];
        self.counter("cocoon_gateway_connections_refused_total", &labels)
            .increment(1);
    }

    pub(crate) fn request(
        &self,
        listener: &'static str,
        method: &str,
        route: &str,
        status: u16,
        took: Duration,
    ) {
        let status = status.to_string();
        let labels = [
            ("listener", listener),
            ("method", method),
            ("route", route),
            ("status", &status),
        ];
        self.counter("cocoon_gateway_http_requests_total", &labels)
            .increment(1);
        self.histogram(
            "cocoon_gateway_http_request_seconds",
            &[("listener", listener), ("route", route)],
        )
        .record(took.as_secs_f64());
    }

    pub(crate) fn store(&self, statistics: WriteStatistics) {
        for (name, count) in [
            ("cocoon_gateway_store_commits_total", statistics.commits),
            (
                "cocoon_gateway_store_operations_total",
                statistics.operations,
            ),
            ("cocoon_gateway_store_refused_total", statistics.refused),
        ] {
            self.counter(name, &[]).absolute(count);
        }
    }

    /// One call of the store that writes; `call`: `submit`, `lease` or `ack`.
    pub(crate) fn store_call(&self, call: &'static str, took: Duration) {
        self.histogram("cocoon_gateway_store_call_seconds", &[("call", call)])
            .record(took.as_secs_f64());
    }

    /// Seconds since the epoch of the earliest `nextUpdate`; `None` without collateral.
    pub(crate) fn collateral(&self, next_update_s: Option<u64>, count: usize, faults: usize) {
        self.gauge("cocoon_gateway_collateral_next_update_seconds", &[])
            .set(real(next_update_s.unwrap_or_default()));
        self.gauge("cocoon_gateway_collateral_families", &[])
            .set(real(u64::try_from(count).unwrap_or(u64::MAX)));
        self.gauge("cocoon_gateway_collateral_faults", &[])
            .set(real(u64::try_from(faults).unwrap_or(u64::MAX)));
    }

    /// For how long past its end the collateral of the latest admission was used.
    pub(crate) fn collateral_grace(&self, used_s: u64) {
        self.gauge("cocoon_gateway_collateral_grace_used_seconds", &[])
            .set(real(used_s));
    }

    /// Sessions that stand by the grace for an outdated TCB, and how long the shortest of them still lasts.
    pub(crate) fn tcb_graces(&self, ends_ms: &[u64], now_ms: u64) {
        let count = u64::try_from(ends_ms.len()).unwrap_or(u64::MAX);
        self.gauge("cocoon_gateway_tcb_grace_sessions", &[])
            .set(real(count));
        let left_ms = ends_ms.iter().min().map(|ms| ms.saturating_sub(now_ms));
        self.gauge("cocoon_gateway_tcb_grace_left_seconds", &[])
            .set(real(left_ms.unwrap_or(0) / 1_000));
    }

    /// How long one family's collateral has until its first part must be renewed; below zero, how long it is overdue.
    pub(crate) fn collateral_left(&self, family: Family, next_update_s: u64, now_s: u64) {
        self.family_gauge("cocoon_gateway_collateral_family_left_seconds", family)
            .set(real(next_update_s) - real(now_s));
    }

    /// A family's collateral was fetched, new or not; `outcome`: `new` or `unchanged`.
    pub(crate) fn collateral_fetched(&self, family: Family, outcome: &'static str, now_s: u64) {
        self.family_gauge("cocoon_gateway_collateral_fetched_seconds", family)
            .set(real(now_s));
        self.collateral_fetch(outcome);
    }

    /// `outcome`: `new`, `unchanged`, or why the fetch failed. Families that are not held are not named: their names are
    /// workers' words.
    pub(crate) fn collateral_fetch(&self, outcome: &'static str) {
        let labels = [("outcome", outcome)];
        self.counter("cocoon_gateway_collateral_fetches_total", &labels)
            .increment(1);
    }

    /// NVIDIA's reference manifests that verify, and those that do not.
    pub(crate) fn gpu_references(&self, usable: usize, refused: usize) {
        for (standing, count) in [("usable", usable), ("refused", refused)] {
            let labels = [("standing", standing)];
            self.gauge("cocoon_gateway_gpu_references", &labels)
                .set(real(u64::try_from(count).unwrap_or(u64::MAX)));
        }
    }

    fn family_gauge(&self, name: &'static str, family: Family) -> Gauge {
        let (fmspc, ca) = (hex::encode(family.fmspc), family.ca.as_str());
        self.gauge(name, &[("fmspc", &fmspc), ("ca", ca)])
    }

    fn counter(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Counter {
        self.counters.find(name, labels, |key| {
            self.recorder.register_counter(key, &METADATA)
        })
    }

    fn gauge(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Gauge {
        self.recorder.register_gauge(&key(name, labels), &METADATA)
    }

    fn histogram(&self, name: &'static str, labels: &[(&'static str, &str)]) -> Histogram {
        self.histograms.find(name, labels, |key| {
            self.recorder.register_histogram(key, &METADATA)
        })
    }
}

static METADATA: Metadata<'static> =
    Metadata::new(module_path!(), metrics::Level::INFO, Some(module_path!()));

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<_> = labels
        .iter()
        .map(|(name, value)| Label::new(*name, (*value).to_owned()))
        .collect();
    Key::from_parts(name, labels)
}

fn builder() -> PrometheusBuilder {
    DEFINITIONS
        .iter()
        .fold(PrometheusBuilder::new(), |builder, definition| {
            let Kind::Histogram(buckets) = definition.kind else {
                return builder;
            };
            let matcher = Matcher::Full(definition.name.to_owned());
            match builder.set_buckets_for_metric(matcher, buckets) {
                Ok(builder) => builder,
                // Only an empty list of buckets is refused; a test renders every histogram.
                Err(_) => PrometheusBuilder::new(),
            }
        })
}

fn describe(recorder: &PrometheusRecorder, definition: &Definition) {
    let (name, help) = (definition.name, SharedString::const_str(definition.help));
    match definition.kind {
        Kind::Counter => recorder.describe_counter(name.into(), None, help),
        Kind::Gauge => recorder.describe_gauge(name.into(), None, help),
        Kind::Histogram(_) => recorder.describe_histogram(name.into(), None, help),
    }
}

/// Counts beyond 2⁵³ lose their last digits, which nobody reads.
#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "metrics are binary64 by definition; no lossless conversion exists"
)]
fn real(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_its_help_and_two_gateways_do_not_mix() {
        let [first, second] = [Metrics::default(), Metrics::default()];
        first.leased(3);
        first.tasks(TaskCounts::default());
        first.appraised(Duration::from_millis(2));
        first.refused("gate", ErrorCode::TdDebuggable);
        let text = first.render();
        for line in [
            "# HELP cocoon_gateway_leases_total ",
            "# TYPE cocoon_gateway_leases_total counter",
            "cocoon_gateway_leases_total 3",
            "cocoon_gateway_tasks{state=\"dead-letter\"} 0",
            "cocoon_gateway_refusals_total{stage=\"gate\",code=\"E501\"} 1",
            "cocoon_gateway_appraisal_seconds_bucket{le=\"0.005\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(!second.render().contains("cocoon_gateway_leases_total 3"));
    }

    #[test]
    fn names_are_plain_and_unique() {
        let mut names: Vec<_> = DEFINITIONS
            .iter()
            .map(|definition| definition.name)
            .collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), DEFINITIONS.len());
        for definition in DEFINITIONS {
            assert!(
                definition.name.starts_with("cocoon_gateway_"),
                "{}",
                definition.name
            );
            assert!(definition.help.ends_with('.'), "{}", definition.name);
            let counter = matches!(definition.kind, Kind::Counter);
            assert_eq!(
                counter,
                definition.name.ends_with("_total"),
                "{}",
                definition.name
            );
        }
    }
}
