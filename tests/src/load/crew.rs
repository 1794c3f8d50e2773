//! Many simulated workers in this process.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use channel::pool_ca_from_pem;
use client::Gateway;
use protocol::WorkerId;
use protocol::lease::OperationId;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::clock::now;
use super::gateway::LoadedGateway;
use super::say;
use super::worker::{Counts, Enrolled, Shared, Worker};

/// Requests under way at once while workers are enrolled.
const ENROLMENTS: usize = 128;
/// Workers come and go within this, all of them.
const COMING_LIMIT: Duration = Duration::from_mins(3);
const POLL: Duration = Duration::from_millis(5);
const PROGRESS: Duration = Duration::from_secs(2);

/// Workers that live until they are told to stop.
pub(super) struct Crew {
    shared: Arc<Shared>,
    workers: JoinSet<()>,
    count: u64,
}

/// Enrols so many workers, over the API.
pub(super) async fn enrol(gateway: &LoadedGateway, count: u32) -> Result<Vec<Enrolled>> {
    let operator = gateway.fleet.operator()?;
    let mut enrolled = Vec::new();
    let mut enrolling = JoinSet::new();
    for number in 0..count {
        if enrolling.len() >= ENROLMENTS {
            enrolled.extend(enrolling.join_next().await.transpose()?.transpose()?);
        }
        let id = format!("worker-{number}").parse()?;
        enrolling.spawn(enrol_one(operator.clone(), id));
    }
    for worker in enrolling.join_all().await {
        enrolled.push(worker?);
    }
    Ok(enrolled)
}

async fn enrol_one(operator: Gateway, id: WorkerId) -> Result<Enrolled> {
    let created = operator.create_worker(&id).await?;
    let secret = hex::decode(&created.enrolment_secret).context("a secret is hexadecimal")?;
    Ok(Enrolled { id, secret })
}

impl Crew {
    /// Starts the workers; they connect at once.
    pub(super) fn start(
        gateway: &LoadedGateway,
        enrolled: &[Enrolled],
        tasks_max: u16,
        window: Arc<Semaphore>,
    ) -> Result<Self> {
        let platform = Arc::clone(gateway.fleet.platform());
        let shared = Arc::new(Shared {
            gateway: gateway.fleet.listening().worker,
            pool_ca: pool_ca_from_pem(&gateway.fleet.pool_ca()?)?,
            td: platform.td(),
            platform,
            operations: Arc::new([OperationId {
                name: "sha256_batch".to_owned(),
                version: 1,
            }]),
            tasks_max,
            window,
            counts: Counts::default(),
            stop: CancellationToken::new(),
        });
        let mut workers = JoinSet::new();
        for (number, enrolled) in (0..).zip(enrolled) {
            let worker = Worker::new(Arc::clone(&shared), enrolled.clone(), number)?;
            workers.spawn(Arc::new(worker).live());
        }
        Ok(Self {
            shared,
            workers,
            count: u64::try_from(enrolled.len())?,
        })
    }

    pub(super) fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// Waits until so many workers have a session; answers how long that took.
    pub(super) async fn wait_admitted(&self, wanted: u64) -> Result<Duration> {
        let (start, mut told) = (now(), now());
        loop {
            let admitted = self.counts().admitted.load(Ordering::Relaxed);
            if admitted == wanted {
                return Ok(start.elapsed());
            }
            if told.elapsed() >= PROGRESS {
                told = now();
                say(&format!(
                    "{admitted} of {} workers have a session",
                    self.count
                ));
            }
            if start.elapsed() >= COMING_LIMIT {
                bail!("{admitted} workers have a session after {COMING_LIMIT:?}, not {wanted}");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Waits until all have a session.
    pub(super) async fn wait_all(&self) -> Result<Duration> {
        self.wait_admitted(self.count).await
    }

    /// Ends every session.
    pub(super) async fn stop(mut self) {
        self.shared.stop.cancel();
        while self.workers.join_next().await.is_some() {}
    }
}
