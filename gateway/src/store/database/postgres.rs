//! PostgreSQL 15 or later: a server that several gateways share.
//!
//! Each connection has a small runtime of its own and waits for every answer, so what is written for SQLite's threads runs here
//! too. What would wait once for each of many rows is sent as arrays instead ([`super::connection::Many`]).

mod address;
mod listener;
mod open;
mod tell;

use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Statement};

use super::super::StoreError;
use super::connection::{Access, Chain};
use super::value::{Row, Value};

pub use address::{AddressError, Server};
pub(super) use listener::Listener;
#[cfg(test)]
pub(super) use open::numbered;
pub(super) use open::{open, reader};

/// `ccnG`: names the lock under which gateways write, beside the schema that they write to.
const LOCK: &str = "SELECT pg_advisory_xact_lock(x'63636e47'::int, hashtext(current_schema()))";

/// One connection.
pub(in super::super) struct Postgres {
    server: Arc<Server>,
    runtime: Own,
    client: Client,
    /// By the text that both databases share.
    statements: RefCell<HashMap<String, Statement>>,
    changes: RefCell<u64>,
}

impl fmt::Debug for Postgres {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Postgres")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl Postgres {
    /// Connects, and sets what a gateway relies on.
    pub(super) fn connect(server: &Arc<Server>) -> Result<Self, StoreError> {
        let failed = |error| StoreError::Database(Arc::new(error));
        let runtime = Own::start().map_err(failed)?;
        let client = runtime.block_on(server.connect())?;
        Ok(Self {
            server: Arc::clone(server),
            runtime,
            client,
            statements: RefCell::default(),
            changes: RefCell::default(),
        })
    }

    pub(super) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<usize, StoreError> {
        let statement = self.statement(sql)?;
        let changed = self
            .runtime
            .block_on(self.client.execute_raw(&statement, values))?;
        self.changed(changed);
        Ok(usize::try_from(changed).unwrap_or(usize::MAX))
    }

