//! Bodies of the control stream's frames (CBOR). The frames themselves, and re-attestation, are the channel's.

use serde::{Deserialize, Serialize};

use crate::lease::LeaseRef;
use crate::telemetry::{Telemetry, bounded};

/// HEARTBEAT, worker to gateway: the agent is alive. Not a renewal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// Grows by one with each heartbeat of a session.
    pub sequence: u64,
    #[serde(deserialize_with = "bounded")]
    pub telemetry: Telemetry,
}

/// RENEW, worker to gateway: extend these live leases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renew {
    pub leases: Vec<LeaseRef>,
}

/// RENEWED, gateway to worker: one entry for each lease asked for, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    pub leases: Vec<RenewedLease>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewedLease {
    pub lease: LeaseRef,
    /// From the moment the gateway renewed it; `None`: the lease is lost, stop the task.
    pub lease_duration_ms: Option<u64>,
}

/// CANCEL, gateway to worker: stop these tasks, nobody wants them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancel {
    pub leases: Vec<LeaseRef>,
}

/// DRAIN, gateway to worker: take no new work, finish what is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// For the worker's log.
    pub reason: String,
}
