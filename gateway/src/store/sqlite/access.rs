//! Access tokens, by digest.

use protocol::Sha256Digest;
use rusqlite::{Connection, Row};

use super::super::{AccessGrant, AccessTokenId, AccessTokenRecord, NewAccessToken, StoreError};
use super::WriteScope;
use super::values::{integer, optional_unsigned_at, parsed_at, unsigned_at};

/// The last use is kept to the minute, so that presenting an access token rarely writes.
const LAST_USE_RESOLUTION_MS: u64 = 60_000;

pub(in super::super) fn create(
    scope: &WriteScope<'_>,
    token: &NewAccessToken,
) -> Result<AccessTokenId, StoreError> {
    let id = scope
        .connection
        .prepare_cached(
            "INSERT INTO access_tokens (sha256, user, role, created_ms) VALUES (?1, ?2, ?3, ?4)",
        )?
        .insert((
            token.sha256.as_bytes(),
            token.user.as_str(),
            token.role.as_str(),
            integer(token.created_ms),
        ))?;
    Ok(AccessTokenId(id))
}

/// What an access token stands for, and when its use was last noted.
pub(in super::super) fn find(
    connection: &Connection,
    sha256: Sha256Digest,
) -> Result<Option<(AccessGrant, Option<u64>)>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, user, role, last_used_ms FROM access_tokens
         WHERE sha256 = ?1 AND revoked_ms IS NULL",
    )?;
    let mut rows = statement.query([sha256.as_bytes()])?;
    rows.next()?.map(grant).transpose()
}

fn grant(row: &Row<'_>) -> Result<(AccessGrant, Option<u64>), StoreError> {
    let grant = AccessGrant {
        id: AccessTokenId(row.get("id")?),
        user: parsed_at(row, "user", "a user name")?,
        role: parsed_at(row, "role", "a role")?,
    };
    Ok((grant, optional_unsigned_at(row, "last_used_ms")?))
}

/// Whether a use now is worth a write.
pub(in super::super) fn is_use_news(last_used_ms: Option<u64>, now_ms: u64) -> bool {
    last_used_ms.is_none_or(|last| now_ms.saturating_sub(last) >= LAST_USE_RESOLUTION_MS)
}

pub(in super::super) fn note_use(
    scope: &WriteScope<'_>,
    id: AccessTokenId,
    now_ms: u64,
) -> Result<(), StoreError> {
    scope
        .connection
        .prepare_cached("UPDATE access_tokens SET last_used_ms = ?2 WHERE id = ?1")?
        .execute((id.0, integer(now_ms)))?;
    Ok(())
}

pub(in super::super) fn list(
    connection: &Connection,
) -> Result<Vec<AccessTokenRecord>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, user, role, created_ms, last_used_ms, revoked_ms FROM access_tokens ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    let mut tokens = Vec::new();
    while let Some(row) = rows.next()? {
        tokens.push(AccessTokenRecord {
            id: AccessTokenId(row.get("id")?),
            user: parsed_at(row, "user", "a user name")?,
            role: parsed_at(row, "role", "a role")?,
            created_ms: unsigned_at(row, "created_ms")?,
            last_used_ms: optional_unsigned_at(row, "last_used_ms")?,
            revoked_ms: optional_unsigned_at(row, "revoked_ms")?,
        });
    }
    Ok(tokens)
}

/// Whether there was such an access token in force.
pub(in super::super) fn revoke(
    scope: &WriteScope<'_>,
    id: AccessTokenId,
    now_ms: u64,
) -> Result<bool, StoreError> {
    let revoked = scope
        .connection
        .prepare_cached(
            "UPDATE access_tokens SET revoked_ms = ?2 WHERE id = ?1 AND revoked_ms IS NULL",
        )?
        .execute((id.0, integer(now_ms)))?;
    Ok(revoked > 0)
}
