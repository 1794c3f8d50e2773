//! The gateway's own limits: name, unit and reason in one place. What travels on the wire is bounded in
//! [`protocol::limits`] and in the channel.

use std::time::Duration;

use protocol::limits::{HEARTBEAT_INTERVAL_S, LONG_POLL_MS_MAX};

/// TLS handshakes and gates in progress at the worker listener. Each holds a quote of some 8 KiB and its buffers; after
/// a restart 10,000 workers come back within a minute, which is some 170 a second at a few milliseconds each.
pub const GATES_IN_FLIGHT_MAX: usize = 1_024;
/// Connections from one address that are before or in the gate: one misbehaving machine cannot take every place, and a
/// rack behind one NAT address still comes back at once.
pub const GATES_PER_ADDRESS_MAX: usize = 256;
const _: () = assert!(GATES_PER_ADDRESS_MAX < GATES_IN_FLIGHT_MAX);
/// Admitted worker connections: the pool is planned for 10,000 workers, at about 35 KiB each.
pub const SESSIONS_MAX: usize = 16_384;
/// Open API connections, idle ones included: bounds descriptors and buffers.
pub const API_CONNECTIONS_MAX: usize = 4_096;
/// Connections of the metrics listener: a scraper, a load balancer, a person.
pub const METRICS_CONNECTIONS_MAX: usize = 64;

/// Request bodies that the API holds in memory at once, all connections together; a further request is told to come
/// back.
pub const API_BODIES_BYTES_MAX: usize = 256 * 1024 * 1024;
const _: () = assert!(API_BODIES_BYTES_MAX >= 8 * protocol::limits::API_BODY_BYTES_MAX);
/// … and of one user: a few of the largest at a time, and never what all others need.
pub const API_BODIES_PER_USER_BYTES_MAX: usize = API_BODIES_BYTES_MAX / 4;
const _: () = assert!(API_BODIES_PER_USER_BYTES_MAX >= 4 * protocol::limits::API_BODY_BYTES_MAX);
/// Requests of one API connection in progress (HTTP/2 streams): enough for a client that waits for a batch of tasks.
pub const API_STREAMS_MAX: u32 = 256;
/// The API answers long polls at most so long, as leases do.
pub const API_WAIT: Duration = Duration::from_millis(widen(LONG_POLL_MS_MAX));

/// A TLS handshake of the API listener.
pub const API_HANDSHAKE: Duration = Duration::from_secs(10);
/// From a connection's first byte to the end of a request's headers: a client that dribbles is closed.
pub const HEADER_READ: Duration = Duration::from_secs(10);
/// The header of one request; ours have a few hundred bytes.
pub const HTTP_HEADERS_BYTES_MAX: usize = 32 * 1024;
/// How often an HTTP/2 client is asked whether it is still there, and how long it may take to say so.
pub const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Between two pieces of a request's body: a stalled upload is closed, a slow one is not.
pub const BODY_STALL: Duration = Duration::from_secs(30);
/// What an early answer waits for of a body that nobody wants: most are smaller, and on their way already.
pub const UNREAD_BYTES_MAX: u64 = 1024 * 1024;
/// … and so long.
pub const UNREAD_WAIT: Duration = Duration::from_secs(5);
/// From a request's headers to those of its answer, uploads excepted; beyond the longest long poll.
pub const API_REQUEST: Duration = Duration::from_mins(1);
/// What a request that waits leaves of that for its answer.
pub const API_ANSWER: Duration = Duration::from_secs(5);
const _: () = assert!(API_WAIT.as_secs() + API_ANSWER.as_secs() < API_REQUEST.as_secs());

/// Texts of one request for embeddings, as OpenAI's API has it.
pub const EMBEDDINGS_TEXTS_MAX: usize = 2_048;
/// So long such a request waits for its vectors, once it is read.
pub const EMBEDDINGS_WAIT: Duration = Duration::from_secs(45);
/// … and so long where no worker offers it: one that was cut off is back within that.
pub const EMBEDDINGS_NOBODY_WAIT: Duration = Duration::from_secs(5);
const _: () = assert!(EMBEDDINGS_WAIT.as_secs() < API_REQUEST.as_secs());

