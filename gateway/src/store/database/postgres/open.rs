//! Opening a database on a server: its version, its schema.

use std::sync::Arc;

use super::super::super::{OpenError, StoreError};
use super::super::connection::Access;
use super::super::schema::{self, POSTGRES};
use super::{Postgres, Server};

/// The first whose settings and statements are known to be all there.
const SERVER_VERSION_MIN: i64 = 150_000;

/// One row: which migrations the database has seen, and how many transactions have changed the queue since.
const STATE: &str = "
    CREATE TABLE gateway_state (
        is_only        BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (is_only),
        schema_version BIGINT  NOT NULL,
        commits        BIGINT  NOT NULL
    );
    INSERT INTO gateway_state (schema_version, commits) VALUES (0, 0);";

/// Whether another gateway is at work on the schema: each holds this lock, shared, as long as it listens.
const RUNNING: &str =
    "SELECT pg_try_advisory_xact_lock(x'63636e53'::int, hashtext(current_schema()))";
pub(super) const TAKE_RUNNING: &str =
    "SELECT pg_advisory_lock_shared(x'63636e53'::int, hashtext(current_schema()))";

/// A schema, and how many migrations it has seen.
#[cfg(test)]
pub(in super::super) fn numbered(schema: &str, seen: usize) -> String {
    format!("{STATE} UPDATE gateway_state SET schema_version = {seen}; {schema}")
}

/// Connects, and brings the schema up to this gateway's.
pub(in super::super) fn open(server: &Arc<Server>) -> Result<Postgres, OpenError> {
    let mut postgres = Postgres::connect(server).map_err(OpenError::Store)?;
    refuse_old_server(&postgres, server)?;
    postgres.begin(Access::Write).map_err(OpenError::Store)?;
    migrate(&postgres, server)?;
    postgres.run("COMMIT").map_err(OpenError::Store)?;
    Ok(postgres)
}

/// A connection that reads.
pub(in super::super) fn reader(server: &Arc<Server>) -> Result<Postgres, OpenError> {
    Postgres::connect(server).map_err(OpenError::Store)
}

fn one(postgres: &Postgres, sql: &str) -> Result<i64, OpenError> {
    let read = postgres.query(sql, &[], |row| row.get(0));
    let missing = OpenError::Store(StoreError::Unreadable { what: "no answer" });
    let found = read.map_err(OpenError::Store)?;
    found.first().copied().ok_or(missing)
}

fn refuse_old_server(postgres: &Postgres, server: &Server) -> Result<(), OpenError> {
    let found = one(
        postgres,
        "SELECT current_setting('server_version_num')::bigint",
    )?;
    if found < SERVER_VERSION_MIN {
        return Err(OpenError::OldServer {
            server: server.to_string(),
            found: found.checked_div(10_000).unwrap_or_default(),
            known: SERVER_VERSION_MIN.checked_div(10_000).unwrap_or_default(),
        });
    }
    Ok(())
}

fn migrate(postgres: &Postgres, server: &Server) -> Result<(), OpenError> {
    let has = |table| {
        let sql = format!("SELECT to_regclass('{table}') IS NOT NULL");
        one(postgres, &sql).map(|found| found != 0)
    };
    let run = |sql: &str| postgres.run(sql).map_err(OpenError::Store);
    if !has("gateway_state")? {
        if has("tasks")? || has("workers")? {
            return Err(OpenError::Foreign {
                database: server.to_string(),
            });
        }
        run(STATE)?;
    }
    let found = one(postgres, "SELECT schema_version FROM gateway_state")?;
    let seen = usize::try_from(found).ok();
    match seen.filter(|seen| *seen <= schema::VERSION) {
        None => {
            return Err(OpenError::Newer {
                database: server.to_string(),
                found,
                known: i64::try_from(schema::VERSION).unwrap_or(i64::MAX),
            });
        }
        Some(schema::VERSION) => return Ok(()),
        Some(seen) if one(postgres, RUNNING)? == 0 => {
            return Err(OpenError::Older {
                database: server.to_string(),
                found: seen,
                known: schema::VERSION,
            });
        }
        Some(seen) => {
            for migration in schema::migrations(POSTGRES, seen) {
                run(&migration)?;
            }
        }
    }
    run(&format!(
        "UPDATE gateway_state SET schema_version = {}",
        schema::VERSION
    ))
}
