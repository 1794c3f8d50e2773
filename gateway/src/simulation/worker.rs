//! A worker of a run: the agent's own machine and receipts, on a simulated machine whose executor takes time, fails and dies.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use agent::machine::{Answer, Event, Failure, FetchFailure, Finished, Machine, Settings, Tick};
use agent::receipts::Receipts;
use agent::session::Offer;
use attestation::{Binding, Evidence, ReportData, Role, SuiteHash, enrolment_mac};
use bytes::Bytes;
use kernels::executor::Work;
use protocol::lease::{AckRequest, Lease, LeaseRef, Nack};
use protocol::telemetry::Telemetry;
use protocol::{Sha256Digest, WorkerId};

use super::dice::Dice;
use super::network::News;
use super::pool::Forge;

/// Works whose first input begins so take their executor along.
pub(super) const POISON: &[u8] = b"poison";
/// Few, so that capacity is felt.
const CAPACITY: usize = 4;
const DRAIN_LIMIT: Duration = Duration::from_secs(20);

/// One connection of one process of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Connection {
    pub(super) worker: usize,
    pub(super) process: u32,
    pub(super) number: u64,
}

/// A worker's machine, whether the agent runs on it or not.
pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) secret: [u8; 32],
    pub(super) processes: u32,
    pub(super) process: Option<Process>,
    /// While it is stopped, what reaches it waits here.
    pub(super) held_back: Option<Vec<News>>,
}

/// One life of the agent.
pub(super) struct Process {
    pub(super) machine: Machine,
    pub(super) receipts: Receipts,
    pub(super) started_ms: u64,
    pub(super) connection: u64,
    pub(super) is_up: bool,
    /// Requests without an answer, by number.
    pub(super) pending: BTreeMap<u64, Pending>,
    pub(super) requests: u64,
    pub(super) batches: u64,
    attestations: u64,
    pub(super) runs: u64,
    pub(super) run: Option<Run>,
    pub(super) due_ms: Option<u64>,
    /// Evidence that waits to be sent.
    pub(super) evidence: Option<Arc<Shown>>,
    pub(super) leasing: Option<u64>,
}

/// What the executor has before it.
pub(super) struct Run {
    pub(super) number: u64,
    pub(super) works: VecDeque<(LeaseRef, Work)>,
    pub(super) is_killed: bool,
}

/// A message to the gateway.
#[derive(Debug, Clone)]
pub(super) enum Letter {
    Connect(Arc<Shown>),
    Lease { tasks_max: u16 },
    Ack(Arc<AckRequest>),
    Nack(Vec<Nack>),
    Fetch(Arc<Offer>),
    Upload(Arc<Finished>),
    Heartbeat(Telemetry),
    Renew(Vec<LeaseRef>),
    Evidence(Arc<Shown>),
}

/// What a request becomes that has no answer.
#[derive(Debug)]
pub(super) enum Pending {
    Connect,
    Lease,
    Ack,
    Nack,
    Fetch(LeaseRef),
    Upload(LeaseRef),
}

impl Pending {
    /// Of a letter that wants an answer.
    pub(super) fn of(letter: &Letter) -> Option<Self> {
        Some(match letter {
            Letter::Connect(_) => Self::Connect,
            Letter::Lease { .. } => Self::Lease,
            Letter::Ack(_) => Self::Ack,
            Letter::Nack(_) => Self::Nack,
            Letter::Fetch(offer) => Self::Fetch(offer.lease),
            Letter::Upload(finished) => Self::Upload(finished.offer.lease),
            Letter::Heartbeat(_) | Letter::Renew(_) | Letter::Evidence(_) => return None,
        })
    }

    pub(super) fn failed(self, failure: Failure) -> Event {
        match self {
            Self::Connect => Event::ConnectFailed { slow: false },
            Self::Lease => Event::LeaseFailed,
            Self::Ack => Event::Acked(Err(failure)),
            Self::Nack => Event::Nacked(Err(failure)),
            Self::Upload(lease) => Event::Uploaded {
                lease,
                result: Err(failure),
            },
            Self::Fetch(lease) => Event::Fetched {
                lease,
                result: Err(FetchFailure::Retry),
            },
        }
    }
}

/// What a worker shows of itself for one connection.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) attestation: String,
    pub(super) receipt_key_spki: Vec<u8>,
    pub(super) boot_id: [u8; 16],
    pub(super) sequence: u64,
    /// Where the real relying party appraises.
    pub(super) evidence: Option<(Evidence, Binding)>,
}

