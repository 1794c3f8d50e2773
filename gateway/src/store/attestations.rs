//! Attestation records and sessions: history that receipts point at.

use protocol::{SessionId, WorkerId};

use super::database::{Connection, Row, WriteScope, values};
use super::{NewAttestation, NewSession, StoreError, StoredAttestation};

/// Bytes of report data.
const ID_BYTES: usize = 64;

/// Keeps a record. Report data is bound to one exchange on one connection, so an id that is known is the same record.
pub(super) fn record(
    scope: &WriteScope<'_>,
    attestation: &NewAttestation,
) -> Result<(), StoreError> {
    let id = parse_id(&attestation.id).ok_or(StoreError::Unreadable {
        what: "an attestation id",
    })?;
    scope.connection.execute(
        "INSERT INTO attestations (id, worker, session, recorded_ms, record) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (id) DO NOTHING",
        &values![
            &id,
            &attestation.worker,
            attestation.session,
            attestation.recorded_ms,
            &attestation.record
        ],
    )?;
    Ok(())
}

fn parse_id(text: &str) -> Option<[u8; ID_BYTES]> {
    let mut id = [0; ID_BYTES];
    hex::decode_to_slice(text, &mut id).ok()?;
    Some(id)
}

/// An enrolled worker.
pub(super) struct Enrolled {
    /// Key of the record that it signs under, if it is on record.
    pub(super) attestation: Option<i64>,
}

/// `None` where the worker is not enrolled.
pub(super) fn enrolled(
    connection: &Connection,
    worker: &WorkerId,
    id: &str,
) -> Result<Option<Enrolled>, StoreError> {
    let sql = "SELECT (SELECT number FROM attestations WHERE id = ?2) FROM workers WHERE id = ?1";
    let id = parse_id(id);
    let id = id.as_ref().map(<[u8; ID_BYTES]>::as_slice);
    connection.first(sql, &values![worker, id], |row| {
        let attestation = row.get(0)?;
        Ok(Enrolled { attestation })
    })
}

/// Key of a record.
pub(super) fn number(connection: &Connection, id: &str) -> Result<Option<i64>, StoreError> {
    let Some(id) = parse_id(id) else {
        return Ok(None);
    };
    let sql = "SELECT number FROM attestations WHERE id = ?1";
    connection.first(sql, &values![&id], |row| row.get(0))
}

pub(super) fn by_number(
    connection: &Connection,
    number: i64,
) -> Result<StoredAttestation, StoreError> {
    let sql = "SELECT id, worker, session, record, recorded_ms FROM attestations WHERE number = ?1";
    let missing = StoreError::Unreadable {
        what: "an attestation",
    };
    let found = connection.first(sql, &values![number], stored)?;
    found.ok_or(missing)
}

pub(super) fn by_id(
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
    let sql = "SELECT number FROM attestations WHERE worker = ?1 ORDER BY number DESC LIMIT 1";
    connection.first(sql, &values![worker], |row| row.get(0))
}

fn stored(row: &Row<'_>) -> Result<StoredAttestation, StoreError> {
    Ok(StoredAttestation {
        id: hex::encode(row.get::<[u8; ID_BYTES]>(0)?),
        worker: row.get(1)?,
        session: row.get(2)?,
        record: row.get(3)?,
        recorded_ms: row.get(4)?,
    })
}

pub(super) fn begin_session(
    scope: &WriteScope<'_>,
    session: &NewSession,
) -> Result<(), StoreError> {
    scope.connection.execute(
        "INSERT INTO sessions (id, worker, peer, admitted_ms) VALUES (?1, ?2, ?3, ?4)",
        &values![
            session.id,
            &session.worker,
            &session.peer,
            session.admitted_ms
        ],
    )?;
    Ok(())
}

pub(super) fn end_session(
    scope: &WriteScope<'_>,
    session: SessionId,
    now_ms: u64,
) -> Result<(), StoreError> {
    let sql = "UPDATE sessions SET ended_ms = ?2 WHERE id = ?1 AND ended_ms IS NULL";
    scope.connection.execute(sql, &values![session, now_ms])?;
    Ok(())
}
