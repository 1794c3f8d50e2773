//! Who owns which blob, and which ones nobody needs. The bytes are files: [`crate::blobs`].

use protocol::task::InputDescriptor;
use protocol::{Sha256Digest, UserName, WorkerId};

use super::database::{Connection, Many, WriteScope, values};
use super::{ClaimsBefore, StoreError};

/// Claims of users, and of workers, that end in one pass.
const CLAIMS_MAX: usize = 1_000;

/// Whether anything refers to a blob.
const IS_REFERRED_TO: Many = Many {
    each: "SELECT EXISTS (SELECT 1 FROM task_blobs WHERE sha256 = ?1)
               OR EXISTS (SELECT 1 FROM task_outputs WHERE sha256 = ?1 AND data IS NULL)
               OR EXISTS (SELECT 1 FROM user_blobs WHERE sha256 = ?1)
               OR EXISTS (SELECT 1 FROM worker_blobs WHERE sha256 = ?1)",
    all: "SELECT position, EXISTS (SELECT 1 FROM task_blobs WHERE sha256 = blob)
              OR EXISTS (SELECT 1 FROM task_outputs WHERE sha256 = blob AND data IS NULL)
              OR EXISTS (SELECT 1 FROM user_blobs WHERE sha256 = blob)
              OR EXISTS (SELECT 1 FROM worker_blobs WHERE sha256 = blob)
          FROM unnest(?1::bytea[]) WITH ORDINALITY AS given (blob, position)",
};

pub(super) fn record_user_blob(
    scope: &WriteScope<'_>,
    user: &UserName,
    blob: InputDescriptor,
    now_ms: u64,
) -> Result<(), StoreError> {
    scope.connection.execute(
        "INSERT INTO user_blobs (user_name, sha256, bytes, stored_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (user_name, sha256) DO UPDATE SET stored_ms = excluded.stored_ms",
        &values![user, &blob.sha256, blob.bytes, now_ms],
    )?;
    Ok(())
}

pub(super) fn user_blob(
    connection: &Connection,
    user: &UserName,
    sha256: Sha256Digest,
) -> Result<Option<InputDescriptor>, StoreError> {
    let sql = "SELECT bytes FROM user_blobs WHERE user_name = ?1 AND sha256 = ?2";
    connection.first(sql, &values![user, &sha256], |row| {
        let bytes = row.get(0)?;
        Ok(InputDescriptor { sha256, bytes })
    })
}

pub(super) fn record_worker_blob(
    scope: &WriteScope<'_>,
    worker: &WorkerId,
    blob: InputDescriptor,
    now_ms: u64,
) -> Result<(), StoreError> {
    scope.connection.execute(
        "INSERT INTO worker_blobs (worker, sha256, bytes, stored_ms) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (worker, sha256) DO UPDATE SET stored_ms = excluded.stored_ms",
        &values![worker, &blob.sha256, blob.bytes, now_ms],
    )?;
    Ok(())
}

/// Ends old claims of users and workers, a bounded number; true while there may be more. Tasks keep the blobs that they name.
pub(super) fn end_claims(
    scope: &WriteScope<'_>,
    stored_before: ClaimsBefore,
) -> Result<bool, StoreError> {
    let end = |sql, before_ms: u64| {
        scope
            .connection
            .execute(sql, &values![before_ms, CLAIMS_MAX])
    };
    let users = end(
        "DELETE FROM user_blobs WHERE (user_name, sha256) IN (
             SELECT user_name, sha256 FROM user_blobs WHERE stored_ms < ?1 ORDER BY stored_ms LIMIT ?2)",
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
pub(super) fn unreferenced(
    connection: &Connection,
    blobs: &[Sha256Digest],
) -> Result<Vec<Sha256Digest>, StoreError> {
    let arguments: Vec<_> = blobs.iter().map(|blob| values![blob]).collect();
    let referred_to =
        connection.query_many(&IS_REFERRED_TO, &arguments, |row| row.get::<bool>(0))?;
    let blobs = blobs.iter().zip(referred_to);
    let unreferenced = blobs.filter(|(_, is_referred_to)| is_referred_to == &[false]);
    Ok(unreferenced.map(|(blob, _)| *blob).collect())
}
