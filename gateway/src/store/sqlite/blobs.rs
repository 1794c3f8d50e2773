//! Who owns which blob. The bytes are files: [`crate::blobs`].

use protocol::task::InputDescriptor;
use protocol::{Sha256Digest, UserName, WorkerId};
use rusqlite::{Connection, OptionalExtension};

use super::super::StoreError;
use super::WriteScope;
use super::values::{integer, unsigned_at};

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
             ON CONFLICT (user, sha256) DO NOTHING",
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
             ON CONFLICT (worker, sha256) DO NOTHING",
        )?
        .execute((
            worker.as_str(),
            blob.sha256.as_bytes(),
            integer(blob.bytes),
            integer(now_ms),
        ))?;
    Ok(())
}
