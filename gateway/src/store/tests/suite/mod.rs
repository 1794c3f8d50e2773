//! Compiled once for each database; its own name says which one it is for.

mod acks;
mod ageing;
mod durability;
mod fairness;
mod leases;
mod life;
mod parked;
mod properties;
mod quota;
mod records;
mod requirements;
mod retention;
mod submissions;
mod upgrades;

use super::harness::{self, Kind, Pool};

fn kind() -> Kind {
    if module_path!().ends_with("::on_postgres") {
        Kind::Postgres
    } else {
        Kind::Sqlite
    }
}

async fn pool() -> Pool {
    Pool::on(kind()).await
}

/// Cases of a property: a server's connections take most of the time of one.
fn cases(on_sqlite: u32) -> u32 {
    match kind() {
        Kind::Sqlite => on_sqlite,
        Kind::Postgres => on_sqlite / 4,
    }
}
