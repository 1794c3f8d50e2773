//! Leasing and renewing.

use bytes::Bytes;
use protocol::control::RenewedLease;
use protocol::lease::{Lease, LeaseInput, LeaseRef};
use protocol::task::{InputDescriptor, TaskState};
use protocol::{FencingToken, WorkerId};
use rusqlite::{Connection, OptionalExtension};
use serde_bytes::ByteBuf;

use super::super::super::{
    LeaseError, LeaseInputError, LeaseQuery, Payload, RenewQuery, StoreError,
};
use super::super::WriteScope;
use super::super::values::{digest_at, integer, integer_from_usize, unsigned_at};
use super::pick::{Queued, pick};

/// Leases the first tasks of the queue that the worker can run.
pub(in super::super::super) fn lease(
    scope: &mut WriteScope<'_>,
    query: &LeaseQuery,
) -> Result<Result<Vec<Lease>, LeaseError>, StoreError> {
    match is_draining(scope.connection, &query.worker)? {
        None => return Ok(Err(LeaseError::UnknownWorker)),
        Some(true) => return Ok(Err(LeaseError::Draining)),
        Some(false) => {}
    }
    let mut payload_bytes_left = query.payload_bytes_max;
    let picked = pick(scope.connection, query)?;
    let leases = picked
        .iter()
        .map(|queued| grant(scope, query, queued, &mut payload_bytes_left))
        .collect::<Result<_, _>>()?;
    Ok(Ok(leases))
}

fn is_draining(connection: &Connection, worker: &WorkerId) -> Result<Option<bool>, StoreError> {
    let draining = connection
        .prepare_cached("SELECT draining FROM workers WHERE id = ?1")?
        .query_row([worker.as_str()], |row| row.get(0))
        .optional()?;
    Ok(draining)
}

fn grant(
    scope: &mut WriteScope<'_>,
    query: &LeaseQuery,
    queued: &Queued,
    payload_bytes_left: &mut u64,
) -> Result<Lease, StoreError> {
    let attempt = queued.attempts.saturating_add(1);
    let fencing_token = FencingToken(queued.fencing_token.0.saturating_add(1));
    scope
        .connection
        .prepare_cached(
            "UPDATE tasks SET state = 'running', worker = ?2, session = ?3, leased_ms = ?4, lease_expires_ms = ?5,
                 attempts = ?6, fencing_token = ?7
             WHERE number = ?1",
        )?
        .execute((
            queued.row.number,
            query.worker.as_str(),
            query.session.to_bytes(),
            integer(query.now_ms),
            integer(query.now_ms.saturating_add(query.lease_duration_ms)),
            attempt,
            integer(fencing_token.0),
        ))?;
    scope.moved(queued.row, Some(TaskState::Queued), TaskState::Running);
    let body: Vec<u8> = scope
        .connection
        .prepare_cached("SELECT body FROM task_bodies WHERE task = ?1")?
        .query_row([queued.row.number], |row| row.get(0))?;
    *payload_bytes_left = payload_bytes_left.saturating_sub(length(&body));
    Ok(Lease {
        task: queued.row.id,
        attempt,
        fencing_token,
        lease_duration_ms: query.lease_duration_ms,
        body: ByteBuf::from(body),
        inputs: inputs(scope.connection, queued.row.number, payload_bytes_left)?,
    })
}

/// Inline inputs travel with the lease while there is room.
fn inputs(
    connection: &Connection,
    number: i64,
    payload_bytes_left: &mut u64,
) -> Result<Vec<LeaseInput>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT data FROM task_inputs WHERE task = ?1 ORDER BY position")?;
    let stored = statement.query_map([number], |row| row.get::<_, Option<Vec<u8>>>(0))?;
    let mut inputs = Vec::new();
    for data in stored {
        inputs.push(match data? {
            Some(data) if length(&data) <= *payload_bytes_left => {
                *payload_bytes_left = payload_bytes_left.saturating_sub(length(&data));
                LeaseInput::Inline(ByteBuf::from(data))
            }
            _ => LeaseInput::Fetch,
        });
    }
    Ok(inputs)
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Extends leases that are in force. One whose time is up but whose task nobody has taken back yet is in force.
pub(in super::super::super) fn renew(
    scope: &WriteScope<'_>,
    query: &RenewQuery,
) -> Result<Vec<RenewedLease>, StoreError> {
    let expires_ms = integer(query.now_ms.saturating_add(query.lease_duration_ms));
    let mut update = scope.connection.prepare_cached(
        "UPDATE tasks SET lease_expires_ms = ?4
         WHERE id = ?1 AND fencing_token = ?2 AND worker = ?3 AND state = 'running'",
    )?;
    let mut renewed = Vec::with_capacity(query.leases.len());
    for &lease in &query.leases {
        let changed = update.execute((
            lease.task.to_bytes(),
            integer(lease.fencing_token.0),
            query.worker.as_str(),
            expires_ms,
        ))?;
        renewed.push(RenewedLease {
            lease,
            lease_duration_ms: (changed > 0).then_some(query.lease_duration_ms),
        });
    }
    Ok(renewed)
}

/// One input of a task, for the worker that holds its lease.
pub(in super::super::super) fn lease_input(
    connection: &Connection,
    worker: &WorkerId,
    lease: LeaseRef,
    index: usize,
) -> Result<Result<Payload, LeaseInputError>, StoreError> {
    let held = connection
        .prepare_cached(
            "SELECT number, state = 'running' AND fencing_token = ?2 AND worker = ?3
             FROM tasks WHERE id = ?1",
        )?
        .query_row(
            (
                lease.task.to_bytes(),
                integer(lease.fencing_token.0),
                worker.as_str(),
            ),
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Option<bool>>(1)?)),
        )
        .optional()?;
    let number = match held {
        None => return Ok(Err(LeaseInputError::UnknownTask)),
        Some((number, Some(true))) => number,
        Some(_) => return Ok(Err(LeaseInputError::Superseded)),
    };
    let payload = connection
        .prepare_cached(
            "SELECT sha256, bytes, data FROM task_inputs WHERE task = ?1 AND position = ?2",
        )?
        .query_row((number, integer_from_usize(index)), |row| {
            Ok(match row.get::<_, Option<Vec<u8>>>("data")? {
                Some(data) => Payload::Inline(Bytes::from(data)),
                None => Payload::Blob(InputDescriptor {
                    sha256: digest_at(row, "sha256")?,
                    bytes: unsigned_at(row, "bytes")?,
                }),
            })
        })
        .optional()?;
    Ok(payload.ok_or(LeaseInputError::NoSuchInput))
}
