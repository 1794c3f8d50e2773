//! Whether the pool keeps its word: each confirmed task by itself, and all of them together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use client::Gateway;
use client::gateway::{GatewayError, TaskFilter};
use protocol::TaskId;
use protocol::api::TaskView;
use protocol::task::TaskState;
use simulator::SimulatedPlatform;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::journal::{Cancellation, Confirmed, Journal};
use super::load::draw;
use super::report::Report;
use crate::devnet::proof::prove;
use crate::fleet::Fleet;

const CHECKERS: usize = 3;
/// Between two looks for something to check, and before a call is made again that failed.
const PAUSE: Duration = Duration::from_millis(200);
/// An outage of the API, with the processes it depends on killed and stopped again and again.
const OUTAGE_LIMIT: Duration = Duration::from_mins(2);
/// Between two looks through the whole pool, longer by as much for each of so many tasks.
const LOOK: Duration = Duration::from_secs(5);
const LOOK_TASKS: u32 = 2_000;
/// One page of the list of tasks.
const PAGE: u32 = 1_000;

/// What the parts of a run share.
#[derive(Clone)]
pub(super) struct Pool {
    pub(super) client: Gateway,
    operator: Gateway,
    platform: Arc<SimulatedPlatform>,
    pub(super) journal: Arc<Journal>,
    pub(super) report: Arc<Report>,
}

impl Pool {
    pub(super) fn of(fleet: &Fleet, journal: &Arc<Journal>, report: &Arc<Report>) -> Result<Self> {
        Ok(Self {
            client: fleet.client()?,
            operator: fleet.operator()?,
            platform: Arc::clone(fleet.platform()),
            journal: Arc::clone(journal),
            report: Arc::clone(report),
        })
    }

    /// Cancels a task, unless it has finished.
    pub(super) async fn cancel(&self, task: TaskId) -> Result<()> {
        self.journal.cancellation(task, Cancellation::Asked)?;
        match over_outages(async || self.client.cancel_task(task).await).await {
            Ok(_) => {
                self.report.cancelled();
                self.journal.cancellation(task, Cancellation::Confirmed)
            }
            Err(GatewayError::Refused { problem, .. }) if problem.status == 409 => Ok(()),
            Err(error) => Err(error).context("a cancellation was refused"),
        }
    }
}

/// Makes a call until it is answered.
async fn over_outages<T>(
    mut call: impl AsyncFnMut() -> Result<T, GatewayError>,
) -> Result<T, GatewayError> {
    let polls = OUTAGE_LIMIT.as_millis() / PAUSE.as_millis();
    for _ in 0..polls {
        match call().await {
            Err(error) if error.is_transient() => tokio::time::sleep(PAUSE).await,
            answered => return answered,
        }
    }
    call().await
}

/// Starts those who check each task, and one who looks through the whole pool.
pub(super) fn start(tasks: &mut JoinSet<Result<()>>, pool: &Pool, folder: &Path) -> Result<()> {
    std::fs::create_dir(folder).context("cannot make the folder of proofs")?;
    tasks.spawn_local(look_through(pool.clone()));
    for _ in 0..CHECKERS {
        tasks.spawn_local(check(pool.clone(), folder.to_owned()));
    }
    Ok(())
}

async fn look_through(pool: Pool) -> Result<()> {
    let mut next_at = Instant::now() + LOOK;
    while !pool.journal.is_done() {
        tokio::time::sleep(PAUSE).await;
        if Instant::now() >= next_at {
            whole_pool(&pool).await?;
            // An hour's tasks are many pages.
            let tasks = u32::try_from(pool.journal.tasks().len()).unwrap_or(u32::MAX);
            next_at = Instant::now() + LOOK.saturating_mul(1 + tasks / LOOK_TASKS);
        }
    }
    Ok(())
}

async fn check(pool: Pool, folder: PathBuf) -> Result<()> {
    while !pool.journal.is_done() {
        match pool.journal.next_unchecked() {
            Some(task) => check_one(&pool, task, &folder).await?,
            None => tokio::time::sleep(PAUSE).await,
        }
    }
    Ok(())
}

/// Waits until a task has finished, and holds what it left against what was asked for.
async fn check_one(pool: &Pool, task: TaskId, folder: &Path) -> Result<()> {
    let view = over_outages(async || pool.client.wait_task(task, |_| ()).await).await;
    let view = view.with_context(|| format!("{task} was confirmed and cannot be read"))?;
    // Only now: it may have been cancelled meanwhile.
    let confirmed = pool.journal.task(task)?;
    let work = draw(pool.journal.seed(), confirmed.number)?;
    ensure!(
        view.digest == work.task.digest(),
        "{task} is another task than the one submitted as number {}",
        confirmed.number
    );
    expect_state(&view, &confirmed)?;
    if view.state == TaskState::Succeeded {
        prove_one(pool, &view, &work, folder).await?;
    }
    pool.report.checked(&view);
    pool.journal.finished(view)
}

fn expect_state(view: &TaskView, confirmed: &Confirmed) -> Result<()> {
    let right: &[TaskState] = match confirmed.cancellation {
        Cancellation::None => &[TaskState::Succeeded],
        Cancellation::Asked => &[TaskState::Succeeded, TaskState::Cancelled],
        Cancellation::Confirmed => &[TaskState::Cancelled],
    };
    ensure!(
        right.contains(&view.state),
        "number {} must be one of {right:?}: {view:?}",
        confirmed.number
    );
    let has_output = view.output.is_some();
    ensure!(
        has_output == (view.state == TaskState::Succeeded),
        "an output where there must be none, or none: {view:?}"
    );
    ensure!(
        view.attempts <= view.max_attempts,
        "more attempts than permitted: {view:?}"
    );
    Ok(())
}

