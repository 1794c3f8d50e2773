//! Submission: durable once, whatever is sent again.

use std::collections::HashMap;

use protocol::lease::OperationId;
use protocol::requirements::Requirements;
use protocol::task::TaskState;
use protocol::{IdempotencyKey, Sha256Digest, TaskId, UserName};

use super::super::database::{Connection, Insert, Many, TaskRow, Value, WriteScope, values};
use super::super::{NewTask, StoreError, SubmitError, Submitted};
use super::rank;

pub(super) static INSERT_TASK: Insert = Insert::new(
    "tasks",
    &[
        ("number", "bigint"),
        ("id", "bytea"),
        ("user_name", "text"),
        ("flow", "bigint"),
        ("priority", "bigint"),
        ("rank", "bigint"),
        ("submitted_ms", "bigint"),
        ("deadline_ms", "bigint"),
        ("max_attempts", "bigint"),
        ("payload_bytes", "bigint"),
        ("idempotency_key", "text"),
    ],
    &[
        ("state", "'queued'"),
        ("attempts", "0"),
        ("fencing_token", "0"),
    ],
);
pub(super) static INSERT_PAYLOAD: Insert = Insert::new(
    "task_payloads",
    &[
        ("task", "bigint"),
        ("digest", "bytea"),
        ("output_bytes", "bigint"),
        ("inputs", "bytea"),
        ("body", "bytea"),
        ("data", "bytea"),
    ],
    &[],
);
static INSERT_BLOB: Insert =
    Insert::unless_there("task_blobs", &[("task", "bigint"), ("sha256", "bytea")]);
const BY_KEY: Many = Many {
    each: "SELECT id, digest FROM tasks JOIN task_payloads ON task = number
           WHERE user_name = ?1 AND idempotency_key = ?2",
    all: "SELECT position, id, digest FROM unnest(?1::text[], ?2::text[]) WITH ORDINALITY AS given (of_user, key, position)
          JOIN tasks ON user_name = of_user AND idempotency_key = key JOIN task_payloads ON task = number",
};
const OWNED: Many = Many {
    each: "SELECT 1 FROM user_blobs WHERE user_name = ?1 AND sha256 = ?2 AND bytes = ?3",
    all: "SELECT position FROM unnest(?1::text[], ?2::bytea[], ?3::bigint[])
              WITH ORDINALITY AS given (of_user, digest, size, position)
          JOIN user_blobs ON user_name = of_user AND sha256 = digest AND bytes = size",
};

pub(super) const USERS_QUEUED: &str = "SELECT CAST(coalesce(sum(queued), 0) AS BIGINT) FROM flows
     WHERE user_name = ?1 AND queued > 0";

/// Queues each task, or says why not.
pub(in super::super) fn submit(
    scope: &mut WriteScope<'_>,
    tasks: &[NewTask],
    queued_max: u64,
) -> Result<Vec<Result<Submitted, SubmitError>>, StoreError> {
    let mut submission = Submission {
        connection: scope.connection,
        keys: Keys::find(scope.connection, tasks)?,
        flows: Flows::default(),
        quota: Quota::new(queued_max),
        accepted: Vec::new(),
    };
    let missing = missing_blobs(scope.connection, tasks)?;
    let mut outcomes = Vec::with_capacity(tasks.len());
    for (task, missing) in tasks.iter().zip(missing) {
        outcomes.push(submission.decide(task, missing)?);
    }
    let accepted = submission.accepted;
    insert(scope, &accepted)?;
    Ok(outcomes)
}

/// Tasks on their way into the queue.
struct Submission<'s> {
    connection: &'s Connection,
    keys: Keys<'s>,
    flows: Flows<'s>,
    quota: Quota<'s>,
    /// With their flows.
    accepted: Vec<(&'s NewTask, i64)>,
}

impl<'s> Submission<'s> {
    fn decide(
        &mut self,
        task: &'s NewTask,
        missing: Option<SubmitError>,
    ) -> Result<Result<Submitted, SubmitError>, StoreError> {
        if let Some(earlier) = self.keys.earlier(task) {
            return Ok(earlier);
        }
        if let Some(missing) = missing {
            return Ok(Err(missing));
        }
        if let Some(exceeded) = self.quota.take(self.connection, &task.user)? {
            return Ok(Err(exceeded));
        }
        let flow = match self.flows.of(self.connection, task)? {
            Ok(flow) => flow,
            Err(refused) => return Ok(Err(refused)),
        };
        self.accepted.push((task, flow));
        self.keys.keep(task);
        Ok(Ok(Submitted {
            task: task.id,
            was_known: false,
        }))
    }
}

