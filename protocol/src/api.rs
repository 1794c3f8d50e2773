//! The REST API's types (JSON), between the gateway and clients, admins and dashboards. Times are Unix milliseconds.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::digest::Sha256Digest;
use crate::ids::{IdempotencyKey, SessionId, TaskId, UserName, WorkerId};
use crate::limits::{ATTEMPTS_MAX, DEADLINE_S_MAX, INPUTS_COUNT_MAX, PRIORITY_MAX};
use crate::problem::Problem;
use crate::requirements::Requirements;
use crate::task::TaskState;
use crate::telemetry::Telemetry;

/// `POST /v1/tasks`; one line of `POST /v1/tasks:batch`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"operation": "sha256_batch", "inputs": [{"data": "aGVsbG8="}]}))]
pub struct SubmitTask {
    /// A name of the catalogue, `GET /v1/operations`.
    pub operation: String,
    /// Absent: the newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 4_294_967_295_u32)]
    pub version: Option<u32>,
    #[serde(default)]
    pub parameters: Map<String, Value>,
    #[serde(default)]
    #[schema(max_items = 256, value_type = Vec<description::InputSource>)]
    pub inputs: Vec<InputSource>,
    /// Among your tasks of the operation: 0 (last) to 9 (first).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 9)]
    pub priority: Option<u8>,
    /// Expire the task when no worker has taken it after so many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 604_800)]
    pub deadline_s: Option<u32>,
    /// Deliveries before the task is set aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 20)]
    pub max_attempts: Option<u32>,
    /// The same key with the same task is the same task; with another it is a conflict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency_key: Option<IdempotencyKey>,
    /// Of the worker that runs it; absent: any.
    #[serde(default, skip_serializing_if = "Requirements::is_none")]
    pub requirements: Requirements,
}

// As the annotations above have them.
const _: () = assert!(PRIORITY_MAX == 9 && DEADLINE_S_MAX == 604_800);
const _: () = assert!(ATTEMPTS_MAX == 20 && INPUTS_COUNT_MAX == 256);

/// The bytes of one input, or where they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "an input is {\"data\": base64} or {\"sha256\": digest, \"bytes\": number}, and nothing else"
)]
pub enum InputSource {
    /// Up to 64 KiB, here.
    Inline {
        /// Standard base64.
        #[serde(with = "base64_standard")]
        data: Vec<u8>,
    },
    /// Uploaded before with `PUT /v1/blobs/{sha256}`.
    Blob { sha256: Sha256Digest, bytes: u64 },
}

/// The schema of [`InputSource`], whose derived one would take other fields too.
mod description {
    use utoipa::ToSchema;

    use crate::digest::Sha256Digest;

    /// The bytes of one input, or where they are.
    #[derive(ToSchema)]
    #[serde(untagged)]
    #[expect(dead_code, reason = "its schema is what it is for")]
    pub(super) enum InputSource {
        Inline(InlineInput),
        Blob(BlobInput),
    }

    /// Up to 64 KiB, here.
    #[derive(ToSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "its schema is what it is for")]
    pub(super) struct InlineInput {
        #[schema(schema_with = crate::schema::base64)]
        data: String,
    }

    /// Uploaded before with `PUT /v1/blobs/{sha256}`.
    #[derive(ToSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "its schema is what it is for")]
    pub(super) struct BlobInput {
        sha256: Sha256Digest,
        bytes: u64,
    }
}

/// One task as its submitter and the operator see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskView {
    pub id: TaskId,
    pub user: UserName,
    pub operation: String,
    pub version: u32,
    /// The task digest that the receipt must carry.
    pub digest: Sha256Digest,
    pub state: TaskState,
    /// What it demands of its worker; absent: nothing.
    #[serde(default, skip_serializing_if = "Requirements::is_none")]
    pub requirements: Requirements,
    pub priority: u8,
    /// Deliveries so far.
    pub attempts: u32,
    pub max_attempts: u32,
    pub submitted_ms: u64,
    /// When the latest attempt was leased.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Who has it, or had it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerId>,
    /// Why the latest attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output: Option<OutputView>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OutputView {
    pub sha256: Sha256Digest,
    pub bytes: u64,
}

/// One line of the answer to `POST /v1/tasks:batch`, in order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(clippy::large_enum_variant, reason = "nearly all of a batch are tasks")]
pub enum BatchOutcome {
    Task(TaskView),
    Problem(Problem),
}

/// `GET /v1/tasks`, newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TaskList {
    pub tasks: Vec<TaskView>,
    /// Pass as `cursor` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// `GET /v1/tasks/{id}/explanation` and `GET /v1/workers/{id}/explanation`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// Most important first; at least one.
    pub reasons: Vec<Reason>,
}

