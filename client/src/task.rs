//! A task made ready before any network: inputs digested, parameters typed and read against the catalogue, and the task
//! digest computed from the canonical bytes. Submitting uploads what is too large to travel inside, and compares the
//! gateway's digest with ours.

mod input;
mod parameters;
#[cfg(test)]
mod tests;

use protocol::api::{InputSource, SubmitTask, TaskView};
use protocol::catalogue::{Operation, TaskFault};
use protocol::limits::{API_BODY_BYTES_MAX, INLINE_BYTES_MAX};
use protocol::requirements::Requirements;
use protocol::task::{TaskBody, TaskBodyError, task_digest};
use protocol::{IdempotencyKey, Sha256Digest, TaskId};
use serde_json::{Map, Value};

pub(crate) use input::digest_file;
pub use input::{Input, InputError};
pub use parameters::{ParameterError, parameters};

use crate::gateway::{Gateway, GatewayError, Upload};

/// Inline bytes of one submission: in base64 they take a third more, and the rest of the body needs room too.
const INLINE_TOTAL_BYTES_MAX: u64 = 8 * 1024 * 1024;
const _: () = assert!(INLINE_TOTAL_BYTES_MAX * 4 / 3 < 16 * 1024 * 1024);
const _: () = assert!(API_BODY_BYTES_MAX >= 16 * 1024 * 1024);

/// How the task is scheduled; no part of its digest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schedule {
    pub priority: Option<u8>,
    pub deadline_s: Option<u32>,
    pub max_attempts: Option<u32>,
    pub requirements: Requirements,
}

/// A task that fits the catalogue, with its digest.
#[derive(Debug)]
pub struct PreparedTask {
    body: TaskBody,
    digest: Sha256Digest,
    output_bytes: u64,
    inputs: Vec<Input>,
    schedule: Schedule,
    idempotency_key: IdempotencyKey,
}

/// Why a task cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    #[error("the task does not fit the catalogue: {0}")]
    Fault(TaskFault),
    #[error("the input {name} is no text in UTF-8: byte {offset} is none of it")]
    NotText { name: String, offset: usize },
    #[error("the task has no canonical form")]
    Canonical(#[source] TaskBodyError),
    #[error("the operating system gave no random bytes for an idempotency key")]
    Random,
}

/// Why a prepared task was not submitted.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    #[error("the task was not submitted")]
    Gateway(#[source] GatewayError),
    /// The gateway's word differs from what was submitted.
    #[error("the gateway took another task: {task} has the digest {theirs}, submitted was {ours}")]
    Swapped {
        task: TaskId,
        ours: Sha256Digest,
        theirs: Sha256Digest,
    },
}

/// Is told how an upload goes.
pub trait Observer {
    /// A new input of so many bytes starts; the closure it gives is told how many of them went out.
    fn upload(&mut self, input: &Input) -> Box<dyn Fn(u64) + Send + Sync>;
}

/// Watches nothing.
#[derive(Debug, Clone, Copy)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn upload(&mut self, _: &Input) -> Box<dyn Fn(u64) + Send + Sync> {
        Box::new(|_| ())
    }
}

impl PreparedTask {
    /// Reads the task against the catalogue of this build and computes its digest. Without a version, the newest.
    pub fn new(
        operation: &str,
        version: Option<u32>,
        parameters: Map<String, Value>,
        inputs: Vec<Input>,
    ) -> Result<Self, PrepareError> {
        // An operation that has no newest version is unknown, and `call` says so.
        let newest = || Operation::newest_version(operation).unwrap_or(1);
        let body = TaskBody {
            operation: operation.to_owned(),
            version: version.unwrap_or_else(newest),
            parameters,
            inputs: inputs.iter().map(Input::content).collect(),
        };
        let call = body.call().map_err(PrepareError::Fault)?;
        if call.operation().takes_text() {
            inputs.iter().try_for_each(expect_text)?;
        }
        let canonical = body.canonical().map_err(PrepareError::Canonical)?;
        Ok(Self {
            digest: task_digest(&canonical),
            output_bytes: call.output_bytes(),
            body,
            inputs,
            schedule: Schedule::default(),
            idempotency_key: random_key()?,
        })
    }

    #[must_use]
    pub fn with_schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// Replaces the random key: the same key with the same task is the same task.
    #[must_use]
    pub fn with_idempotency_key(mut self, key: IdempotencyKey) -> Self {
        self.idempotency_key = key;
        self
    }

