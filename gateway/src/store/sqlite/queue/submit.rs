//! Submission: durable once, whatever is sent again.

use std::collections::HashMap;

use protocol::lease::OperationId;
use protocol::task::TaskState;
use protocol::{IdempotencyKey, Sha256Digest, TaskId, UserName};
use rusqlite::{Connection, OptionalExtension};

use super::super::super::submission::StoredInput;
use super::super::super::{NewTask, StoreError, SubmitError, Submitted};
use super::super::WriteScope;
use super::super::values::{
    TaskRow, digest_at, integer, integer_from_usize, optional_integer, task_at, unsigned,
};
use super::rank;

/// Queues each task, or says why not.
pub(in super::super::super) fn submit(
    scope: &mut WriteScope<'_>,
    tasks: &[NewTask],
    queued_max: u64,
) -> Result<Vec<Result<Submitted, SubmitError>>, StoreError> {
    let mut flows = Flows::default();
    let mut quota = Quota::new(queued_max);
    tasks
        .iter()
        .map(|task| submit_one(scope, &mut flows, &mut quota, task))
        .collect()
}

fn submit_one(
    scope: &mut WriteScope<'_>,
    flows: &mut Flows,
    quota: &mut Quota,
    task: &NewTask,
) -> Result<Result<Submitted, SubmitError>, StoreError> {
    if let Some(key) = &task.idempotency_key
        && let Some(earlier) = find_by_key(scope, task, key)?
    {
        return Ok(earlier);
    }
    if let Some(missing) = find_missing_blob(scope, task)? {
        return Ok(Err(missing));
    }
    if let Some(exceeded) = quota.take(scope.connection, &task.user)? {
        return Ok(Err(exceeded));
    }
    let flow = flows.of(scope.connection, task)?;
    let number = insert(scope, task, flow)?;
    let row = TaskRow {
        number,
        id: task.id,
        flow,
    };
    scope.moved(row, None, TaskState::Queued);
    Ok(Ok(Submitted {
        task: task.id,
        was_known: false,
    }))
}

/// How many more tasks may wait, for each of these submissions' users.
struct Quota {
    queued_max: u64,
    left: HashMap<UserName, u64>,
}

impl Quota {
    fn new(queued_max: u64) -> Self {
        Self {
            queued_max,
            left: HashMap::new(),
        }
    }

    /// Takes a place, or says that there is none.
    fn take(
        &mut self,
        connection: &Connection,
        user: &UserName,
    ) -> Result<Option<SubmitError>, StoreError> {
        if !self.left.contains_key(user) {
            let queued = connection
                .prepare_cached("SELECT coalesce(sum(queued), 0) FROM flows WHERE user = ?1")?
                .query_row([user.as_str()], |row| row.get(0))
                .map(unsigned)?;
            let left = self.queued_max.saturating_sub(queued);
            self.left.insert(user.clone(), left);
        }
        Ok(match self.left.get_mut(user) {
            Some(left) if *left > 0 => {
                *left = left.saturating_sub(1);
                None
            }
            _ => Some(SubmitError::QuotaExceeded {
                queued_max: self.queued_max,
            }),
        })
    }
}

/// Keys of the flows that these submissions join.
#[derive(Default)]
struct Flows(HashMap<(OperationId, UserName), i64>);

impl Flows {
    fn of(&mut self, connection: &Connection, task: &NewTask) -> Result<i64, StoreError> {
        let key = (task.specification.operation.clone(), task.user.clone());
        if let Some(flow) = self.0.get(&key) {
            return Ok(*flow);
        }
        let (operation, user) = &key;
        let columns = (operation.name.as_str(), operation.version, user.as_str());
        let known = connection
            .prepare_cached(
                "SELECT number FROM flows WHERE operation = ?1 AND version = ?2 AND user = ?3",
            )?
            .query_row(columns, |row| row.get(0))
            .optional()?;
        let flow = match known {
            Some(flow) => flow,
            None => connection
                .prepare_cached(
                    "INSERT INTO flows (operation, version, user, queued, turn) VALUES (?1, ?2, ?3, 0, 0)",
                )?
                .insert(columns)?,
        };
        self.0.insert(key, flow);
        Ok(flow)
    }
}

