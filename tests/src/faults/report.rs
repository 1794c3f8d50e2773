//! What happened, in numbers: lines while it goes on, a section of a log when it is over.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use protocol::api::TaskView;
use protocol::task::TaskState;

use super::Arguments;

/// Who was hit, and how.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hit {
    GatewayKilled,
    GatewayStopped,
    WorkerKilled,
    WorkerStopped,
    ExecutorKilled,
    ExecutorStopped,
}

/// Counts.
#[derive(Debug, Default)]
pub(super) struct Report {
    confirmed: AtomicU64,
    confirmed_again: AtomicU64,
    confirmed_at_end: AtomicU64,
    repeated: AtomicU64,
    cancelled: AtomicU64,
    succeeded: AtomicU64,
    /// Attempts beyond the first, of tasks that finished.
    attempts_lost: AtomicU64,
    checked: AtomicU64,
    looked_through: AtomicU64,
    restarted: AtomicU64,
    gateway_killed: AtomicU64,
    gateway_stopped: AtomicU64,
    worker_killed: AtomicU64,
    worker_stopped: AtomicU64,
    executor_killed: AtomicU64,
    executor_stopped: AtomicU64,
}

fn one_more(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

impl Report {
    pub(super) fn confirmed(&self, is_new: bool, state: TaskState) {
        if is_new && state.is_finished() {
            one_more(&self.confirmed_at_end);
        }
        one_more(if is_new {
            &self.confirmed
        } else {
            &self.confirmed_again
        });
    }

    pub(super) fn repeated(&self) {
        one_more(&self.repeated);
    }

    pub(super) fn cancelled(&self) {
        one_more(&self.cancelled);
    }

    pub(super) fn restarted(&self) {
        one_more(&self.restarted);
    }

    pub(super) fn looked_through(&self) {
        one_more(&self.looked_through);
    }

    pub(super) fn checked(&self, view: &TaskView) {
        one_more(&self.checked);
        if view.state == TaskState::Succeeded {
            one_more(&self.succeeded);
        }
        let lost = u64::from(view.attempts.saturating_sub(1));
        self.attempts_lost.fetch_add(lost, Ordering::Relaxed);
    }

    pub(super) fn hit(&self, hit: Hit) {
        one_more(match hit {
            Hit::GatewayKilled => &self.gateway_killed,
            Hit::GatewayStopped => &self.gateway_stopped,
            Hit::WorkerKilled => &self.worker_killed,
            Hit::WorkerStopped => &self.worker_stopped,
            Hit::ExecutorKilled => &self.executor_killed,
            Hit::ExecutorStopped => &self.executor_stopped,
        });
    }

    /// One line.
    pub(super) fn progress(&self) -> String {
        format!(
            "{} confirmed, {} checked, {} sent again; killed: gateway {}, workers {}, executors {}; stopped: {}, {}, {}",
            read(&self.confirmed),
            read(&self.checked),
            read(&self.repeated),
            read(&self.gateway_killed),
            read(&self.worker_killed),
            read(&self.executor_killed),
            read(&self.gateway_stopped),
            read(&self.worker_stopped),
            read(&self.executor_stopped),
        )
    }

    /// A section in Markdown.
    pub(super) fn summary(
        &self,
        seed: u64,
        arguments: &Arguments,
        took: Duration,
        violated: Option<&anyhow::Error>,
    ) -> String {
        let rows = [
            ("tasks confirmed by the API", &self.confirmed),
            (
                "of these with their end, to a request that waited for it",
                &self.confirmed_at_end,
            ),
            (
                "confirmed again under the same key, as the same task",
                &self.confirmed_again,
            ),
            (
                "submissions sent again for want of an answer",
                &self.repeated,
            ),
            ("cancellations confirmed", &self.cancelled),
            (
                "tasks checked: state, output computed once more, receipt up to the root",
                &self.checked,
            ),
            ("of these succeeded", &self.succeeded),
            ("attempts lost", &self.attempts_lost),
            ("looks through the whole pool", &self.looked_through),
            ("gateway killed (SIGKILL)", &self.gateway_killed),
            ("workers killed (SIGKILL)", &self.worker_killed),
            ("executor children killed (SIGKILL)", &self.executor_killed),
            ("gateway stopped (SIGSTOP, SIGCONT)", &self.gateway_stopped),
            ("workers stopped (SIGSTOP, SIGCONT)", &self.worker_stopped),
            (
                "executor children stopped (SIGSTOP, SIGCONT)",
                &self.executor_stopped,
            ),
            ("processes started again", &self.restarted),
        ];
        let (title, seconds, workers) = (&arguments.title, arguments.seconds, arguments.workers);
        let mut text = format!(
            "\n## {title}: seed {seed}, {seconds} s of faults, {workers} workers, {} s in all\n\n| what | count |\n|---|--:|\n",
            took.as_secs()
        );
        for (what, count) in rows {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {what} | {} |", read(count));
        }
        let verdict = match violated {
            None => "Nothing violated: every confirmed task was found, finished as it must, and has one output; nothing was left running.".to_owned(),
            Some(error) => format!("**VIOLATED**: {error:#}"),
        };
        let _ = writeln!(text, "\n{verdict}");
        text
    }
}

/// To whoever watches.
pub(super) fn say(text: &str) {
    eprintln!("{text}");
}

pub(super) fn append(path: &Path, section: &str) -> Result<()> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(section.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}
