//! One simulated worker: it connects and attests as `cocoon-worker` does, comes back as it does, and keeps its session with
//! telemetry and renewals.

mod evidence;
mod session;
mod tasks;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use agent::machine::backoff::{Backoff, STEADY, slow_retry};
use agent::receipts::Receipts;
use anyhow::{Context, Result};
use channel::{CertificateDer, ControlError, GateError, Identity, WorkerTls};
use protocol::lease::OperationId;
use protocol::{Sha256Digest, WorkerId};
use simulator::{SimulatedPlatform, TdOptions};
use tokio::net::TcpSocket;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::clock::now;
use evidence::Evidence;
use session::Connected;

/// What all workers of a crew share.
pub(super) struct Shared {
    pub(super) gateway: SocketAddr,
    pub(super) pool_ca: Vec<CertificateDer<'static>>,
    /// One simulated machine for all: what it forges is worth as much as what ten thousand would.
    pub(super) platform: Arc<SimulatedPlatform>,
    pub(super) td: TdOptions,
    pub(super) operations: Arc<[OperationId]>,
    /// Tasks that one request for work asks for.
    pub(super) tasks_max: u16,
    /// Gets a permit for each task that was acknowledged.
    pub(super) window: Arc<Semaphore>,
    pub(super) counts: Counts,
    pub(super) stop: CancellationToken,
}

/// What the workers of a crew have seen, all together.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Open sessions.
    pub(super) admitted: AtomicU64,
    /// Connections that came to nothing, and sessions that ended by themselves.
    pub(super) disconnected: AtomicU64,
    pub(super) leased: AtomicU64,
    pub(super) acknowledged: AtomicU64,
    /// Tasks whose ack the gateway did not accept, or could not answer.
    pub(super) unacknowledged: AtomicU64,
    pub(super) heartbeats: AtomicU64,
    pub(super) attestations: AtomicU64,
}

/// What a worker has from its enrolment.
#[derive(Debug, Clone)]
pub(super) struct Enrolled {
    pub(super) id: WorkerId,
    pub(super) secret: Vec<u8>,
}

/// One worker.
pub(super) struct Worker {
    shared: Arc<Shared>,
    enrolled: Enrolled,
    /// A machine of its own has an address of its own.
    address: Ipv4Addr,
    receipts: Receipts,
    evidence: Evidence,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>, enrolled: Enrolled, number: u32) -> Result<Self> {
        let module_digest = Sha256Digest::of(b"the load generator");
        let receipts = Receipts::new(enrolled.id.clone(), "cpu", module_digest, None)
            .context("no receipt key")?;
        let evidence = Evidence::new(&enrolled, receipts.key_spki(), module_digest);
        Ok(Self {
            shared,
            enrolled,
            address: address(number),
            receipts,
            evidence,
        })
    }

    /// Connects, keeps the session, and comes back after it has ended, with the waits of `cocoon-worker`, until the crew stops.
    pub(super) async fn live(self: Arc<Self>) {
        let stop = self.shared.stop.clone();
        let mut backoff = Backoff::of_reconnects();
        while !stop.is_cancelled() {
            let lived = tokio::select! {
                lived = self.live_once() => lived,
                () = stop.cancelled() => return,
            };
            self.shared
                .counts
                .disconnected
                .fetch_add(1, Ordering::Relaxed);
            if lived.was_steady {
                backoff.succeeded();
            }
            let wait = if lived.is_refused {
                slow_retry(rand::random())
            } else {
                backoff.failed(rand::random())
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    async fn live_once(self: &Arc<Self>) -> Lived {
        let connected = match self.connect().await {
            Ok(connected) => connected,
            Err(error) => {
                let gate = error.downcast_ref::<GateError>();
                return Lived {
                    was_steady: false,
                    is_refused: matches!(gate, Some(GateError::Refused { code }) if code.wants_slow_retry()),
                };
            }
        };
        let since = now();
        // However it ended, the worker comes back.
        let _: Result<(), ControlError> = session::keep(self, connected).await;
        Lived {
            was_steady: since.elapsed() >= STEADY,
            is_refused: false,
        }
    }

    /// TCP, TLS with a new key, the gate, HTTP/2.
    async fn connect(self: &Arc<Self>) -> Result<Connected> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((self.address, 0)))?;
        let stream = socket.connect(self.shared.gateway).await?;
        stream.set_nodelay(true)?;
        let tls = WorkerTls::new(Identity::generate()?, &self.shared.pool_ca, "localhost")?;
        let unattested = tls.connect(stream).await?;
        let attester = self.evidence.attester(&self.shared);
        let connection = unattested.attest(&attester).await?;
        self.shared
            .counts
            .attestations
            .fetch_add(1, Ordering::Relaxed);
        Connected::start(connection, attester.attestation()).await
    }
}

/// How one connection went.
struct Lived {
    was_steady: bool,
    /// With a code that a quick retry does not change.
    is_refused: bool,
}

/// 127.1.0.1 and on: all of 127.0.0.0/8 is this machine.
fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 1).to_bits() + number)
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn ten_thousand_workers_have_as_many_addresses_of_this_machine() {
        assert_eq!(address(0).to_string(), "127.1.0.1");
        assert_eq!(address(9_999).to_string(), "127.1.39.16");
        assert!(address(9_999).is_loopback());
    }
}
