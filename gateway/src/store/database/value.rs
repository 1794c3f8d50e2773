//! What goes into a statement and what comes out of a row: identifiers, digests, times and sizes as columns, and back.

use protocol::requirements::Requirements;
use protocol::task::TaskState;
use protocol::{FencingToken, SessionId, Sha256Digest, TaskId, UserName, WorkerId};

use super::super::{AccessRole, AccessTokenId, StoreError};

/// A column of no type that the two databases do not share.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Value<'v> {
    Null,
    Integer(i64),
    Text(&'v str),
    Bytes(&'v [u8]),
    Id([u8; 16]),
}

/// The arguments of one statement: `values![task, now_ms]`.
macro_rules! values {
    ($($value:expr),* $(,)?) => { [$($crate::store::database::Value::from($value)),*] };
}
pub(in super::super) use values;

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

/// Databases have 63 bits for what is never negative; times and sizes stay far below.
impl From<u64> for Value<'_> {
    fn from(value: u64) -> Self {
        Self::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<usize> for Value<'_> {
    fn from(value: usize) -> Self {
        Self::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<u32> for Value<'_> {
    fn from(value: u32) -> Self {
        Self::Integer(i64::from(value))
    }
}

impl From<u8> for Value<'_> {
    fn from(value: u8) -> Self {
        Self::Integer(i64::from(value))
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Integer(i64::from(value))
    }
}

impl From<FencingToken> for Value<'_> {
    fn from(token: FencingToken) -> Self {
        Self::from(token.0)
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(text)
    }
}

impl<'v> From<&'v String> for Value<'v> {
    fn from(text: &'v String) -> Self {
        Self::Text(text)
    }
}

impl<'v> From<&'v UserName> for Value<'v> {
    fn from(user: &'v UserName) -> Self {
        Self::Text(user.as_str())
    }
}

impl<'v> From<&'v WorkerId> for Value<'v> {
    fn from(worker: &'v WorkerId) -> Self {
        Self::Text(worker.as_str())
    }
}

impl From<TaskState> for Value<'_> {
    fn from(state: TaskState) -> Self {
        Self::Text(state.as_str())
    }
}

impl<'v> From<&'v [u8]> for Value<'v> {
    fn from(bytes: &'v [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'v, const N: usize> From<&'v [u8; N]> for Value<'v> {
    fn from(bytes: &'v [u8; N]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'v> From<&'v Vec<u8>> for Value<'v> {
    fn from(bytes: &'v Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'v> From<&'v Sha256Digest> for Value<'v> {
    fn from(digest: &'v Sha256Digest) -> Self {
        Self::Bytes(digest.as_bytes())
    }
}

impl From<TaskId> for Value<'_> {
    fn from(task: TaskId) -> Self {
        Self::Id(task.to_bytes())
    }
}

impl From<SessionId> for Value<'_> {
    fn from(session: SessionId) -> Self {
        Self::Id(session.to_bytes())
    }
}

impl<'v, T> From<Option<T>> for Value<'v>
where
    Value<'v>: From<T>,
{
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::from)
    }
}

/// One row of an answer.
#[derive(Debug, Clone, Copy)]
pub(in super::super) enum Row<'r> {
    Sqlite(&'r rusqlite::Row<'r>),
    Postgres {
        row: &'r tokio_postgres::Row,
        /// Columns before those that the statement's reader knows of.
        skipped: usize,
    },
}