/// One sentence of an explanation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    pub code: ReasonCode,
    /// For people; it may change.
    pub text: String,
}

/// Which of the things there are to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ReasonCode {
    // Of a task.
    Finished,
    Running,
    WorkerLost,
    NoWorkerConnected,
    NotOffered,
    RequirementsUnmet,
    WorkersBusy,
    WorkersUnable,
    KeptFromWorker,
    AttemptFailed,
    TasksAhead,
    TurnsTaken,
    Deadline,
    // Of workers.
    Offline,
    Refused,
    Stale,
    Draining,
    Quarantined,
    NotAsking,
    NothingQueued,
    /// One that this program does not know yet.
    #[serde(other)]
    Other,
}

/// `GET /v1/operations`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OperationView {
    pub name: String,
    pub version: u32,
    pub summary: String,
    pub parameters: Vec<ParameterView>,
    /// One sentence.
    pub inputs: String,
    pub output: String,
    /// Connected workers that compute it, as they said when they last asked for tasks; absent where nobody was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ParameterView {
    pub name: String,
    /// Which values it may have, in words.
    pub values: String,
    pub summary: String,
}

/// `POST /v1/workers`: enrol a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateWorker {
    pub id: WorkerId,
}

/// The answer: the only time the secret is shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreatedWorker {
    pub id: WorkerId,
    /// 32 random bytes, hexadecimal: the contents of the worker's enrolment secret file.
    pub enrolment_secret: String,
}

impl std::fmt::Debug for CreatedWorker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("CreatedWorker")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// One enrolled worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerView {
    pub id: WorkerId,
    pub created_ms: u64,
    pub state: WorkerState,
    pub draining: bool,
    pub tasks_running: u32,
    pub tasks_succeeded: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionView>,
    /// Why its latest attempt to attest was refused: a stable code with its title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<RefusalView>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WorkerState {
    /// Enrolled, no session.
    Offline,
    /// Admitted and in time with its attestation.
    Live,
    /// Overdue to attest again, or not yet appraised under the policy in force: gets no work.
    Stale,
}

/// One admitted, attested connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionView {
    pub id: SessionId,
    pub peer: String,
    pub admitted_ms: u64,
    /// When its evidence came.
    pub attested_ms: u64,
    /// Id of the attestation: the report data, 128 hexadecimal digits. Another one only by another quote.
    pub attestation: String,
    /// When that evidence was appraised, the last time: later than `attested_ms` where policy or collateral were replaced.
    pub appraised_ms: u64,
    /// The appraisal policy that it was accepted under.
    pub appraisal_policy_sha256: Sha256Digest,
    /// How often it was appraised again since the session began, and stood.
    pub reappraisals: u64,
    pub reattest_by_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_ms: Option<u64>,
    pub tcb_status: String,
    /// When the appraisal policy's grace for an outdated TCB ends; absent where it is not needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcb_grace_ends_ms: Option<u64>,
    /// UUIDs of the GPUs and switches whose NVIDIA evidence was appraised.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gpus_attested: Vec<String>,
    pub advisory_ids: Vec<String>,
    /// Whose root signed the evidence; anything but Intel's is a simulation.
    pub trust_anchor: String,
    pub executor: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<Telemetry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RefusalView {
    pub code: String,
    pub title: String,
    pub at_ms: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WorkerList {
    pub workers: Vec<WorkerView>,
}

/// `POST /v1/appraisal-policy:reload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppraisalPolicyView {
    /// Of the text of the policy in force.
    pub sha256: Sha256Digest,
}

/// `GET /v1/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PoolStatus {
    pub version: String,
    pub started_ms: u64,
    pub now_ms: u64,
    pub trust_anchor: String,
    /// Whether the root is not Intel's: the pool proves nothing.
    pub simulated: bool,
    pub appraisal_policy_sha256: String,
    /// When the earliest collateral must have been renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collateral_next_update_ms: Option<u64>,
    pub tasks: TaskCounts,
    pub workers: WorkerCounts,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TaskCounts {
    pub queued: u64,
    pub running: u64,
    pub succeeded: u64,
    pub dead_letter: u64,
    pub cancelled: u64,
    pub expired: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct WorkerCounts {
    pub enrolled: u64,
    pub live: u64,
    pub stale: u64,
    pub draining: u64,
}

/// Bytes in standard base64 with padding (RFC 4648, section 4), which every language's library writes by default.
mod base64_standard {
    use base64_simd::STANDARD;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode_to_string(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        crate::text::read(deserializer, |text| {
            let bytes = STANDARD.decode_to_vec(text);
            bytes.map_err(|_| "expected standard base64")
        })
    }
}
