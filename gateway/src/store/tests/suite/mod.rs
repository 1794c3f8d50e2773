//! Compiled once for each database; its own name says which one it is for.

mod acks;
mod ageing;
mod durability;
mod fairness;
mod leases;
mod life;
mod properties;
mod records;
mod retention;
mod submissions;

use super::harness::{self, Kind, Pool};

async fn pool() -> Pool {
    let kind = if module_path!().ends_with("::on_postgres") {
        Kind::Postgres
    } else {
        Kind::Sqlite
    };
    Pool::on(kind).await
}