impl Worker {
    pub(super) fn new(index: usize) -> Self {
        Self {
            id: format!("worker-{index}").parse().unwrap(),
            secret: [0; 32],
            processes: 0,
            process: None,
            held_back: None,
        }
    }

    pub(super) fn start(&mut self, now_ms: u64) {
        self.processes += 1;
        let module = Forge::shared().module;
        let settings = Settings {
            capacity: CAPACITY,
            drain_limit: DRAIN_LIMIT,
        };
        self.process = Some(Process {
            machine: Machine::new(settings),
            receipts: Receipts::new(self.id.clone(), "cpu", module, None).unwrap(),
            started_ms: now_ms,
            connection: 0,
            is_up: false,
            pending: BTreeMap::new(),
            requests: 0,
            batches: 0,
            attestations: 0,
            runs: 0,
            run: None,
            due_ms: None,
            evidence: None,
            leasing: None,
        });
    }

    /// The present connection of the present process.
    pub(super) fn connection(&self, worker: usize) -> Option<Connection> {
        let process = self.process.as_ref()?;
        Some(Connection {
            worker,
            process: self.processes,
            number: process.connection,
        })
    }

    /// What it shows next; as evidence where that is appraised.
    pub(super) fn show(&mut self, is_attested: bool, dice: &mut Dice) -> Arc<Shown> {
        let process = self.process.as_mut().unwrap();
        let sequence = process.attestations;
        process.attestations += 1;
        let receipt_key_spki = process.receipts.key_spki();
        let boot_id = [u8::try_from(self.processes % 200).unwrap(); 16];
        let mut exported = [0; 32];
        for chunk in exported.chunks_mut(8) {
            chunk.copy_from_slice(&dice.bits().to_be_bytes());
        }
        if !is_attested {
            return Arc::new(Shown {
                attestation: hex::encode(exported).repeat(2),
                receipt_key_spki,
                boot_id,
                sequence,
                evidence: None,
            });
        }
        let binding = Binding {
            role: Role::Client,
            hash: SuiteHash::Sha256,
            exported,
            attester_spki: vec![2; 91],
            peer_spki: vec![3; 91],
        };
        let platform = &Forge::shared().platform;
        let mut claims = platform.claims(&binding);
        self.id.as_str().clone_into(&mut claims.worker_id);
        claims.enrolment_mac = enrolment_mac(&self.secret, &binding);
        claims.receipt_key_spki.clone_from(&receipt_key_spki);
        claims.boot_id = boot_id;
        claims.sequence = sequence;
        let claims = claims.encode().unwrap();
        let report_data: ReportData = binding.preimage(&[], &claims).report_data();
        Arc::new(Shown {
            attestation: report_data.to_string(),
            receipt_key_spki,
            boot_id,
            sequence,
            evidence: Some((platform.evidence(&binding, claims, None), binding)),
        })
    }
}

impl Process {
    pub(super) fn tick(&self, now_ms: u64, dice: &mut Dice) -> Tick {
        Tick {
            now: Duration::from_millis(now_ms - self.started_ms),
            random: dice.bits(),
        }
    }
}

/// The one right output.
pub(super) fn compute(operation: &str, inputs: &[Bytes]) -> Bytes {
    match operation {
        "sha256_batch" => {
            let digests = inputs.iter().map(|input| Sha256Digest::of(input));
            digests.flat_map(|digest| *digest.as_bytes()).collect()
        }
        // Of one row.
        _ => inputs[0].clone(),
    }
}

/// What the executor says of a work that it has computed.
pub(super) fn done(work: &Work, wall_ms: u64, busy_ms: u64) -> Answer {
    let output = compute(work.call().operation().name, work.inputs());
    Answer::Done {
        sha256: Sha256Digest::of(&output),
        output,
        started_ms: wall_ms.saturating_sub(busy_ms),
        finished_ms: wall_ms,
        busy_ms,
    }
}

pub(super) fn is_poison(work: &Work) -> bool {
    work.inputs()
        .first()
        .is_some_and(|input| input.starts_with(POISON))
}

/// As the agent reads leases that arrive.
pub(super) fn read_leases(leases: Vec<Lease>, more: bool) -> Event {
    let (mut offers, mut refused) = (Vec::new(), Vec::new());
    for lease in leases {
        let reference = LeaseRef {
            task: lease.task,
            fencing_token: lease.fencing_token,
        };
        match Offer::read(lease) {
            Ok(offer) => offers.push(offer),
            Err(refusal) => refused.push(Nack {
                lease: reference,
                fault: refusal.fault(),
            }),
        }
    }
    Event::Leased {
        offers,
        refused,
        more,
    }
}