/// A stream of events says something at least so often, so that nobody in between takes it for dead.
pub const EVENTS_KEEP_ALIVE: Duration = Duration::from_secs(15);
/// … and goes on at most so long: an access token may be revoked meanwhile.
pub const EVENTS_MAX: Duration = Duration::from_hours(1);

/// The list of tasks answers at most so many a page, and so many when the request does not say.
pub const PAGE_TASKS_MAX: u32 = 1_000;
pub const PAGE_TASKS_DEFAULT: u32 = 100;

/// How long after its deadline to attest a stale session stays open: time for a worker with a slow quote service to
/// attest after all, and to keep its outputs.
pub const STALE_SESSION: Duration = Duration::from_mins(1);
/// From the request to attest to the deadline: a stock kernel makes one quote a second, and every worker of a machine
/// may be asked at once.
pub const REATTEST_GRACE: Duration = Duration::from_mins(1);
/// Three heartbeats missed: a paused or lost agent must not be handed tasks over a connection that still looks open.
pub const SILENCE: Duration = Duration::from_secs(widen(3 * HEARTBEAT_INTERVAL_S));
/// Re-attestation is spread over the interval times 1 ± this much, so that workers admitted together do not attest
/// together for ever.
pub const REATTEST_JITTER_PERCENT: u32 = 20;

/// What an appraisal may wait for a free core before the worker is told to come back.
pub const APPRAISAL_WAIT: Duration = Duration::from_secs(10);
/// Live sessions that are appraised again at once, from reading the record until the verdict is on disk: enough for the
/// store to share its flushes, and so few that a worker at the gate waits behind them for less than 0.1 s.
pub const REAPPRAISALS_IN_FLIGHT_MAX: usize = 64;
/// How often is said how far that has come.
pub const REAPPRAISAL_PROGRESS: Duration = Duration::from_secs(1);
/// Tries to reach a verdict within one grace, where it is not the evidence that is wanting.
pub const REATTEST_TRIES: u32 = 6;
/// How often expired leases and deadlines are collected: bounds how much longer than its lease a task stays hidden.
pub const EXPIRY_INTERVAL: Duration = Duration::from_millis(500);
/// How often what workers have done is added up: bounds how many batches of receipts a look at the workers goes through.
pub const COUNT_INTERVAL: Duration = Duration::from_secs(2);
/// How often finished tasks are looked through for those to forget.
pub const PRUNE_INTERVAL: Duration = Duration::from_mins(1);
/// How often the blobs' files are gone through for those that nobody needs.
pub const COLLECT_INTERVAL: Duration = Duration::from_hours(1);
/// An output that a worker uploaded waits so long for its ack: longer than any lease.
pub const WORKER_CLAIM: Duration = Duration::from_hours(24);
const _: () = assert!(WORKER_CLAIM.as_secs() > 2 * widen(protocol::limits::LEASE_DURATION_S_MAX));
/// Between two steps through what is old, each of some 10 ms: the queue comes first.
pub const PRUNE_PAUSE: Duration = Duration::from_millis(50);
/// How often collateral files are read again; a refresh is a file put in place, and must count within minutes.
pub const COLLATERAL_INTERVAL: Duration = Duration::from_mins(1);
/// How often the systemd watchdog is told, against its usual interval of a minute.
pub const WATCHDOG_INTERVAL: Duration = Duration::from_secs(15);
/// Commands that wait for one session's driver: cancellations and drains, each a moment's work.
pub const SESSION_COMMANDS_MAX: usize = 64;
/// How often a waiting lease looks again while tasks wait that it did not get.
pub const LEASE_POLL: Duration = Duration::from_secs(1);
/// A worker with a free place asks for tasks at least so often: a long poll, and the pause of one that drains.
pub const LEASE_ASKED: Duration = Duration::from_secs(widen(LONG_POLL_MS_MAX) / 1_000 + 10);
/// From the signal to stop until everything has ended; systemd's own limit is 90 s.
pub const SHUTDOWN: Duration = Duration::from_secs(20);

const fn widen(milliseconds: u32) -> u64 {
    // u64::from is not const yet.
    #[expect(
        clippy::as_conversions,
        reason = "widening; From is not available in a const fn"
    )]
    {
        milliseconds as u64
    }
}
