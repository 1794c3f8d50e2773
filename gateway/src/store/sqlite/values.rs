//! Identifiers, digests, times and sizes as columns, and back.

use std::str::FromStr;

use protocol::{SessionId, Sha256Digest, TaskId};
use rusqlite::Row;

use super::super::StoreError;

/// SQLite's integers have 63 bits for what is never negative; times and sizes stay far below.
pub(super) fn integer(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn integer_from_usize(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(super) fn optional_integer(value: Option<u64>) -> Option<i64> {
    value.map(integer)
}

pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

pub(super) fn count(value: i64) -> u32 {
    u32::try_from(value.max(0)).unwrap_or(u32::MAX)
}

/// A column that was written from a `u64`.
pub(super) fn unsigned_at(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(unsigned)
}

pub(super) fn optional_unsigned_at(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(unsigned))
}

/// A task's row: its key, its name, and the flow that it belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) struct TaskRow {
    pub(super) number: i64,
    pub(super) id: TaskId,
    pub(super) flow: i64,
}

/// Of the columns `number`, `id` and `flow`.
pub(super) fn task_row(row: &Row<'_>) -> rusqlite::Result<TaskRow> {
    Ok(TaskRow {
        number: row.get("number")?,
        id: task_at(row, "id")?,
        flow: row.get("flow")?,
    })
}

pub(super) fn task_at(row: &Row<'_>, column: &str) -> rusqlite::Result<TaskId> {
    row.get(column).map(TaskId::from_bytes)
}

pub(super) fn session_at(row: &Row<'_>, column: &str) -> rusqlite::Result<SessionId> {
    row.get(column).map(SessionId::from_bytes)
}

pub(super) fn digest_at(row: &Row<'_>, column: &str) -> rusqlite::Result<Sha256Digest> {
    row.get(column).map(Sha256Digest::from_bytes)
}

/// A column whose text was written from a value of this type.
pub(super) fn parsed_at<T>(row: &Row<'_>, column: &str, what: &'static str) -> Result<T, StoreError>
where
    T: FromStr,
{
    let text = row.get_ref(column)?.as_str();
    let text = text.map_err(|_| StoreError::Unreadable { what })?;
    text.parse().map_err(|_| StoreError::Unreadable { what })
}

pub(super) fn optional_parsed_at<T>(
    row: &Row<'_>,
    column: &str,
    what: &'static str,
) -> Result<Option<T>, StoreError>
where
    T: FromStr,
{
    match row.get_ref(column)?.as_str_or_null() {
        Ok(None) => Ok(None),
        Ok(Some(text)) => text
            .parse()
            .map(Some)
            .map_err(|_| StoreError::Unreadable { what }),
        Err(_) => Err(StoreError::Unreadable { what }),
    }
}
