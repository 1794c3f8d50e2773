//! Access tokens, by digest.

use protocol::Sha256Digest;

use super::database::{Connection, Row, WriteScope, values};
use super::{AccessGrant, AccessTokenId, AccessTokenRecord, NewAccessToken, StoreError};

/// The last use is kept to the minute, so that presenting an access token rarely writes.
const LAST_USE_RESOLUTION_MS: u64 = 60_000;

pub(super) fn create(
    scope: &WriteScope<'_>,
    token: &NewAccessToken,
) -> Result<AccessTokenId, StoreError> {
    scope.connection.get(
        "INSERT INTO access_tokens (sha256, user_name, role, created_ms) VALUES (?1, ?2, ?3, ?4) RETURNING id",
        &values![
            &token.sha256,
            &token.user,
            token.role.as_str(),
            token.created_ms
        ],
    )
}

/// What an access token stands for, and when its use was last noted.
pub(super) fn find(
    connection: &Connection,
    sha256: Sha256Digest,
) -> Result<Option<(AccessGrant, Option<u64>)>, StoreError> {
    connection.first(
        "SELECT id, user_name, role, last_used_ms FROM access_tokens WHERE sha256 = ?1 AND revoked_ms IS NULL",
        &values![&sha256],
        |row| {
            let grant = AccessGrant {
                id: row.get(0)?,
                user: row.get(1)?,
                role: row.get(2)?,
            };
            Ok((grant, row.get(3)?))
        },
    )
}

/// Whether a use now is worth a write.
pub(super) fn is_use_news(last_used_ms: Option<u64>, now_ms: u64) -> bool {
    last_used_ms.is_none_or(|last| now_ms.saturating_sub(last) >= LAST_USE_RESOLUTION_MS)
}

pub(super) fn note_use(
    scope: &WriteScope<'_>,
    id: AccessTokenId,
    now_ms: u64,
) -> Result<(), StoreError> {
    let sql = "UPDATE access_tokens SET last_used_ms = ?2 WHERE id = ?1";
    scope.connection.execute(sql, &values![id.0, now_ms])?;
    Ok(())
}

pub(super) fn list(connection: &Connection) -> Result<Vec<AccessTokenRecord>, StoreError> {
    connection.query(
        "SELECT id, user_name, role, created_ms, last_used_ms, revoked_ms FROM access_tokens ORDER BY id",
        &[],
        record,
    )
}

fn record(row: &Row<'_>) -> Result<AccessTokenRecord, StoreError> {
    Ok(AccessTokenRecord {
        id: row.get(0)?,
        user: row.get(1)?,
        role: row.get(2)?,
        created_ms: row.get(3)?,
        last_used_ms: row.get(4)?,
        revoked_ms: row.get(5)?,
    })
}

/// Whether there was such an access token in force.
pub(super) fn revoke(
    scope: &WriteScope<'_>,
    id: AccessTokenId,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let sql = "UPDATE access_tokens SET revoked_ms = ?2 WHERE id = ?1 AND revoked_ms IS NULL";
    Ok(scope.connection.execute(sql, &values![id.0, now_ms])? > 0)
}
