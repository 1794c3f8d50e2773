//! From what a submitter sends to what the store queues; the same for one task and for a batch.

use protocol::api::{InputSource, SubmitTask, TaskView};
use protocol::catalogue::Operation;
use protocol::limits::{
    ATTEMPTS_DEFAULT, ATTEMPTS_MAX, DEADLINE_S_MAX, GPU_MEMORY_GIB_MAX, INPUTS_COUNT_MAX,
    PRIORITY_DEFAULT, PRIORITY_MAX,
};
use protocol::problem::{Problem, ProblemCode};
use protocol::task::{InputDescriptor, TaskState};
use protocol::{TaskId, UserName};

use crate::problem::ApiProblem;
use crate::store::{
    InputBytes, NewTask, SpecificationError, SubmitError, Success, TaskSpecification,
};

/// Reads one submitted task against catalogue and limits. Digests inline inputs: CPU work.
pub(super) fn parse(
    task: SubmitTask,
    id: TaskId,
    user: &UserName,
    now_ms: u64,
) -> Result<NewTask, ApiProblem> {
    let priority = within(
        task.priority,
        PRIORITY_DEFAULT,
        0..=PRIORITY_MAX,
        "priority",
        "PRIORITY_MAX",
    )?;
    let max_attempts = within(
        task.max_attempts,
        ATTEMPTS_DEFAULT,
        1..=ATTEMPTS_MAX,
        "max_attempts",
        "ATTEMPTS_MAX",
    )?;
    let deadline_ms = task
        .deadline_s
        .map(|_| {
            within(
                task.deadline_s,
                1,
                1..=DEADLINE_S_MAX,
                "deadline_s",
                "DEADLINE_S_MAX",
            )
        })
        .transpose()?
        .map(|seconds| now_ms.saturating_add(u64::from(seconds).saturating_mul(1_000)));
    let memory_gib_min = task.requirements.gpu_memory_gib_min;
    within(
        memory_gib_min,
        1,
        1..=GPU_MEMORY_GIB_MAX,
        "requirements.gpu_memory_gib_min",
        "GPU_MEMORY_GIB_MAX",
    )?;
    if task.inputs.len() > INPUTS_COUNT_MAX {
        let detail = format!(
            "a task has up to {INPUTS_COUNT_MAX} inputs, not {}",
            task.inputs.len()
        );
        return Err(Problem::new(ProblemCode::LimitExceeded, detail)
            .with_field("inputs")
            .with_limit("INPUTS_COUNT_MAX")
            .into());
    }
    // Of an operation that does not exist any version is as good; the catalogue then says what there is.
    let version = task
        .version
        .or_else(|| Operation::newest_version(&task.operation))
        .unwrap_or(1);
    let inputs = task.inputs.into_iter().map(input).collect();
    let specification = TaskSpecification::parse(&task.operation, version, task.parameters, inputs)
        .map_err(|error| ApiProblem::from(refuse(error)))?;
    Ok(NewTask {
        id,
        user: user.clone(),
        specification,
        priority,
        max_attempts,
        submitted_ms: now_ms,
        deadline_ms,
        idempotency_key: task.idempotency_key,
        requirements: task.requirements,
    })
}

/// A task as it is the moment it is queued: the answer to its submission, which needs no look into the store.
pub(super) fn queued(task: &NewTask) -> TaskView {
    let operation = task.specification.operation();
    TaskView {
        id: task.id,
        user: task.user.clone(),
        operation: operation.name.clone(),
        version: operation.version,
        digest: task.specification.digest(),
        state: TaskState::Queued,
        requirements: task.requirements.clone(),
        priority: task.priority,
        attempts: 0,
        max_attempts: task.max_attempts,
        submitted_ms: task.submitted_ms,
        started_ms: None,
        finished_ms: None,
        deadline_ms: task.deadline_ms,
        worker: None,
        fault: None,
        output: None,
    }
}

/// The same task once it has succeeded.
pub(super) fn succeeded(queued: TaskView, how: Success) -> TaskView {
    TaskView {
        state: TaskState::Succeeded,
        attempts: how.attempts,
        started_ms: how.leased_ms,
        finished_ms: Some(how.finished_ms),
        deadline_ms: how.deadline_ms,
        worker: Some(how.worker),
        output: Some(how.output),
        ..queued
    }
}

fn within<T: Copy + PartialOrd + std::fmt::Display>(
    value: Option<T>,
    default: T,
    range: std::ops::RangeInclusive<T>,
    field: &str,
    limit: &str,
) -> Result<T, ApiProblem> {
    let value = value.unwrap_or(default);
    if range.contains(&value) {
        return Ok(value);
    }
    let (min, max) = range.into_inner();
    let detail = format!("`{field}` is from {min} to {max}, not {value}");
    Err(Problem::new(ProblemCode::LimitExceeded, detail)
        .with_field(field)
        .with_limit(limit)
        .into())
}

fn input(source: InputSource) -> InputBytes {
    match source {
        InputSource::Inline { data } => InputBytes::Inline(data.into()),
        InputSource::Blob { sha256, bytes } => InputBytes::Blob(InputDescriptor { sha256, bytes }),
    }
}

fn refuse(error: SpecificationError) -> Problem {
    match error {
        SpecificationError::Fault(fault) => fault.into(),
        SpecificationError::InlineTooLarge { index, .. } => {
            Problem::new(ProblemCode::LimitExceeded, error.to_string())
                .with_field(format!("inputs[{index}].data"))
                .with_limit("INLINE_BYTES_MAX")
        }
        SpecificationError::Body(_) => {
            Problem::new(ProblemCode::InvalidTask, crate::problem::chain(&error))
        }
    }
}

/// What the store refuses of a task that fits the catalogue.
pub(super) fn refuse_submit(error: &SubmitError) -> Problem {
    match error {
        SubmitError::IdempotencyConflict { task } => {
            let detail = format!("the key belongs to task {task}, which is another one");
            Problem::new(ProblemCode::IdempotencyConflict, detail).with_field("idempotency_key")
        }
        SubmitError::QuotaExceeded { queued_max } => {
            let detail = format!(
                "{queued_max} of your tasks are queued, which is this pool's limit; come back when some have run"
            );
            Problem::new(ProblemCode::QuotaExceeded, detail).with_limit("queued_per_user_max")
        }
        SubmitError::TooManyRequirements { requirements_max } => {
            let detail = format!(
                "your queued tasks demand {requirements_max} different things of workers already; come back when some have run"
            );
            Problem::new(ProblemCode::QuotaExceeded, detail).with_field("requirements")
        }
        SubmitError::TooManyRequirementsKept { requirements_max } => {
            let detail = format!(
                "your tasks, finished ones too, demand {requirements_max} different things of workers; come back when some of them are no longer kept"
            );
            Problem::new(ProblemCode::QuotaExceeded, detail).with_field("requirements")
        }
        SubmitError::MissingBlob { index, sha256 } => {
            let detail = format!("upload it first: PUT /v1/blobs/{sha256}");
            Problem::new(ProblemCode::MissingBlob, detail).with_field(format!("inputs[{index}]"))
        }
    }
}
