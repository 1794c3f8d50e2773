//! Who owns which blob, and which ones nobody needs. The bytes are files: [`crate::blobs`].

use std::collections::HashMap;

use protocol::task::InputDescriptor;
use protocol::{Sha256Digest, UserName, WorkerId};

use super::database::{Connection, Many, WriteScope, values};
use super::{BlobExcess, BlobStanding, ClaimsBefore, StoreError};

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

const TAKE_FROM_SUM: Many = Many {
    each: "UPDATE blob_sums SET bytes = bytes - ?2 WHERE user_name = ?1",
    all:
        "UPDATE blob_sums SET bytes = bytes - freed
          FROM unnest(?1::text[], ?2::bigint[]) AS given (of_user, freed) WHERE user_name = of_user",
};

/// Makes a blob its user's, or says why not. One transaction writes at a time, so no other upload gets between sum and row.
pub(super) fn record_user_blob(
    scope: &WriteScope<'_>,
    user: &UserName,
    blob: InputDescriptor,
    (bytes_max, now_ms): (u64, u64),
) -> Result<Result<(), BlobExcess>, StoreError> {
    let renewed = scope.connection.execute(
        "UPDATE user_blobs SET stored_ms = ?3 WHERE user_name = ?1 AND sha256 = ?2",
        &values![user, &blob.sha256, now_ms],
    )?;
    if renewed > 0 {
        return Ok(Ok(()));
    }
    let owned = bytes_of(scope.connection, user)?;
    if owned.saturating_add(blob.bytes) > bytes_max {
        return Ok(Err(BlobExcess {
            used: owned,
            bytes: blob.bytes,
            bytes_max,
        }));
    }
    scope.connection.execute(
        "INSERT INTO user_blobs (user_name, sha256, bytes, stored_ms) VALUES (?1, ?2, ?3, ?4)",
        &values![user, &blob.sha256, blob.bytes, now_ms],
    )?;
    scope.connection.execute(
        "INSERT INTO blob_sums (user_name, bytes) VALUES (?1, ?2)
         ON CONFLICT (user_name) DO UPDATE SET bytes = blob_sums.bytes + excluded.bytes",
        &values![user, blob.bytes],
    )?;
    Ok(Ok(()))
}

/// Bytes of all blobs that are a user's.
fn bytes_of(connection: &Connection, user: &UserName) -> Result<u64, StoreError> {
    let sql = "SELECT bytes FROM blob_sums WHERE user_name = ?1";
    let sum = connection.first(sql, &values![user], |row| row.get(0))?;
    Ok(sum.unwrap_or_default())
}

pub(super) fn standing(
    connection: &Connection,
    user: &UserName,
    sha256: Sha256Digest,
) -> Result<BlobStanding, StoreError> {
    Ok(BlobStanding {
        is_owned: user_blob(connection, user, sha256)?.is_some(),
        used: bytes_of(connection, user)?,
    })
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
    let users = scope.connection.query(
        "DELETE FROM user_blobs WHERE (user_name, sha256) IN (
             SELECT user_name, sha256 FROM user_blobs WHERE stored_ms < ?1 ORDER BY stored_ms LIMIT ?2)
         RETURNING user_name, bytes",
        &values![stored_before.users_ms, CLAIMS_MAX],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    take_from_sums(scope, &users)?;
    let workers = scope.connection.execute(
        "DELETE FROM worker_blobs WHERE (worker, sha256) IN (
             SELECT worker, sha256 FROM worker_blobs WHERE stored_ms < ?1 ORDER BY stored_ms LIMIT ?2)",
        &values![stored_before.workers_ms, CLAIMS_MAX],
    )?;
    Ok(users.len().max(workers) == CLAIMS_MAX)
}

fn take_from_sums(scope: &WriteScope<'_>, ended: &[(UserName, u64)]) -> Result<(), StoreError> {
    let mut freed: HashMap<&UserName, u64> = HashMap::new();
    for (user, bytes) in ended {
        let freed = freed.entry(user).or_default();
        *freed = freed.saturating_add(*bytes);
    }
    let rows: Vec<_> = freed
        .into_iter()
        .map(|(user, bytes)| values![user, bytes])
        .collect();
    scope.connection.execute_many(&TAKE_FROM_SUM, &rows)
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
