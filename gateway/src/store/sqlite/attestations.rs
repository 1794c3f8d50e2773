//! Attestation records and sessions: history that receipts point at.

use protocol::{SessionId, WorkerId};
use rusqlite::{Connection, OptionalExtension, Row};

use super::super::{NewAttestation, NewSession, StoreError, StoredAttestation};
use super::WriteScope;
use super::values::{integer, parsed_at, session_at, unsigned_at};

/// Bytes of report data.
const ID_BYTES: usize = 64;

const RECORD: &str = "SELECT id, worker, session, record, recorded_ms FROM attestations";

/// Keeps a record. Report data is bound to one exchange on one connection, so an id that is known is the same record.
pub(in super::super) fn record(
    scope: &WriteScope<'_>,
    attestation: &NewAttestation,
) -> Result<(), StoreError> {
    let id = parse_id(&attestation.id).ok_or(StoreError::Unreadable {
        what: "an attestation id",
    })?;
    scope
        .connection
        .prepare_cached(
            "INSERT INTO attestations (id, worker, session, recorded_ms, record) VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute((
            id,
            attestation.worker.as_str(),
            attestation.session.to_bytes(),
            integer(attestation.recorded_ms),
            &attestation.record,
        ))?;
    Ok(())
}

fn parse_id(text: &str) -> Option<[u8; ID_BYTES]> {
    let mut id = [0; ID_BYTES];
    hex::decode_to_slice(text, &mut id).ok()?;
    Some(id)
}

/// Key of a record.
pub(super) fn number(connection: &Connection, id: &str) -> Result<Option<i64>, StoreError> {
    let Some(id) = parse_id(id) else {
        return Ok(None);
    };
    let number = connection
        .prepare_cached("SELECT number FROM attestations WHERE id = ?1")?
        .query_row([id], |row| row.get(0))
        .optional()?;
    Ok(number)
}

pub(super) fn by_number(
    connection: &Connection,
    number: i64,
) -> Result<StoredAttestation, StoreError> {
    let mut statement = connection.prepare_cached(&format!("{RECORD} WHERE number = ?1"))?;
    let mut rows = statement.query([number])?;
    let missing = StoreError::Unreadable {
        what: "an attestation",
    };
    stored(rows.next()?.ok_or(missing)?)
}

pub(in super::super) fn by_id(
    connection: &Connection,
    id: &str,
) -> Result<Option<StoredAttestation>, StoreError> {
    match number(connection, id)? {
        Some(number) => by_number(connection, number).map(Some),
        None => Ok(None),
    }
}

/// Key of the latest record of a worker.
pub(super) fn latest(
    connection: &Connection,
    worker: &WorkerId,
) -> Result<Option<i64>, StoreError> {
    let number = connection
        .prepare_cached(
            "SELECT number FROM attestations WHERE worker = ?1 ORDER BY number DESC LIMIT 1",
        )?
        .query_row([worker.as_str()], |row| row.get(0))
        .optional()?;
    Ok(number)
}

fn stored(row: &Row<'_>) -> Result<StoredAttestation, StoreError> {
    Ok(StoredAttestation {
        id: hex::encode(row.get::<_, [u8; ID_BYTES]>("id")?),
        worker: parsed_at(row, "worker", "a worker id")?,
        session: session_at(row, "session")?,
        record: row.get("record")?,
        recorded_ms: unsigned_at(row, "recorded_ms")?,
    })
}

pub(in super::super) fn begin_session(
    scope: &WriteScope<'_>,
    session: &NewSession,
) -> Result<(), StoreError> {
    scope
        .connection
        .prepare_cached(
            "INSERT INTO sessions (id, worker, peer, admitted_ms) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute((
            session.id.to_bytes(),
            session.worker.as_str(),
            &session.peer,
            integer(session.admitted_ms),
        ))?;
    Ok(())
}

pub(in super::super) fn end_session(
    scope: &WriteScope<'_>,
    session: SessionId,
    now_ms: u64,
) -> Result<(), StoreError> {
    scope
        .connection
        .prepare_cached("UPDATE sessions SET ended_ms = ?2 WHERE id = ?1 AND ended_ms IS NULL")?
        .execute((session.to_bytes(), integer(now_ms)))?;
    Ok(())
}
