//! Leasing and renewing.

use std::ops::Range;

use bytes::Bytes;
use protocol::control::RenewedLease;
use protocol::lease::{Lease, LeaseInput, LeaseRef};
use protocol::task::TaskState;
use protocol::{FencingToken, WorkerId};
use serde_bytes::ByteBuf;

use super::super::database::{Change, Connection, Many, Row, WriteScope, values};
use super::super::{
    LeaseError, LeaseInputError, LeaseQuery, Payload, RenewQuery, StoreError, workers,
};
use super::inputs::{self, InputRecord};
use super::pick::{Queued, pick};

/// What [`Queued::attempt`] and [`Queued::fencing_token`] say.
pub(super) static GRANT: Change = Change::new(
    "UPDATE tasks SET state = 'running', worker = ?1, session = ?2, leased_ms = ?3, lease_expires_ms = ?4,
         attempts = attempts + 1, fencing_token = fencing_token + 1
     WHERE number",
    4,
);
pub(super) const PAYLOAD: Many = Many {
    each: "SELECT inputs, body, data FROM task_payloads WHERE task = ?1",
    all: "SELECT position, inputs, body, data FROM unnest(?1::bigint[]) WITH ORDINALITY AS given (of_task, position)
          JOIN task_payloads ON task = of_task",
};
const RENEW: Many = Many {
    each: "UPDATE tasks SET lease_expires_ms = ?4
           WHERE id = ?1 AND fencing_token = ?2 AND worker = ?3 AND state = 'running' RETURNING number",
    all: "UPDATE tasks SET lease_expires_ms = until_ms
          FROM unnest(?1::bytea[], ?2::bigint[], ?3::text[], ?4::bigint[]) WITH ORDINALITY
              AS given (task, token, of_worker, until_ms, position)
          WHERE id = task AND fencing_token = token AND worker = of_worker AND state = 'running' RETURNING position",
};

/// Leases the first tasks of the queue that the worker can run.
pub(in super::super) fn lease(
    scope: &mut WriteScope<'_>,
    query: &LeaseQuery,
) -> Result<Result<Vec<Lease>, LeaseError>, StoreError> {
    match workers::is_draining(scope.connection, &query.worker)? {
        None => return Ok(Err(LeaseError::UnknownWorker)),
        Some(true) => return Ok(Err(LeaseError::Draining)),
        Some(false) => {}
    }
    let picked = pick(scope, query)?;
    grant(scope, query, &picked)?;
    let numbers: Vec<_> = picked
        .iter()
        .map(|queued| values![queued.row.number])
        .collect();
    let payloads = scope.connection.first_many(&PAYLOAD, &numbers, payload)?;
    let mut bytes_left = query.payload_bytes_max;
    let leases = picked.iter().zip(payloads).map(|(queued, payload)| {
        let payload = payload.ok_or(StoreError::Unreadable {
            what: "a task without a body",
        })?;
        Ok(leased(query, queued, payload, &mut bytes_left))
    });
    leases.collect::<Result<_, _>>().map(Ok)
}

fn grant(
    scope: &mut WriteScope<'_>,
    query: &LeaseQuery,
    picked: &[Queued],
) -> Result<(), StoreError> {
    let expires_ms = query.now_ms.saturating_add(query.lease_duration_ms);
    let granted = values![&query.worker, query.session, query.now_ms, expires_ms];
    let numbers: Vec<_> = picked.iter().map(|queued| queued.row.number).collect();
    scope.connection.change_many(&GRANT, &granted, &numbers)?;
    for queued in picked {
        scope.moved(queued.row, Some(TaskState::Queued), TaskState::Running);
    }
    Ok(())
}

impl Queued {
    /// The number of the delivery that begins.
    fn attempt(&self) -> u32 {
        self.attempts.saturating_add(1)
    }

    /// Of the lease that begins.
    fn fencing_token(&self) -> FencingToken {
        FencingToken(self.last_token.0.saturating_add(1))
    }
}

/// What a task's workers get.
struct TaskPayload {
    inputs: Vec<InputRecord>,
    body: Vec<u8>,
    data: Vec<u8>,
}

