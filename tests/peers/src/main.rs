//! `cargo ci peers`: the same work through what a team would use instead of the gateway, each server with its durable settings
//! and mutual TLS, on this machine, one after another in one run. What a server is installed as is up to the machine: one that
//! is not there is skipped, in words.

mod awaited;
mod certificates;
mod gateway;
mod nats;
mod postgres;
mod rabbitmq;
mod redis_streams;
mod server;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use tikv_jemallocator::Jemalloc;

use certificates::Certificates;
use work::{Plan, Row, Skipped};

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// The same work through the gateway, RabbitMQ, Redis Streams, NATS JetStream and a PostgreSQL table. Installs nothing.
#[derive(Debug, Parser)]
#[command(name = "cargo ci peers", bin_name = "cargo ci peers")]
struct Arguments {
    #[command(flatten)]
    plan: Plan,
    /// The load generator, for the gateway's line.
    #[arg(long, value_name = "FILE")]
    load: PathBuf,
    /// Only these, by a part of their names.
    #[arg(long)]
    only: Option<String>,
    /// Where the servers' files go while they run.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// The program of NATS, where it is not on the path.
    #[arg(long, value_name = "FILE", default_value = "nats-server")]
    nats_server: PathBuf,
    /// Print the figures as one JSON array.
    #[arg(long)]
    json: bool,
}

/// What one peer came to: figures, or why there are none.
enum Came {
    Through(Row),
    Not(&'static str, String),
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // For clients that bring no provider; an error says that there is one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(&arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("cocoon-peers-")
        .tempdir_in(&arguments.folder)
        .context("no folder for the servers")?;
    let certificates = Certificates::make(&folder.path().join("tls"))?;
    let mut rows = Vec::new();
    for name in ["gateway", "PostgreSQL", "RabbitMQ", "Redis", "NATS"] {
        if arguments
            .only
            .as_deref()
            .is_some_and(|only| !name.to_lowercase().contains(&only.to_lowercase()))
        {
            continue;
        }
        eprintln!("• {name}");
        let own = folder.path().join(name);
        std::fs::create_dir(&own).context("no folder for a server")?;
        let ran = match name {
            "gateway" => gateway::run(&arguments.plan, &arguments.load, &own).await,
            "PostgreSQL" => postgres::run(&arguments.plan, &certificates, &own).await,
            "RabbitMQ" => rabbitmq::run(&arguments.plan, &certificates, &own).await,
            "Redis" => redis_streams::run(&arguments.plan, &certificates, &own).await,
            _ => nats::run(&arguments.plan, &certificates, &own, &arguments.nats_server).await,
        };
        rows.push(match ran {
            Ok(row) => Came::Through(row),
            Err(error) if error.is::<Skipped>() => Came::Not(name, format!("skipped: {error}")),
            Err(error) => Came::Not(name, format!("failed: {error:#}")),
        });
    }
    print(&rows, arguments.json)
}

fn print(rows: &[Came], json: bool) -> Result<()> {
    if json {
        let rows: Vec<_> = rows.iter().map(Came::json).collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    let mut table = Table::new();
    table
        .load_style(presets::ASCII_MARKDOWN)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header([
            "through",
            "tasks/s",
            "server CPU, µs a task",
            "client CPU, µs a task",
            "p50, ms",
            "p99, ms",
            "flushes a task",
            "how",
        ]);
    for row in rows {
        let cells = row.cells();
        let numbers = cells[1..7]
            .iter()
            .map(|text| Cell::new(text).set_alignment(CellAlignment::Right));
        let name = std::iter::once(Cell::new(&cells[0]));
        table.add_row(name.chain(numbers).chain([Cell::new(&cells[7])]));
    }
    println!("{table}");
    Ok(())
}

impl Came {
    fn json(&self) -> serde_json::Value {
        match self {
            Self::Through(row) => serde_json::json!({
                "through": row.name,
                "tasks_per_second": row.per_second,
                "server_cpu_us_per_task": row.server_cpu_us,
                "client_cpu_us_per_task": row.client_cpu_us,
                "p50_ms": row.latency.map(|latency| latency.p50_ms),
                "p99_ms": row.latency.map(|latency| latency.p99_ms),
                "flushes_per_task": row.flushes,
                "how": row.how,
            }),
            Self::Not(name, why) => serde_json::json!({ "through": name, "why_not": why }),
        }
    }

    fn cells(&self) -> [String; 8] {
        let ms = |part: Option<f64>| part.map_or("not awaited".to_owned(), |ms| format!("{ms:.2}"));
        match self {
            Self::Through(row) => [
                row.name.clone(),
                format!("{:.0}", row.per_second),
                format!("{:.0}", row.server_cpu_us),
                format!("{:.0}", row.client_cpu_us),
                ms(row.latency.map(|latency| latency.p50_ms)),
                ms(row.latency.map(|latency| latency.p99_ms)),
                row.flushes
                    .map_or("not known".to_owned(), |flushes| format!("{flushes:.4}")),
                row.how.clone(),
            ],
            Self::Not(name, why) => {
                let mut cells = [const { String::new() }; 8];
                (*name).clone_into(&mut cells[0]);
                cells[7].clone_from(why);
                cells
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        super::Arguments::command().debug_assert();
    }
}