/// The same key with the same body is the same task.
struct Keys<'s>(HashMap<(&'s UserName, &'s IdempotencyKey), (TaskId, Sha256Digest)>);

impl<'s> Keys<'s> {
    fn find(connection: &Connection, tasks: &'s [NewTask]) -> Result<Self, StoreError> {
        let keys: Vec<_> = tasks.iter().filter_map(name).collect();
        let arguments: Vec<_> = keys
            .iter()
            .map(|(user, key)| values![*user, key.as_str()])
            .collect();
        let known =
            connection.first_many(&BY_KEY, &arguments, |row| Ok((row.get(0)?, row.get(1)?)))?;
        let known = keys.into_iter().zip(known);
        Ok(Self(
            known
                .filter_map(|(name, known)| Some((name, known?)))
                .collect(),
        ))
    }

    fn earlier(&self, task: &'s NewTask) -> Option<Result<Submitted, SubmitError>> {
        let (id, digest) = *self.0.get(&name(task)?)?;
        Some(if digest == task.specification.digest {
            Ok(Submitted {
                task: id,
                was_known: true,
            })
        } else {
            Err(SubmitError::IdempotencyConflict { task: id })
        })
    }

    /// The key may come again in the same batch.
    fn keep(&mut self, task: &'s NewTask) {
        if let Some(name) = name(task) {
            self.0.insert(name, (task.id, task.specification.digest));
        }
    }
}

fn name(task: &NewTask) -> Option<(&UserName, &IdempotencyKey)> {
    Some((&task.user, task.idempotency_key.as_ref()?))
}

/// For each task the first input that its user does not own. A user's blobs are those that the user has uploaded: knowing a
/// digest gives access to nothing.
fn missing_blobs<'s>(
    connection: &Connection,
    tasks: &'s [NewTask],
) -> Result<Vec<Option<SubmitError>>, StoreError> {
    let blobs_of = |task: &'s NewTask| {
        let inputs = task.specification.inputs.iter();
        inputs.filter(|input| !input.is_inline)
    };
    let arguments: Vec<_> = tasks
        .iter()
        .flat_map(|task| blobs_of(task).map(move |input| (&task.user, &input.descriptor)))
        .map(|(user, blob)| values![user, &blob.sha256, blob.bytes])
        .collect();
    let mut missing = vec![None; tasks.len()];
    if arguments.is_empty() {
        return Ok(missing);
    }
    let mut owned = connection
        .first_many(&OWNED, &arguments, |_| Ok(()))?
        .into_iter();
    for (task, missing) in tasks.iter().zip(&mut missing) {
        for (index, input) in task.specification.inputs.iter().enumerate() {
            let is_owned = input.is_inline || owned.next().flatten().is_some();
            if !is_owned && missing.is_none() {
                *missing = Some(SubmitError::MissingBlob {
                    index,
                    sha256: input.descriptor.sha256,
                });
            }
        }
    }
    Ok(missing)
}

/// How many more tasks may wait, for each of these submissions' users.
struct Quota<'s> {
    queued_max: u64,
    left: HashMap<&'s UserName, u64>,
}

