//! Every metric, with its kind and its help text, in one table.

/// One metric family.
#[derive(Debug)]
pub struct Definition {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
}

/// Its Prometheus type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    Counter,
    Gauge,
    /// Upper bounds of its buckets.
    Histogram(&'static [f64]),
}

/// From half a millisecond (a request answered from memory) to the longest long poll.
const REQUEST_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];
/// An appraisal takes 1 to 2 ms of CPU; waiting for a core may take seconds after a restart.
const APPRAISAL_SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0];
/// Waiting for and taking part in one transaction with its fsync, on a fast disk and on a slow one.
const STORE_SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0,
];

const fn counter(name: &'static str, help: &'static str) -> Definition {
    Definition {
        name,
        kind: Kind::Counter,
        help,
    }
}

const fn gauge(name: &'static str, help: &'static str) -> Definition {
    Definition {
        name,
        kind: Kind::Gauge,
        help,
    }
}

const fn histogram(name: &'static str, buckets: &'static [f64], help: &'static str) -> Definition {
    Definition {
        name,
        kind: Kind::Histogram(buckets),
        help,
    }
}

/// All there are.
pub const DEFINITIONS: &[Definition] = &[
    gauge(
        "cocoon_gateway_info",
        "Always 1; labels say which release runs and whose root it trusts.",
    ),
    gauge("cocoon_gateway_tasks", "Tasks in the store, by state."),
    gauge(
        "cocoon_gateway_workers",
        "Workers: enrolled, with a live session, with a stale one, draining.",
    ),
    gauge(
        "cocoon_gateway_sessions",
        "Admitted worker connections that are open.",
    ),
    gauge(
        "cocoon_gateway_gates_in_flight",
        "Worker connections in the TLS handshake or the gate.",
    ),
    counter(
        "cocoon_gateway_submissions_total",
        "Tasks submitted: accepted, repeated (same idempotency key) or refused.",
    ),
    counter("cocoon_gateway_leases_total", "Leases granted."),
    counter(
        "cocoon_gateway_leases_expired_total",
        "Leases that ran out before an ack or a renewal.",
    ),
    counter("cocoon_gateway_acks_total", "Acks, by outcome."),
    counter("cocoon_gateway_nacks_total", "Nacks, by outcome."),
    counter(
        "cocoon_gateway_admissions_total",
        "Evidence accepted, at the gate or in a re-attestation.",
    ),
    counter(
        "cocoon_gateway_refusals_total",
        "Workers refused, by stage and stable error code.",
    ),
    counter(
        "cocoon_gateway_reappraisals_total",
        "Live sessions appraised again under another policy or other collateral: stands, cut, or undecided and asked to attest.",
    ),
    counter(
        "cocoon_gateway_connections_refused_total",
        "Connections closed before a word was read, by reason.",
    ),
    histogram(
        "cocoon_gateway_appraisal_seconds",
        APPRAISAL_SECONDS,
        "From evidence presented to verdict, waiting for a core included.",
    ),
    counter(
        "cocoon_gateway_http_requests_total",
        "Requests answered, by listener, method, route and status.",
    ),
    histogram(
        "cocoon_gateway_http_request_seconds",
        REQUEST_SECONDS,
        "From a request's headers to its answer's, long polls included.",
    ),
    counter(
        "cocoon_gateway_store_commits_total",
        "Transactions of the store, each with one flush to disk.",
    ),
    counter(
        "cocoon_gateway_store_operations_total",
        "Operations that those transactions carried; divided by them, the batch size.",
    ),
    counter(
        "cocoon_gateway_store_refused_total",
        "Writes turned away because too many waited.",
    ),
    histogram(
        "cocoon_gateway_store_call_seconds",
        STORE_SECONDS,
        "From a call of the store until its answer is durable; `submit-awaited` may wait some milliseconds for the tasks' ends.",
    ),
    gauge(
        "cocoon_gateway_collateral_next_update_seconds",
        "When the earliest collateral must have been renewed, Unix seconds; 0 without any.",
    ),
    gauge(
        "cocoon_gateway_collateral_families",
        "Platform families with collateral.",
    ),
    gauge(
        "cocoon_gateway_collateral_grace_used_seconds",
        "For how long past its end the collateral of the latest admission was used; 0 when it was in date.",
    ),
    gauge(
        "cocoon_gateway_tcb_grace_sessions",
        "Sessions of workers whose outdated TCB the appraisal policy still tolerates, for the days of its grace.",
    ),
    gauge(
        "cocoon_gateway_tcb_grace_left_seconds",
        "For how long the shortest of these graces still lasts; 0 where there is none.",
    ),
    gauge(
        "cocoon_gateway_collateral_faults",
        "Collateral files that could not be read the last time.",
    ),
    gauge(
        "cocoon_gateway_collateral_family_left_seconds",
        "Until a family's collateral must be renewed, by FMSPC and CA; below zero when overdue.",
    ),
    gauge(
        "cocoon_gateway_collateral_fetched_seconds",
        "When a family's collateral was last fetched, new or unchanged, Unix seconds.",
    ),
    counter(
        "cocoon_gateway_collateral_fetches_total",
        "Fetches of one family's collateral: new, unchanged, or why they failed.",
    ),
    gauge(
        "cocoon_gateway_gpu_references",
        "NVIDIA's reference manifests at hand: usable, or refused.",
    ),
];