    #[must_use]
    pub fn body(&self) -> &TaskBody {
        &self.body
    }

    /// What the gateway's answer and the receipt must carry.
    #[must_use]
    pub fn digest(&self) -> Sha256Digest {
        self.digest
    }

    /// The size that the catalogue gives the output.
    #[must_use]
    pub fn output_bytes(&self) -> u64 {
        self.output_bytes
    }

    #[must_use]
    pub fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// Uploads the large inputs that the gateway lacks, then queues the task.
    pub async fn submit(
        &self,
        gateway: &Gateway,
        observer: &mut impl Observer,
    ) -> Result<TaskView, SubmitError> {
        let message = self.upload(gateway, observer).await?;
        self.ours(gateway.submit(&message).await)
    }

    /// The same, and answers when the task has finished, or as it stands after the longest wait there is.
    pub async fn submit_and_wait(
        &self,
        gateway: &Gateway,
        observer: &mut impl Observer,
    ) -> Result<TaskView, SubmitError> {
        let message = self.upload(gateway, observer).await?;
        self.ours(gateway.submit_and_wait(&message).await)
    }

    /// What is left to send once the large inputs are there.
    async fn upload(
        &self,
        gateway: &Gateway,
        observer: &mut impl Observer,
    ) -> Result<SubmitTask, SubmitError> {
        let inline = self.inline();
        for (input, _) in self
            .inputs
            .iter()
            .zip(&inline)
            .filter(|(_, inline)| !**inline)
        {
            let upload = Upload {
                source: input.source(),
                content: input.content(),
            };
            let sent = std::sync::Arc::from(observer.upload(input));
            let sent: std::sync::Arc<dyn Fn(u64) + Send + Sync> = sent;
            gateway
                .upload(upload, move |bytes| sent(bytes))
                .await
                .map_err(SubmitError::Gateway)?;
        }
        Ok(self.message(&inline))
    }

    fn ours(&self, queued: Result<TaskView, GatewayError>) -> Result<TaskView, SubmitError> {
        let task = queued.map_err(SubmitError::Gateway)?;
        if task.digest == self.digest {
            Ok(task)
        } else {
            Err(SubmitError::Swapped {
                task: task.id,
                ours: self.digest,
                theirs: task.digest,
            })
        }
    }

    /// Which inputs travel inside the message: the small ones, as long as they fit together. A file that shrank since its
    /// size was looked at is small and yet not in memory.
    fn inline(&self) -> Vec<bool> {
        let mut total: u64 = 0;
        let fits = |input: &Input| {
            let bytes = input.content().bytes;
            let with_it = total.saturating_add(bytes);
            let is_small = input.memory().is_some() && bytes <= INLINE_BYTES_MAX;
            let fits = is_small && with_it <= INLINE_TOTAL_BYTES_MAX;
            if fits {
                total = with_it;
            }
            fits
        };
        self.inputs.iter().map(fits).collect()
    }

    fn message(&self, inline: &[bool]) -> SubmitTask {
        let source = |(input, inline): (&Input, &bool)| match input.memory() {
            Some(bytes) if *inline => InputSource::Inline {
                data: bytes.to_vec(),
            },
            _ => InputSource::Blob {
                sha256: input.content().sha256,
                bytes: input.content().bytes,
            },
        };
        SubmitTask {
            operation: self.body.operation.clone(),
            version: Some(self.body.version),
            parameters: self.body.parameters.clone(),
            inputs: self.inputs.iter().zip(inline).map(source).collect(),
            priority: self.schedule.priority,
            deadline_s: self.schedule.deadline_s,
            max_attempts: self.schedule.max_attempts,
            idempotency_key: Some(self.idempotency_key.clone()),
            requirements: self.schedule.requirements.clone(),
        }
    }
}

/// What a worker would only find after the task was queued. A text is small, and so at hand.
fn expect_text(input: &Input) -> Result<(), PrepareError> {
    let bytes = input.memory().map_or(&[][..], |bytes| bytes);
    std::str::from_utf8(bytes)
        .map(|_| ())
        .map_err(|error| PrepareError::NotText {
            name: input.name().to_owned(),
            offset: error.valid_up_to(),
        })
}

/// 128 random bits: two submissions never meet by accident.
fn random_key() -> Result<IdempotencyKey, PrepareError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| PrepareError::Random)?;
    let key = format!("cocoon-{}", hex::encode(random));
    key.parse().map_err(|_| PrepareError::Random)
}
