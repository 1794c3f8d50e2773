//! The conformance suite: everything a store must do, said through its public methods alone, on SQLite and on PostgreSQL.

mod files;
pub(crate) mod harness;
mod lingering;
#[expect(clippy::duplicate_mod, reason = "one suite, two databases")]
#[path = "tests/suite/mod.rs"]
mod on_postgres;
#[path = "tests/suite/mod.rs"]
mod on_sqlite;
mod servers;
