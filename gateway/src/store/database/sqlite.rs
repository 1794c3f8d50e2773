//! SQLite: one file, one process that writes it.

mod checkpoints;
mod open;
#[cfg(test)]
mod tests;

use std::fs::File;

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::super::StoreError;
use super::bulk::{ChangeTexts, SOME, Texts};
use super::value::{Row, Value};
use checkpoints::Checkpoints;

pub(in super::super) use open::Sharing;
#[cfg(test)]
pub(super) use open::numbered;
pub(super) use open::{open, reader};

/// One connection, and for the writer's the lock that lives as long.
#[derive(Debug)]
pub(in super::super) struct Sqlite {
    /// Only of the gateway's own: an administrative command writes little.
    checkpoints: Option<Checkpoints>,
    connection: rusqlite::Connection,
    /// Held, not read: it goes after the connection.
    _lock: Option<File>,
}

impl Sqlite {
    pub(super) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.execute(rusqlite::params_from_iter(values))?)
    }

    /// Answers the key of the row.
    pub(super) fn insert(&self, sql: &str, values: &[Value<'_>]) -> Result<i64, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.insert(rusqlite::params_from_iter(values))?)
    }

    pub(super) fn query<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        collect(statement.query(rusqlite::params_from_iter(values))?, read)
    }

    pub(super) fn execute_many<const N: usize>(
        &self,
        sql: &str,
        rows: &[[Value<'_>; N]],
    ) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        for values in rows {
            statement.execute(rusqlite::params_from_iter(values))?;
        }
        Ok(())
    }

    pub(super) fn insert_many<const N: usize>(
        &self,
        texts: &Texts,
        rows: &[[Value<'_>; N]],
    ) -> Result<(), StoreError> {
        let (some, single) = rows.as_chunks::<SOME>();
        if !some.is_empty() {
            let mut statement = self.connection.prepare_cached(&texts.some)?;
            for rows in some {
                statement.execute(rusqlite::params_from_iter(rows.iter().flatten()))?;
            }
        }
        self.execute_many(&texts.one, single)
    }

    pub(super) fn change_many(
        &self,
        texts: &ChangeTexts,
        values: &[Value<'_>],
        keys: &[i64],
    ) -> Result<(), StoreError> {
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        let mut scattered = Vec::new();
        for run in keys.chunk_by(|key, next| key.checked_add(1) == Some(*next)) {
            match run {
                [first, .., last] if run.len() >= SOME => {
                    self.change(&texts.run, values, &[*first, *last])?;
                }
                few => scattered.extend_from_slice(few),
            }
        }
        let (some, single) = scattered.as_chunks::<SOME>();
        for keys in some {
            self.change(&texts.some, values, keys)?;
        }
        for key in single {
            self.change(&texts.one, values, std::slice::from_ref(key))?;
        }
        Ok(())
    }

    fn change(&self, sql: &str, values: &[Value<'_>], keys: &[i64]) -> Result<(), StoreError> {
        let keys = keys.iter().map(|key| Value::Integer(*key));
        let all: Vec<_> = values.iter().copied().chain(keys).collect();
        self.execute(sql, &all)?;
        Ok(())
    }

    pub(super) fn query_many<T, const N: usize>(
        &self,
        sql: &str,
        rows: &[[Value<'_>; N]],
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<Vec<T>>, StoreError> {
        self.answers(sql, rows, |found| collect(found, &mut read))
    }

    pub(super) fn first_many<T, const N: usize>(
        &self,
        sql: &str,
        rows: &[[Value<'_>; N]],
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<Option<T>>, StoreError> {
        self.answers(sql, rows, |mut found| {
            let first = found.next()?.map(|row| read(&Row::Sqlite(row)));
            first.transpose()
        })
    }

    /// What is made of the answer to each row of arguments.
    fn answers<T, const N: usize>(
        &self,
        sql: &str,
        rows: &[[Value<'_>; N]],
        mut answer: impl FnMut(rusqlite::Rows<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut answers = Vec::with_capacity(rows.len());
        for values in rows {
            answers.push(answer(
                statement.query(rusqlite::params_from_iter(values))?,
            )?);
        }
        Ok(answers)
    }

    pub(super) fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    pub(super) fn keep_log_short(&self) {
        if let Some(checkpoints) = &self.checkpoints {
            checkpoints.between_transactions(&self.connection);
        }
    }

    /// Statistics for the query planner; where they cannot be had, it does without.
    pub(super) fn optimize(&self) {
        if let Err(error) = self.connection.execute_batch("PRAGMA optimize") {
            tracing::debug!(%error, "the query planner's statistics were not updated");
        }
    }

    pub(super) fn is_autocommit(&self) -> bool {
        self.connection.is_autocommit()
    }

    pub(super) fn total_changes(&self) -> u64 {
        self.connection.total_changes()
    }
}

fn collect<T>(
    mut rows: rusqlite::Rows<'_>,
    mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut answer = Vec::new();
    while let Some(row) = rows.next()? {
        answer.push(read(&Row::Sqlite(row))?);
    }
    Ok(answer)
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(value) => ValueRef::Integer(*value),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::Id(id) => ValueRef::Blob(id),
        }))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::DiskFull,
            _ => Self::Database(std::sync::Arc::new(error)),
        }
    }
}