impl Row<'_> {
    /// The column at this place of the statement's list, from 0.
    pub(in super::super) fn get<T: Column>(&self, at: usize) -> Result<T, StoreError> {
        T::read(self, at)?.ok_or(StoreError::Unreadable {
            what: "a row with a gap",
        })
    }

    fn integer(&self, at: usize) -> Result<Option<i64>, StoreError> {
        match self {
            Self::Sqlite(row) => Ok(row.get(at)?),
            Self::Postgres { row, skipped } => {
                super::postgres::integer(row, at.saturating_add(*skipped))
            }
        }
    }

    /// Reads a text where it lies.
    pub(in super::super) fn text<T>(
        &self,
        at: usize,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        let unreadable = StoreError::Unreadable { what: "a text" };
        let text = match self {
            Self::Sqlite(row) => {
                let text = row.get_ref(at)?.as_str_or_null();
                text.map_err(|_| unreadable.clone())?
            }
            Self::Postgres { row, skipped } => {
                row.try_get::<_, Option<&str>>(at.saturating_add(*skipped))?
            }
        };
        text.map(|text| read(text).ok_or(unreadable)).transpose()
    }

    /// Reads bytes where they lie.
    pub(in super::super) fn bytes<T>(
        &self,
        at: usize,
        read: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, StoreError> {
        let unreadable = StoreError::Unreadable { what: "bytes" };
        let bytes = match self {
            Self::Sqlite(row) => {
                let bytes = row.get_ref(at)?.as_blob_or_null();
                bytes.map_err(|_| unreadable.clone())?
            }
            Self::Postgres { row, skipped } => {
                row.try_get::<_, Option<&[u8]>>(at.saturating_add(*skipped))?
            }
        };
        bytes.map(|bytes| read(bytes).ok_or(unreadable)).transpose()
    }
}

/// What a column holds; `None` where it is null.
pub(in super::super) trait Column: Sized {
    fn read(row: &Row<'_>, at: usize) -> Result<Option<Self>, StoreError>;
}

/// A column that may be null.
impl<T: Column> Column for Option<T> {
    fn read(row: &Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        T::read(row, at).map(Some)
    }
}

impl Column for i64 {
    fn read(row: &Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        row.integer(at)
    }
}

macro_rules! integer_columns {
    ($($type:ty),*) => { $(
        /// Negative or too large: nobody wrote it from this type.
        impl Column for $type {
            fn read(row: &Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
                let unreadable = |_| StoreError::Unreadable { what: "a number" };
                row.integer(at)?.map(|value| <$type>::try_from(value).map_err(unreadable)).transpose()
            }
        }
    )* };
}
integer_columns!(u64, u32, u8);

impl Column for bool {
    fn read(row: &Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        Ok(row.integer(at)?.map(|value| value != 0))
    }
}

impl Column for FencingToken {
    fn read(row: &Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        Ok(u64::read(row, at)?.map(FencingToken))
    }
}

impl Column for AccessTokenId {
    fn read(row: &Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        Ok(row.integer(at)?.map(AccessTokenId))
    }
}

impl Column for String {
    fn read(row: &Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        row.text(at, |text| Some(text.to_owned()))
    }
}

macro_rules! text_columns {
    ($($type:ty),*) => { $(
        impl Column for $type {
            fn read(row: &Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
                row.text(at, |text| text.parse().ok())
            }
        }
    )* };
}
text_columns!(TaskState, UserName, WorkerId, AccessRole);

/// JSON, of which there is one text for each value.
impl Column for Requirements {
    fn read(row: &Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        row.text(at, |text| serde_json::from_str(text).ok())
    }
}

impl Column for Vec<u8> {
    fn read(row: &Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        row.bytes(at, |bytes| Some(bytes.to_vec()))
    }
}

impl<const N: usize> Column for [u8; N] {
    fn read(row: &Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        row.bytes(at, |bytes| bytes.try_into().ok())
    }
}

impl Column for TaskId {
    fn read(row: &Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        Ok(Column::read(row, at)?.map(Self::from_bytes))
    }
}

impl Column for SessionId {
    fn read(row: &Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        Ok(Column::read(row, at)?.map(Self::from_bytes))
    }
}

impl Column for Sha256Digest {
    fn read(row: &Row<'_>, at: usize) -> Result<Option<Self>, StoreError> {
        Ok(Column::read(row, at)?.map(Self::from_bytes))
    }
}
