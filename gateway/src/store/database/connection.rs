//! One connection, whichever database it leads to. Statements are written once, for both, with `?1` for the first argument.

use std::fmt;

use super::super::StoreError;
use super::super::notice::Notice;
use super::bulk::{Change, Insert};
use super::postgres::Postgres;
use super::sqlite::Sqlite;
use super::value::{Column, Row, Value};

/// A connection, for one thread at a time.
#[derive(Debug)]
pub(in super::super) enum Connection {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// A statement that runs for each of many rows of arguments. SQLite runs it once for each; PostgreSQL would wait for an answer
/// each time, so it is given all of them at once.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Many {
    pub(in super::super) each: &'static str,
    /// `?1` is an array of all first arguments, and so on. What is to be read begins with the position of its arguments,
    /// from 1.
    pub(in super::super) all: &'static str,
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// One consistent state of the database.
    Read,
    /// Alone: one transaction writes at a time, in this process and any other.
    Write,
}

impl Connection {
    /// How many rows it changed.
    pub(in super::super) fn execute(
        &self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<usize, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.execute(sql, values),
            Self::Postgres(postgres) => postgres.execute(sql, values),
        }
    }

    /// Every row of the answer.
    pub(in super::super) fn query<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.query(sql, values, read),
            Self::Postgres(postgres) => postgres.query(sql, values, read),
        }
    }

    /// The first row of the answer, if there is one.
    pub(in super::super) fn first<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        Ok(self.query(sql, values, read)?.into_iter().next())
    }

    /// The first column of the one row of the answer.
    pub(in super::super) fn get<T: Column>(
        &self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<T, StoreError> {
        let missing = StoreError::Unreadable { what: "no answer" };
        self.first(sql, values, |row| row.get(0))?.ok_or(missing)
    }

    /// Inserts a row whose key the database gives out, `number`, and answers it.
    pub(in super::super) fn insert(
        &self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<i64, StoreError> {
        match self {
            // RETURNING would make a table for its one row.
            Self::Sqlite(sqlite) => sqlite.insert(sql, values),
            Self::Postgres(_) => self.get(&format!("{sql} RETURNING number"), values),
        }
    }

    /// Whether there is a row.
    pub(in super::super) fn exists(
        &self,
        sql: &str,
        values: &[Value<'_>],
    ) -> Result<bool, StoreError> {
        Ok(self.first(sql, values, |_| Ok(()))?.is_some())
    }

    /// Runs it for each row of arguments.
    pub(in super::super) fn execute_many<const N: usize>(
        &self,
        statement: &Many,
        rows: &[[Value<'_>; N]],
    ) -> Result<(), StoreError> {
        match (self, rows) {
            (_, []) => Ok(()),
            (Self::Sqlite(sqlite), rows) => sqlite.execute_many(statement.each, rows),
            (Self::Postgres(postgres), rows) => postgres.execute_many(statement.all, rows),
        }
    }

    pub(in super::super) fn insert_many<const N: usize>(
        &self,
        insert: &Insert,
        rows: &[[Value<'_>; N]],
    ) -> Result<(), StoreError> {
        match (self, rows) {
            (_, []) => Ok(()),
            (Self::Sqlite(sqlite), rows) => sqlite.insert_many(insert.texts(), rows),
            (Self::Postgres(postgres), rows) => postgres.execute_many(&insert.texts().all, rows),
        }
    }

    /// Changes the rows with these keys.
    pub(in super::super) fn change_many(
        &self,
        change: &Change,
        values: &[Value<'_>],
        keys: &[i64],
    ) -> Result<(), StoreError> {
        match (self, keys) {
            (_, []) => Ok(()),
            (Self::Sqlite(sqlite), keys) => sqlite.change_many(change.texts(), values, keys),
            (Self::Postgres(postgres), keys) => {
                postgres.change_many(&change.texts().all, values, keys)
            }
        }
    }

    /// What it answers for each row of arguments, in their order.
    pub(in super::super) fn query_many<T, const N: usize>(
        &self,
        statement: &Many,
        rows: &[[Value<'_>; N]],
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<Vec<T>>, StoreError> {
        match (self, rows) {
            (_, []) => Ok(Vec::new()),
            (Self::Sqlite(sqlite), rows) => sqlite.query_many(statement.each, rows, read),
            (Self::Postgres(postgres), rows) => postgres.query_many(statement.all, rows, read),
        }
    }

    /// The first row that it answers for each row of arguments, if there is one.
    pub(in super::super) fn first_many<T, const N: usize>(
        &self,
        statement: &Many,
        rows: &[[Value<'_>; N]],
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<Option<T>>, StoreError> {
        match (self, rows) {
            (_, []) => Ok(Vec::new()),
            (Self::Sqlite(sqlite), rows) => sqlite.first_many(statement.each, rows, read),
            (Self::Postgres(postgres), rows) => {
                let found = postgres.query_many(statement.all, rows, read)?;
                let first = |found: Vec<T>| found.into_iter().next();
                Ok(found.into_iter().map(first).collect())
            }
        }
    }

    /// Begins a transaction; a connection that was lost while it was idle is made again.
    pub(super) fn begin(&mut self, access: Access) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.run(match access {
                Access::Read => "BEGIN",
                Access::Write => "BEGIN IMMEDIATE",
            }),
            Self::Postgres(postgres) => postgres.begin(access),
        }
    }

    /// Tells other gateways what the transaction does, once it is committed: the number of the commit, where they count.
    pub(super) fn tell(&self, notice: &Notice) -> Result<Option<u64>, StoreError> {
        match self {
            Self::Sqlite(_) => Ok(None),
            Self::Postgres(postgres) => postgres.tell(notice),
        }
    }

    pub(super) fn commit(&self) -> Result<(), StoreError> {
        self.run("COMMIT")
    }

    /// Between two transactions: a checkpoint, where one is due.
    pub(super) fn keep_log_short(&self) {
        if let Self::Sqlite(sqlite) = self {
            sqlite.keep_log_short();
        }
    }

    /// Leaves nothing of the transaction.
    pub(super) fn roll_back(&self) {
        if self.is_broken() {
            return;
        }
        if let Err(error) = self.run("ROLLBACK") {
            tracing::error!(error = %Chain(&error), "a transaction could not be rolled back");
        }
    }

    /// Runs a part of a transaction that is undone alone when it fails.
    pub(super) fn apart<T>(
        &self,
        part: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<Result<T, StoreError>, StoreError> {
        self.run("SAVEPOINT operation")?;
        let outcome = part();
        match &outcome {
            Ok(_) => {}
            // A full disk and its like make SQLite roll back everything, and a lost connection does: all has failed.
            Err(error) if self.is_broken() => return Err(error.clone()),
            Err(_) => self.run("ROLLBACK TO SAVEPOINT operation")?,
        }
        self.run("RELEASE SAVEPOINT operation")?;
        Ok(outcome)
    }

    /// Whether there is no transaction any more, though one was begun.
    fn is_broken(&self) -> bool {
        match self {
            Self::Sqlite(sqlite) => sqlite.is_autocommit(),
            Self::Postgres(postgres) => postgres.is_closed(),
        }
    }

    fn run(&self, sql: &str) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(sqlite) => sqlite.run(sql),
            Self::Postgres(postgres) => postgres.run(sql),
        }
    }

    /// Changes since the connection was made, to tell whether a transaction wrote.
    pub(super) fn total_changes(&self) -> u64 {
        match self {
            Self::Sqlite(sqlite) => sqlite.total_changes(),
            Self::Postgres(postgres) => postgres.total_changes(),
        }
    }
}

/// An error with its sources, for the log.
pub(super) struct Chain<'e>(pub(super) &'e dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(formatter, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