    pub(super) fn query<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let statement = self.statement(sql)?;
        let values = arguments(values);
        let rows = self
            .runtime
            .block_on(self.client.query(&statement, &values))?;
        self.changed_by(sql, rows.len());
        rows.iter()
            .map(|row| read(&Row::Postgres { row, skipped: 0 }))
            .collect()
    }

    pub(super) fn execute_many<const N: usize>(
        &self,
        sql: &str,
        rows: &[[Value<'_>; N]],
    ) -> Result<(), StoreError> {
        let statement = self.statement(sql)?;
        let columns: Vec<Array<'_, '_, N>> = (0..N).map(|at| Array { rows, at }).collect();
        let changed = self
            .runtime
            .block_on(self.client.execute_raw(&statement, &columns))?;
        self.changed(changed);
        Ok(())
    }

    pub(super) fn change_many(
        &self,
        sql: &str,
        values: &[Value<'_>],
        keys: &[i64],
    ) -> Result<(), StoreError> {
        let statement = self.statement(sql)?;
        let mut arguments = arguments(values);
        arguments.push(&keys);
        let changed = self
            .runtime
            .block_on(self.client.execute(&statement, &arguments))?;
        self.changed(changed);
        Ok(())
    }

    pub(super) fn query_many<T, const N: usize>(
        &self,
        sql: &str,
        rows: &[[Value<'_>; N]],
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<Vec<T>>, StoreError> {
        let statement = self.statement(sql)?;
        let columns: Vec<Array<'_, '_, N>> = (0..N).map(|at| Array { rows, at }).collect();
        let columns = arguments(&columns);
        let found = self
            .runtime
            .block_on(self.client.query(&statement, &columns))?;
        self.changed_by(sql, found.len());
        let mut answers: Vec<Vec<T>> = rows.iter().map(|_| Vec::new()).collect();
        for row in &found {
            let position = usize::try_from(row.try_get::<_, i64>(0)?).unwrap_or(usize::MAX);
            let of = position.checked_sub(1).and_then(|at| answers.get_mut(at));
            let of = of.ok_or(StoreError::Unreadable { what: "an answer" })?;
            of.push(read(&Row::Postgres { row, skipped: 1 })?);
        }
        Ok(answers)
    }

    pub(super) fn run(&self, sql: &str) -> Result<(), StoreError> {
        self.runtime.block_on(self.client.batch_execute(sql))
    }

    pub(super) fn begin(&mut self, access: Access) -> Result<(), StoreError> {
        let sql = match access {
            Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".to_owned(),
            // Each statement sees what was committed before it, and the lock comes before all of them.
            Access::Write => format!("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {LOCK}"),
        };
        let Err(error) = self.begin_by(&sql) else {
            return Ok(());
        };
        if !self.is_closed() {
            return Err(error);
        }
        // Nothing was begun, so nothing is lost: the server was restarted, say.
        *self = Self::connect(&self.server)?;
        self.begin_by(&sql)
    }

    /// A transaction whose lock was not to be had is begun all the same, and stands in the way of every later one. To end it also
    /// tells whether the connection is still there.
    fn begin_by(&self, sql: &str) -> Result<(), StoreError> {
        self.run(sql).inspect_err(|_| {
            if let Err(error) = self.run("ROLLBACK") {
                tracing::debug!(error = %Chain(&error), "a connection to the database is lost");
            }
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    pub(super) fn total_changes(&self) -> u64 {
        *self.changes.borrow()
    }

    fn changed(&self, rows: u64) {
        let mut changes = self.changes.borrow_mut();
        *changes = changes.saturating_add(rows);
    }

    /// A statement that answers with what it changed.
    fn changed_by(&self, sql: &str, rows: usize) {
        if sql.contains("RETURNING") {
            self.changed(u64::try_from(rows).unwrap_or(u64::MAX));
        }
    }

    fn statement(&self, sql: &str) -> Result<Statement, StoreError> {
        if let Some(statement) = self.statements.borrow().get(sql) {
            return Ok(statement.clone());
        }
        // No statement has a question mark of another meaning.
        let own = sql.replace('?', "$");
        let statement = self.runtime.block_on(self.client.prepare(&own))?;
        self.statements
            .borrow_mut()
            .insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

fn arguments<T: ToSql + Sync>(values: &[T]) -> Vec<&(dyn ToSql + Sync)> {
    let mut arguments: Vec<&(dyn ToSql + Sync)> = Vec::with_capacity(values.len());
    for value in values {
        arguments.push(value);
    }
    arguments
}

/// The runtime of one connection. It may end on any thread, without waiting.
struct Own(Option<Runtime>);

impl Own {
    fn start() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    fn block_on<T, E>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T, StoreError>
    where
        StoreError: From<E>,
    {
        let runtime = self.0.as_ref().ok_or(StoreError::Closed)?;
        Ok(runtime.block_on(work)?)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// A number of any width, or a truth value.
pub(super) fn integer(row: &tokio_postgres::Row, at: usize) -> Result<Option<i64>, StoreError> {
    let column = row.columns().get(at).map(tokio_postgres::Column::type_);
    Ok(match column {
        Some(&Type::BOOL) => row.try_get::<_, Option<bool>>(at)?.map(i64::from),
        Some(&Type::INT4) => row.try_get::<_, Option<i32>>(at)?.map(i64::from),
        _ => row.try_get(at)?,
    })
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        type_: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Integer(value) => value.to_sql(type_, out),
            Self::Text(text) => text.to_sql(type_, out),
            Self::Bytes(bytes) => bytes.to_sql(type_, out),
            Self::Id(id) => id.as_slice().to_sql(type_, out),
        }
    }

    /// Every column is one of the three; a statement that mixes them up fails in its first test.
    fn accepts(type_: &Type) -> bool {
        matches!(*type_, Type::INT8 | Type::TEXT | Type::BYTEA)
    }

    to_sql_checked!();
}

/// One argument of many rows.
#[derive(Debug)]
struct Array<'v, 'r, const N: usize> {
    rows: &'r [[Value<'v>; N]],
    at: usize,
}

impl<const N: usize> ToSql for Array<'_, '_, N> {
    fn to_sql(
        &self,
        type_: &Type,
        out: &mut bytes::BytesMut,
    ) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let column: Vec<Value<'_>> = self
            .rows
            .iter()
            .filter_map(|row| row.get(self.at).copied())
            .collect();
        column.to_sql(type_, out)
    }

    fn accepts(type_: &Type) -> bool {
        matches!(
            *type_,
            Type::INT8_ARRAY | Type::TEXT_ARRAY | Type::BYTEA_ARRAY
        )
    }

    to_sql_checked!();
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(&SqlState::DISK_FULL) => Self::DiskFull,
            _ => Self::Database(Arc::new(error)),
        }
    }
}