impl<'s> Quota<'s> {
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
        user: &'s UserName,
    ) -> Result<Option<SubmitError>, StoreError> {
        if !self.left.contains_key(user) {
            let queued: u64 = connection.get(USERS_QUEUED, &values![user])?;
            let left = self.queued_max.saturating_sub(queued);
            self.left.insert(user, left);
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

/// Demands of one user's waiting tasks that differ: each costs every lease of the operation a look.
const REQUIREMENTS_MAX: u64 = 64;
/// Flows of one user, those included whose tasks have all finished: whoever counts the pool's tasks reads every flow.
const FLOWS_MAX: u64 = 1_024;

/// Keys of the flows that these submissions join.
#[derive(Default)]
struct Flows<'s> {
    known: HashMap<(&'s OperationId, &'s Requirements, &'s UserName), i64>,
    /// Those that begin to wait with these submissions, by user.
    begun: HashMap<&'s UserName, u64>,
}

impl<'s> Flows<'s> {
    fn of(
        &mut self,
        connection: &Connection,
        task: &'s NewTask,
    ) -> Result<Result<i64, SubmitError>, StoreError> {
        let key = (
            &task.specification.operation,
            &task.requirements,
            &task.user,
        );
        if let Some(flow) = self.known.get(&key) {
            return Ok(Ok(*flow));
        }
        let (operation, requirements, user) = key;
        let failed = |_| StoreError::Unreadable { what: "a demand" };
        let demands = serde_json::to_string(requirements).map_err(failed)?;
        let columns = values![&operation.name, operation.version, &demands, user];
        let known = connection.first(
            "SELECT number, queued FROM flows
             WHERE operation = ?1 AND version = ?2 AND requirements = ?3 AND user_name = ?4",
            &columns,
            |row| Ok((row.get(0)?, row.get::<u64>(1)?)),
        )?;
        let is_waiting = known.is_some_and(|(_, queued)| queued > 0);
        let begun = self.begun.get(user).copied().unwrap_or_default();
        if !is_waiting
            && !requirements.is_none()
            && waiting(connection, user)?.saturating_add(begun) >= REQUIREMENTS_MAX
        {
            return Ok(Err(SubmitError::TooManyRequirements {
                requirements_max: REQUIREMENTS_MAX,
            }));
        }
        if known.is_none() && !requirements.is_none() && flows(connection, user)? >= FLOWS_MAX {
            return Ok(Err(SubmitError::TooManyRequirementsKept {
                requirements_max: FLOWS_MAX,
            }));
        }
        let flow = match known {
            Some((flow, _)) => flow,
            None => connection.insert(
                "INSERT INTO flows (operation, version, requirements, user_name, queued, turn)
                 VALUES (?1, ?2, ?3, ?4, 0, 0)",
                &columns,
            )?,
        };
        self.known.insert(key, flow);
        if !is_waiting {
            let begun = self.begun.entry(user).or_default();
            *begun = begun.saturating_add(1);
        }
        Ok(Ok(flow))
    }
}

/// Flows of a user.
fn flows(connection: &Connection, user: &UserName) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM flows WHERE user_name = ?1";
    connection.get(sql, &values![user])
}

/// Flows of a user that wait.
fn waiting(connection: &Connection, user: &UserName) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM flows WHERE user_name = ?1 AND queued > 0";
    connection.get(sql, &values![user])
}

fn insert(scope: &mut WriteScope<'_>, tasks: &[(&NewTask, i64)]) -> Result<(), StoreError> {
    if tasks.is_empty() {
        return Ok(());
    }
    // One transaction writes at a time, so the next number is free.
    let last: i64 = scope
        .connection
        .get("SELECT coalesce(max(number), 0) FROM tasks", &[])?;
    let numbered = || (last.saturating_add(1)..).zip(tasks);
    let rows: Vec<_> = numbered()
        .map(|(number, (task, flow))| row(number, task, *flow))
        .collect();
    scope.connection.insert_many(&INSERT_TASK, &rows)?;
    let payloads: Vec<_> = numbered()
        .map(|(number, (task, _))| {
            let specification = &task.specification;
            values![
                number,
                &specification.digest,
                specification.output_bytes,
                &specification.records,
                &specification.canonical,
                &*specification.data
            ]
        })
        .collect();
    scope.connection.insert_many(&INSERT_PAYLOAD, &payloads)?;
    let blobs: Vec<_> = numbered()
        .flat_map(|(number, (task, _))| {
            let inputs = task.specification.inputs.iter();
            let blobs = inputs.filter(|input| !input.is_inline);
            blobs.map(move |input| values![number, &input.descriptor.sha256])
        })
        .collect();
    scope.connection.insert_many(&INSERT_BLOB, &blobs)?;
    for (number, (task, flow)) in numbered() {
        let row = TaskRow {
            number,
            id: task.id,
            flow: *flow,
        };
        scope.moved(row, None, TaskState::Queued);
    }
    Ok(())
}

fn row(number: i64, task: &NewTask, flow: i64) -> [Value<'_>; 11] {
    values![
        number,
        task.id,
        &task.user,
        flow,
        task.priority,
        rank(task.submitted_ms, task.priority),
        task.submitted_ms,
        task.deadline_ms,
        task.max_attempts,
        task.specification.payload_bytes(),
        task.idempotency_key.as_ref().map(IdempotencyKey::as_str)
    ]
}
