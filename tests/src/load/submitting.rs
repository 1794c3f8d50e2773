//! The submitters: batches of tasks over HTTPS, each submitter with a connection of its own, and no more of them under way
//! than the window allows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, bail};
use client::Gateway;
use protocol::api::{BatchOutcome, InputSource, SubmitTask};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::gateway::LoadedGateway;

/// The input of one task.
const INPUT_BYTES: usize = 1_024;

/// How tasks are submitted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Submitting {
    pub(super) connections: u16,
    /// Tasks at a time.
    pub(super) batch: u32,
}

/// Tasks yet to be submitted, shared by the submitters.
#[derive(Debug)]
pub(super) struct Submission {
    left: AtomicU32,
    batch: u32,
    /// A permit for each task that may yet be under way; whoever sees a task finish gives one back.
    window: Arc<Semaphore>,
}

/// A digest of a kibibyte: the task itself costs next to nothing.
#[must_use]
pub fn task(number: u32) -> SubmitTask {
    let mut data = number.to_le_bytes().repeat(INPUT_BYTES / 4);
    data.truncate(INPUT_BYTES);
    SubmitTask {
        operation: "sha256_batch".to_owned(),
        version: None,
        parameters: serde_json::Map::new(),
        inputs: vec![InputSource::Inline { data }],
        priority: None,
        deadline_s: None,
        max_attempts: None,
        idempotency_key: None,
        requirements: protocol::requirements::Requirements::default(),
    }
}

/// Submits so many tasks over so many connections; returns when the gateway has confirmed all.
pub(super) async fn submit(
    gateway: &LoadedGateway,
    tasks: u32,
    by: Submitting,
    window: Arc<Semaphore>,
) -> Result<()> {
    let submission = Arc::new(Submission {
        left: AtomicU32::new(tasks),
        batch: by.batch,
        window,
    });
    let mut submitters = JoinSet::new();
    for _ in 0..by.connections {
        submitters.spawn(submitter(gateway.client()?, Arc::clone(&submission)));
    }
    while let Some(ended) = submitters.join_next().await {
        ended.context("a submitter failed")??;
    }
    Ok(())
}

async fn submitter(client: Gateway, submission: Arc<Submission>) -> Result<()> {
    while let Some(count) = submission.take() {
        let permits = submission.window.acquire_many(count).await?;
        permits.forget();
        let tasks: Vec<_> = (0..count).map(task).collect();
        for outcome in client.submit_batch(&tasks).await? {
            if let BatchOutcome::Problem(problem) = outcome {
                bail!("the gateway refused a task: {problem}");
            }
        }
    }
    Ok(())
}

impl Submission {
    /// The next batch's size.
    fn take(&self) -> Option<u32> {
        let batch = self.batch;
        let take = |left: u32| Some(left.saturating_sub(batch));
        let left = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .unwrap_or_default();
        Some(left.min(batch)).filter(|count| *count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_add_up() {
        let submission = Submission {
            left: AtomicU32::new(2_500),
            batch: 1_000,
            window: Arc::new(Semaphore::new(0)),
        };
        let batches: Vec<_> = std::iter::from_fn(|| submission.take()).collect();
        assert_eq!(batches, [1_000, 1_000, 500]);
    }

    #[test]
    fn a_task_has_a_kibibyte_of_input() {
        let InputSource::Inline { data } = &task(0x0102_0304).inputs[0] else {
            panic!("inline")
        };
        assert_eq!((data.len(), &data[..4]), (1_024, &[4, 3, 2, 1][..]));
    }
}
