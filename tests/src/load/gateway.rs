//! The gateway under load: a process of its own, in a folder that goes with it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use client::Gateway;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use super::clock::now;
use super::metrics::StoreCounts;
use super::postgres::Postgres;
use super::{Common, say};
use crate::fleet::{Fleet, FleetOptions, cpu_time};

/// Descriptors beside those of workers: connections of clients, database, logs, blobs.
const DESCRIPTORS_MORE: u64 = 512;
/// No run of this generator has more of one user's tasks waiting.
const QUEUED_MAX: u32 = 100_000_000;

/// A running gateway without workers.
#[derive(Debug)]
pub(super) struct LoadedGateway {
    pub(super) fleet: Fleet,
    postgres: Option<Postgres>,
    // Removed after the gateway has ended, since it is dropped after it.
    _folder: TempDir,
}

impl LoadedGateway {
    pub(super) async fn start(common: &Common, workers: u32) -> Result<Self> {
        raise_descriptors(u64::from(workers) + DESCRIPTORS_MORE)?;
        let folder = tempfile::Builder::new()
            .prefix("cocoon-load-")
            .tempdir_in(&common.folder);
        let shown = common.folder.display();
        let folder = folder.with_context(|| format!("cannot make a folder in {shown}"))?;
        let mut options = FleetOptions::in_folder(&folder.path().join("pool"));
        options.queued_per_user_max = QUEUED_MAX;
        // One user stands here for as many as would submit so much.
        options.requests_per_user_per_s = gateway::config::REQUESTS_PER_USER_MAX;
        let postgres = if common.postgres {
            Some(Postgres::start(&common.folder)?)
        } else {
            None
        };
        options.database = postgres.as_ref().map(|server| server.address.clone());
        say(&format!("a gateway starts in {}", folder.path().display()));
        Ok(Self {
            fleet: Fleet::start(options).await?,
            postgres,
            _folder: folder,
        })
    }

    pub(super) fn folder(&self) -> std::path::PathBuf {
        self.fleet.path("")
    }

    pub(super) fn process_id(&mut self) -> u32 {
        self.fleet.gateway().process_id()
    }

    /// CPU times and counters of this moment.
    pub(super) async fn usage(&mut self) -> Result<Usage> {
        Ok(Usage {
            gateway: cpu_time(self.process_id())?,
            database: match &self.postgres {
                Some(server) => Some(cpu_time(server.process_id()?)?),
                None => None,
            },
            generator: cpu_time_of_this_process()?,
            store: StoreCounts::read(self.fleet.listening().metrics).await?,
        })
    }

    /// Ends the gateway in order or, `killed`, by SIGKILL, and starts it again. Answers how long it took to stop, and from its
    /// start until its API answered.
    pub(super) async fn restart(&mut self, killed: bool) -> Result<(Duration, Duration)> {
        let stopping = now();
        if killed {
            self.fleet.kill_gateway()?;
        } else {
            let status = self.fleet.gateway().stop().await?;
            if !status.success() {
                let log = self.fleet.gateway().log_end();
                bail!("the gateway ended with {status}:\n{log}");
            }
        }
        let stopped = stopping.elapsed();
        let starting = now();
        self.fleet.restart_gateway().await?;
        self.fleet.operator()?.status().await?;
        Ok((stopped, starting.elapsed()))
    }

    /// For an error's text.
    pub(super) fn log_end(&mut self) -> String {
        format!(
            "the gateway's log ends with\n{}",
            self.fleet.gateway().log_end()
        )
    }

    /// A client with a connection of its own.
    pub(super) fn client(&self) -> Result<Gateway> {
        self.fleet.client()
    }

    pub(super) async fn stop(self) -> Result<()> {
        self.fleet.stop().await
    }
}

/// What both processes have used up to a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usage {
    pub(super) gateway: Duration,
    /// Of its server, if it has one.
    pub(super) database: Option<Duration>,
    pub(super) generator: Duration,
    pub(super) store: StoreCounts,
}

impl Usage {
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            gateway: self.gateway.saturating_sub(before.gateway),
            database: self
                .database
                .zip(before.database)
                .map(|(now, before)| now.saturating_sub(before)),
            generator: self.generator.saturating_sub(before.generator),
            store: self.store.since(before.store),
        }
    }
}

/// Without its child, the gateway.
fn cpu_time_of_this_process() -> Result<Duration> {
    let usage = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    usage.try_into().context("a CPU time below zero")
}

/// For this process and, since it inherits them, for the gateway.
fn raise_descriptors(wanted: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    let raised = Rlimit {
        current: Some(wanted),
        maximum,
    };
    setrlimit(Resource::Nofile, raised).with_context(|| {
        let now = limit.maximum.unwrap_or(wanted);
        format!("{wanted} open files are needed and {now} allowed: raise it (`ulimit -n {wanted}`) or ask for less")
    })
}