/// Output, receipt, and the attestation that the receipt points at, up to the simulated root.
async fn prove_one(
    pool: &Pool,
    view: &TaskView,
    work: &crate::devnet::work::Work,
    folder: &Path,
) -> Result<()> {
    let polls = OUTAGE_LIMIT.as_millis() / PAUSE.as_millis();
    for _ in 0..polls {
        let (client, platform) = (&pool.client, &pool.platform);
        let proof = match prove(client, platform, work, view.clone(), folder).await {
            Ok(proof) => proof,
            Err(error) if is_outage(&error) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Err(error) => return Err(error).with_context(|| format!("{} has no proof", view.id)),
        };
        ensure!(proof.output_equal, "a wrong output: {view:?}");
        ensure!(
            proof.receipt_verified,
            "a receipt that does not hold: {view:?}"
        );
        return forget(folder, view.id);
    }
    anyhow::bail!("the outputs of {} could not be read", view.id)
}

fn is_outage(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<GatewayError>();
    cause.is_some_and(GatewayError::is_transient)
}

/// The files of a proof that holds.
fn forget(folder: &Path, task: TaskId) -> Result<()> {
    for kind in ["output", "receipt.json", "attestation.json"] {
        let path = folder.join(format!("{task}.{kind}"));
        std::fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
    }
    Ok(())
}

/// Every task that the pool has is one that was submitted, once; and what was seen finished is as it was.
pub(super) async fn whole_pool(pool: &Pool) -> Result<()> {
    let confirmed = pool.journal.tasks();
    let mut listed = BTreeMap::new();
    let mut digests = BTreeMap::new();
    let mut cursor = None;
    loop {
        let filter = TaskFilter {
            state: None,
            limit: Some(PAGE),
            cursor,
            all: true,
        };
        let page = over_outages(async || pool.operator.tasks(&filter).await).await?;
        for view in page.tasks {
            let twin = digests.insert(view.digest, view.id);
            ensure!(
                twin.is_none(),
                "one task is there twice, as {twin:?} and {}",
                view.id
            );
            listed.insert(view.id, view);
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    for (task, confirmed) in confirmed {
        let view = listed.get(&task);
        let view = view.with_context(|| format!("{task} was confirmed and is lost"))?;
        if let Some(finished) = &confirmed.finished {
            ensure!(
                view == finished,
                "a finished task changed: {finished:?} is {view:?}"
            );
        }
    }
    pool.report.looked_through();
    Ok(())
}

/// No task waits or runs, and no worker holds one.
pub(super) async fn nothing_runs(pool: &Pool) -> Result<()> {
    let status = over_outages(async || pool.operator.status().await).await?;
    let left = status.tasks.queued + status.tasks.running;
    ensure!(left == 0, "not everything has ended: {:?}", status.tasks);
    let workers = over_outages(async || pool.operator.workers().await).await?;
    for worker in workers.workers {
        ensure!(worker.tasks_running == 0, "a lease has no end: {worker:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use protocol::Sha256Digest;
    use protocol::api::OutputView;

    use super::*;

    fn view(state: TaskState, attempts: u32) -> TaskView {
        let sha256 = Sha256Digest::of(b"output");
        let output = OutputView { sha256, bytes: 6 };
        TaskView {
            id: TaskId::from_parts(1, 1),
            user: "developer".parse().unwrap(),
            operation: "sha256_batch".to_owned(),
            version: 1,
            digest: sha256,
            state,
            requirements: protocol::requirements::Requirements::default(),
            priority: 4,
            attempts,
            max_attempts: 20,
            submitted_ms: 1,
            started_ms: None,
            finished_ms: None,
            deadline_ms: None,
            worker: None,
            fault: None,
            output: (state == TaskState::Succeeded).then_some(output),
        }
    }

    #[test]
    fn a_broken_word_is_a_violation() {
        let confirmed = |cancellation| Confirmed {
            number: 7,
            cancellation,
            finished: None,
        };
        let (none, asked) = (Cancellation::None, Cancellation::Asked);
        let cases = [
            (none, view(TaskState::Succeeded, 20), true),
            (none, view(TaskState::Succeeded, 21), false),
            (none, view(TaskState::Cancelled, 1), false),
            (none, view(TaskState::DeadLetter, 20), false),
            (asked, view(TaskState::Succeeded, 1), true),
            (asked, view(TaskState::Cancelled, 1), true),
            (Cancellation::Confirmed, view(TaskState::Cancelled, 1), true),
            (
                Cancellation::Confirmed,
                view(TaskState::Succeeded, 1),
                false,
            ),
        ];
        for (cancellation, view, holds) in cases {
            let verdict = expect_state(&view, &confirmed(cancellation));
            assert_eq!(verdict.is_ok(), holds, "{cancellation:?} {view:?}");
        }
        let without = TaskView {
            output: None,
            ..view(TaskState::Succeeded, 1)
        };
        assert!(expect_state(&without, &confirmed(none)).is_err());
    }
}
