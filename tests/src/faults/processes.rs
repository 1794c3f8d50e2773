//! Processes of this machine, as `/proc` has them.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::fleet::wait_until_async;

/// A child whose worker has ended notices at once.
pub(super) const GONE_LIMIT: Duration = Duration::from_secs(10);

/// One process: its number may be another's later, its number and its start together may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Identity {
    pid: u32,
    started: u64,
}

impl Identity {
    fn runs(self) -> bool {
        Stat::read(self.pid).is_some_and(|stat| stat.started == self.started && !stat.is_zombie)
    }
}

/// The children of a process.
pub(super) fn children(parent: u32) -> Result<Vec<Identity>> {
    let child = |pid| {
        let stat = Stat::read(pid)?;
        let started = stat.started;
        (stat.parent == parent).then_some(Identity { pid, started })
    };
    Ok(all()?.into_iter().filter_map(child).collect())
}

/// Signals a process; `false` where it is gone.
pub(super) fn send(process: Identity, signal: Signal) -> Result<bool> {
    let Identity { pid, started } = process;
    if Stat::read(pid).is_none_or(|stat| stat.started != started) {
        return Ok(false);
    }
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.context("a process id out of range")?;
    match kill_process(pid, signal) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(error) => Err(error).context("cannot signal an executor child"),
    }
}

/// Every executor child that was seen, whether its worker lives or not.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeSet<Identity>);

impl Seen {
    /// The children that these workers have now.
    pub(super) fn look(&mut self, workers: impl IntoIterator<Item = u32>) -> Result<()> {
        for worker in workers {
            self.0.extend(children(worker)?);
        }
        Ok(())
    }

    /// None of them runs any more; one whose worker has just ended may take a moment.
    pub(super) async fn expect_gone(&self, limit: Duration) -> Result<()> {
        let gone = wait_until_async(limit, "executor children to end", async || {
            Ok(!self.0.iter().any(|child| child.runs()))
        });
        gone.await.with_context(|| {
            let left = self.0.iter().filter(|child| child.runs());
            let left: Vec<_> = left.map(|child| child.pid).collect();
            format!("left running: processes {left:?}")
        })
    }
}

fn all() -> Result<Vec<u32>> {
    let entries = std::fs::read_dir("/proc").context("cannot read /proc")?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter_map(|name| name.parse().ok()).collect())
}

/// What `/proc/<pid>/stat` says.
struct Stat {
    parent: u32,
    /// In ticks since the boot.
    started: u64,
    /// It has ended, and nobody has asked how.
    is_zombie: bool,
}

impl Stat {
    /// `None` where there is no such process.
    fn read(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold anything, and ends in the last parenthesis. Behind it are the state, the parent, and as field 22 the
        // start (proc(5)).
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ');
        Some(Self {
            is_zombie: fields.next()? == "Z",
            parent: fields.next()?.parse().ok()?,
            started: fields.nth(17)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_child_is_found_signalled_and_missed() {
        let mut command = Command::new("sleep");
        let mut child = command.arg("600").stdin(Stdio::null()).spawn().unwrap();
        let children = children(std::process::id()).unwrap();
        let of_child = |identity: &&Identity| identity.pid == child.id();
        let identity = *children.iter().find(of_child).unwrap();
        assert!(send(identity, Signal::KILL).unwrap());
        child.wait().unwrap();
        assert!(!send(identity, Signal::KILL).unwrap());
        let own = Identity {
            pid: std::process::id(),
            started: 0,
        };
        assert!(
            !send(own, Signal::KILL).unwrap(),
            "another process of that number"
        );
    }

    #[tokio::test]
    async fn what_is_left_running_is_named() {
        let mut command = Command::new("sleep");
        let mut child = command.arg("600").stdin(Stdio::null()).spawn().unwrap();
        let mut seen = Seen::default();
        seen.look([std::process::id()]).unwrap();
        let left = seen
            .expect_gone(Duration::from_millis(100))
            .await
            .unwrap_err();
        let left = format!("{left:#}");
        child.kill().unwrap();
        assert!(left.contains(&child.id().to_string()), "{left}");
        // Not even when nobody has asked how it ended.
        let only_child = |seen: &mut Seen| seen.0.retain(|identity| identity.pid == child.id());
        only_child(&mut seen);
        seen.expect_gone(Duration::from_millis(100)).await.unwrap();
        child.wait().unwrap();
        seen.expect_gone(Duration::from_millis(100)).await.unwrap();
    }
}