/// The same key with the same body is the same task.
fn find_by_key(
    scope: &WriteScope<'_>,
    task: &NewTask,
    key: &IdempotencyKey,
) -> Result<Option<Result<Submitted, SubmitError>>, StoreError> {
    let earlier = scope
        .connection
        .prepare_cached(
            "SELECT id, digest FROM tasks JOIN task_bodies ON task_bodies.task = tasks.number
             WHERE user = ?1 AND idempotency_key = ?2",
        )?
        .query_row((task.user.as_str(), key.as_str()), |row| {
            Ok((task_at(row, "id")?, digest_at(row, "digest")?))
        })
        .optional()?;
    let answer = |(id, digest): (TaskId, Sha256Digest)| {
        if digest == task.specification.digest {
            Ok(Submitted {
                task: id,
                was_known: true,
            })
        } else {
            Err(SubmitError::IdempotencyConflict { task: id })
        }
    };
    Ok(earlier.map(answer))
}

/// A user's blobs are those that the user has uploaded: knowing a digest gives access to nothing.
fn find_missing_blob(
    scope: &WriteScope<'_>,
    task: &NewTask,
) -> Result<Option<SubmitError>, StoreError> {
    let mut owned = scope.connection.prepare_cached(
        "SELECT 1 FROM user_blobs WHERE user = ?1 AND sha256 = ?2 AND bytes = ?3",
    )?;
    for (index, StoredInput { descriptor, data }) in task.specification.inputs.iter().enumerate() {
        let blob = (
            task.user.as_str(),
            descriptor.sha256.as_bytes(),
            integer(descriptor.bytes),
        );
        if data.is_none() && !owned.exists(blob)? {
            return Ok(Some(SubmitError::MissingBlob {
                index,
                sha256: descriptor.sha256,
            }));
        }
    }
    Ok(None)
}

fn insert(scope: &WriteScope<'_>, task: &NewTask, flow: i64) -> Result<i64, StoreError> {
    let specification = &task.specification;
    let number = insert_row(scope, task, flow)?;
    scope
        .connection
        .prepare_cached(
            "INSERT INTO task_bodies (task, digest, output_bytes, body) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute((
            number,
            specification.digest.as_bytes(),
            integer(specification.output_bytes),
            &specification.canonical,
        ))?;
    let mut insert_input = scope.connection.prepare_cached(
        "INSERT INTO task_inputs (task, position, sha256, bytes, data) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for (position, StoredInput { descriptor, data }) in specification.inputs.iter().enumerate() {
        insert_input.execute((
            number,
            integer_from_usize(position),
            descriptor.sha256.as_bytes(),
            integer(descriptor.bytes),
            data.as_deref(),
        ))?;
    }
    Ok(number)
}

fn insert_row(scope: &WriteScope<'_>, task: &NewTask, flow: i64) -> Result<i64, StoreError> {
    let specification = &task.specification;
    let number = scope
        .connection
        .prepare_cached(
            "INSERT INTO tasks (id, user, state, operation, version, priority, rank, submitted_ms, deadline_ms,
                 attempts, max_attempts, fencing_token, payload_bytes, flow, idempotency_key)
             VALUES (?1, ?2, 'queued', ?3, ?4, ?5, ?6, ?7, ?8, 0, ?9, 0, ?10, ?11, ?12)",
        )?
        .insert((
            task.id.to_bytes(),
            task.user.as_str(),
            specification.operation.name.as_str(),
            specification.operation.version,
            task.priority,
            rank(task.submitted_ms, task.priority),
            integer(task.submitted_ms),
            optional_integer(task.deadline_ms),
            task.max_attempts,
            integer(specification.payload_bytes()),
            flow,
            task.idempotency_key.as_ref().map(IdempotencyKey::as_str),
        ))?;
    Ok(number)
}
