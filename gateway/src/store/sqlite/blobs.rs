//! Who owns which blob, and which ones nobody needs. The bytes are files: [`crate::blobs`].

use protocol::task::InputDescriptor;
use protocol::{Sha256Digest, UserName, WorkerId};
use rusqlite::{Connection, OptionalExtension};

use super::super::{ClaimsBefore, StoreError};
use super::WriteScope;
use super::values::{integer, integer_from_usize, unsigned_at};

pub(in super::super) fn record_user_blob(
    scope: &WriteScope<'_>,
    user: &UserName,
    blob: InputDescriptor,
    now_ms: u64,
) -> Result<(), StoreError> {
    scope
        .connection
        .prepare_cached(
            "INSERT INTO user_blobs (user, sha256, bytes, stored_ms) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (user, sha256) DO UPDATE SET stored_ms = excluded.stored_ms",
        )?
        .execute((
            user.as_str(),
            blob.sha256.as_bytes(),
            integer(blob.bytes),
            integer(now_ms),
        ))?;
    Ok(())
}

pub(in super::super) fn user_blob(
    connection: &Connection,
    user: &UserName,
    sha256: Sha256Digest,
) -> Result<Option<InputDescriptor>, StoreError> {
    let bytes = connection
        .prepare_cached("SELECT bytes FROM user_blobs WHERE user = ?1 AND sha256 = ?2")?
        .query_row((user.as_str(), sha256.as_bytes()), |row| {
            unsigned_at(row, "bytes")
        })
        .optional()?;
    Ok(bytes.map(|bytes| InputDescriptor { sha256, bytes }))
}

pub(in super::super) fn record_worker_blob(
    scope: &WriteScope<'_>,
    worker: &WorkerId,
    blob: InputDescriptor,
    now_ms: u64,
) -> Result<(), StoreError> {
    scope
        .connection
        .prepare_cached(
            "INSERT INTO worker_blobs (worker, sha256, bytes, stored_ms) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (worker, sha256) DO UPDATE SET stored_ms = excluded.stored_ms",
        )?
        .execute((
            worker.as_str(),
            blob.sha256.as_bytes(),
            integer(blob.bytes),
            integer(now_ms),
        ))?;
    Ok(())
}

/// Claims of users, and of workers, that end in one pass.
const CLAIMS_MAX: usize = 1_000;

/// Whatever refers to a blob.
const REFERENCES: &str = "
    SELECT EXISTS (SELECT 1 FROM task_inputs WHERE sha256 = ?1 AND data IS NULL)
        OR EXISTS (SELECT 1 FROM task_outputs WHERE sha256 = ?1 AND data IS NULL)
        OR EXISTS (SELECT 1 FROM user_blobs WHERE sha256 = ?1)
        OR EXISTS (SELECT 1 FROM worker_blobs WHERE sha256 = ?1)";

/// Ends old claims of users and workers, a bounded number; true while there may be more. Tasks keep the blobs that they name.
pub(in super::super) fn end_claims(
    scope: &WriteScope<'_>,
    stored_before: ClaimsBefore,
) -> Result<bool, StoreError> {
    let end = |statement, before_ms| -> Result<usize, StoreError> {
        let bounds = (integer(before_ms), integer_from_usize(CLAIMS_MAX));
        Ok(scope
            .connection
            .prepare_cached(statement)?
            .execute(bounds)?)
    };
    let users = end(
        "DELETE FROM user_blobs WHERE (user, sha256) IN (
             SELECT user, sha256 FROM user_blobs WHERE stored_ms < ?1 ORDER BY stored_ms LIMIT ?2)",
        stored_before.users_ms,
    )?;
    let workers = end(
        "DELETE FROM worker_blobs WHERE (worker, sha256) IN (
             SELECT worker, sha256 FROM worker_blobs WHERE stored_ms < ?1 ORDER BY stored_ms LIMIT ?2)",
        stored_before.workers_ms,
    )?;
    Ok(users.max(workers) == CLAIMS_MAX)
}

/// Those of these blobs that nothing refers to.
pub(in super::super) fn unreferenced(
    connection: &Connection,
    blobs: &[Sha256Digest],
) -> Result<Vec<Sha256Digest>, StoreError> {
    let mut statement = connection.prepare_cached(REFERENCES)?;
    let mut unreferenced = Vec::new();
    for blob in blobs {
        if !statement.query_row([blob.as_bytes()], |row| row.get(0))? {
            unreferenced.push(*blob);
        }
    }
    Ok(unreferenced)
}
