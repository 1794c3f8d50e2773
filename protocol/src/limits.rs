//! The wire limits: name, unit and reason in one place, relations between them asserted at compile time.

/// An input or output up to this size travels inside the message; a larger one is a blob. Keeps a batch of a thousand
/// leases within a few frames and the database row small.
pub const INLINE_BYTES_MAX: u64 = 64 * 1024;

/// Parameters are numbers and choices; anything larger is an input.
pub const PARAMETERS_BYTES_MAX: u64 = 16 * 1024;

/// One input or output. Bounds what an executor's arena and a worker's memory must hold.
pub const BLOB_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Inputs of one task: bounds the row and the executor's frame.
pub const INPUTS_COUNT_MAX: usize = 256;

/// One text of `embed`: a model reads 256 tokens, some 1,500 bytes of English; what lies behind is cut. None is
/// so long that it could not travel inline.
pub const EMBED_TEXT_BYTES_MAX: u64 = INLINE_BYTES_MAX;

/// Tasks in one submitted batch, one lease or one ack: bounds a transaction.
pub const BATCH_TASKS_MAX: usize = 1_000;

/// Body of one API request other than a blob: a full batch of inline tasks in base64 would not fit on purpose, so that
/// one request cannot hold the gateway's memory.
pub const API_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Body of one worker message (lease, ack, nack). Bounds a batch in bytes as [`BATCH_TASKS_MAX`] does in number.
pub const WORKER_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Inline payload bytes handed out in one lease response; the rest comes in the next one.
pub const LEASE_PAYLOAD_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// A lease shorter than this cannot outlast a network hiccup.
pub const LEASE_DURATION_S_MIN: u32 = 1;
/// A lease longer than this hides a lost worker for too long.
pub const LEASE_DURATION_S_MAX: u32 = 3_600;
/// Long enough for two lost heartbeats, short enough that a killed worker's tasks move on soon.
pub const LEASE_DURATION_S_DEFAULT: u32 = 30;

/// The agent is presumed gone after two of these without one.
pub const HEARTBEAT_INTERVAL_S: u32 = 5;

/// How long a lease request may wait for work. Below the idle limits of common middleboxes.
pub const LONG_POLL_MS_MAX: u32 = 30_000;

/// Deliveries of one task before it is set aside as a dead letter.
pub const ATTEMPTS_MAX: u32 = 20;
/// Three separate workers failing at it is evidence against the task.
pub const ATTEMPTS_DEFAULT: u32 = 3;

/// Priorities are 0 (last) to this (first).
pub const PRIORITY_MAX: u8 = 9;
/// Neither first nor last.
pub const PRIORITY_DEFAULT: u8 = 4;
/// One step of priority counts as this much waiting: a task of the lowest priority overtakes a fresh one of the highest
/// after `PRIORITY_MAX` steps, so nothing starves. Users take turns, whatever their tasks' priorities are.
pub const PRIORITY_STEP_S: u64 = 60;

/// A task may wait in the queue at most this long; a week-old task is nobody's any more.
pub const DEADLINE_S_MAX: u32 = 7 * 24 * 3_600;

/// Names (workers, users) and idempotency keys: they appear in tables, labels and logs.
pub const NAME_BYTES_MAX: usize = 64;
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;

/// What a worker says of a failure; the rest is cut. It is shown to the submitter.
pub const FAULT_MESSAGE_BYTES_MAX: usize = 1_024;

/// One receipt leaf: digests of every input dominate it.
pub const RECEIPT_LEAF_BYTES_MAX: usize = 16 * 1024;
/// A name in a leaf. NVML's names of GPUs and their slices have some 50 characters.
pub const RECEIPT_NAME_BYTES_MAX: usize = 128;
/// The JWS over a batch: header, a small payload, 64 bytes of signature, all in base64url.
pub const RECEIPT_STATEMENT_BYTES_MAX: usize = 2 * 1024;

/// GPUs in one worker's telemetry: the largest machines built hold 16.
pub const GPUS_COUNT_MAX: usize = 16;
/// A GPU's name or UUID in telemetry; NVML gives at most 96 bytes.
pub const GPU_NAME_BYTES_MAX: usize = 128;

// A lease must outlast two heartbeats, else one lost message moves a running task.
const _: () = assert!(LEASE_DURATION_S_DEFAULT > 2 * HEARTBEAT_INTERVAL_S);
const _: () = assert!(LEASE_DURATION_S_MIN <= LEASE_DURATION_S_DEFAULT);
const _: () = assert!(LEASE_DURATION_S_DEFAULT <= LEASE_DURATION_S_MAX);
const _: () = assert!(ATTEMPTS_DEFAULT <= ATTEMPTS_MAX);
const _: () = assert!(PRIORITY_DEFAULT <= PRIORITY_MAX);
// An inline input always fits a lease response, else its task could never be handed out.
const _: () = assert!(INLINE_BYTES_MAX * 4 <= LEASE_PAYLOAD_BYTES_MAX);
const _: () = assert!(LEASE_PAYLOAD_BYTES_MAX < 16 * 1024 * 1024);
// A leaf holds a digest per input and some 300 bytes beside them.
const _: () = assert!(RECEIPT_LEAF_BYTES_MAX > INPUTS_COUNT_MAX * 34 + 1_024);
/// More than any machine's GPU has.
pub const GPU_MEMORY_GIB_MAX: u32 = 4_096;