fn payload(row: &Row<'_>) -> Result<TaskPayload, StoreError> {
    let inputs = row.bytes(0, inputs::read)?;
    Ok(TaskPayload {
        inputs: inputs.unwrap_or_default(),
        body: row.get(1)?,
        data: row.get(2)?,
    })
}

/// Inline inputs travel with the lease while there is room.
fn leased(
    query: &LeaseQuery,
    queued: &Queued,
    payload: TaskPayload,
    bytes_left: &mut u64,
) -> Lease {
    *bytes_left = bytes_left.saturating_sub(length(&payload.body));
    let mut inputs = Vec::with_capacity(payload.inputs.len());
    let mut data = payload.data;
    for input in payload.inputs {
        let bytes = input.inline.and_then(|inline| part(&mut data, inline));
        inputs.push(match bytes {
            Some(bytes) if length(&bytes) <= *bytes_left => {
                *bytes_left = bytes_left.saturating_sub(length(&bytes));
                LeaseInput::Inline(ByteBuf::from(bytes))
            }
            _ => LeaseInput::Fetch,
        });
    }
    Lease {
        task: queued.row.id,
        attempt: queued.attempt(),
        fencing_token: queued.fencing_token(),
        lease_duration_ms: query.lease_duration_ms,
        body: ByteBuf::from(payload.body),
        inputs,
    }
}

/// Most tasks have one input, which is the whole: it is not copied. Behind it there may be empty ones.
fn part(data: &mut Vec<u8>, range: Range<usize>) -> Option<Vec<u8>> {
    if range.is_empty() {
        return Some(Vec::new());
    }
    if range == (0..data.len()) {
        return Some(std::mem::take(data));
    }
    data.get(range).map(<[u8]>::to_vec)
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Extends leases that are in force. One whose time is up but whose task nobody has taken back yet is in force.
pub(in super::super) fn renew(
    scope: &WriteScope<'_>,
    query: &RenewQuery,
) -> Result<Vec<RenewedLease>, StoreError> {
    let expires_ms = query.now_ms.saturating_add(query.lease_duration_ms);
    let rows: Vec<_> = query
        .leases
        .iter()
        .map(|lease| values![lease.task, lease.fencing_token, &query.worker, expires_ms])
        .collect();
    let renewed = scope.connection.query_many(&RENEW, &rows, |_| Ok(()))?;
    let renewed = query.leases.iter().zip(renewed);
    Ok(renewed
        .map(|(&lease, renewed)| RenewedLease {
            lease,
            lease_duration_ms: (!renewed.is_empty()).then_some(query.lease_duration_ms),
        })
        .collect())
}

/// One input of a task, for the worker that holds its lease.
pub(in super::super) fn lease_input(
    connection: &Connection,
    worker: &WorkerId,
    lease: LeaseRef,
    index: usize,
) -> Result<Result<Payload, LeaseInputError>, StoreError> {
    let held = connection.first(
        "SELECT number, state = 'running' AND fencing_token = ?2 AND worker = ?3 FROM tasks WHERE id = ?1",
        &values![lease.task, lease.fencing_token, worker],
        |row| Ok((row.get(0)?, row.get::<Option<bool>>(1)?)),
    )?;
    let number: i64 = match held {
        None => return Ok(Err(LeaseInputError::UnknownTask)),
        Some((number, Some(true))) => number,
        Some(_) => return Ok(Err(LeaseInputError::Superseded)),
    };
    let stored = connection.first(PAYLOAD.each, &values![number], payload)?;
    let missing = StoreError::Unreadable {
        what: "a task without a body",
    };
    let stored = stored.ok_or(missing)?;
    let Some(input) = stored.inputs.get(index) else {
        return Ok(Err(LeaseInputError::NoSuchInput));
    };
    Ok(Ok(match &input.inline {
        None => Payload::Blob(input.descriptor),
        Some(inline) => {
            let data = stored.data.get(inline.clone()).unwrap_or_default();
            Payload::Inline(Bytes::copy_from_slice(data))
        }
    }))
}
