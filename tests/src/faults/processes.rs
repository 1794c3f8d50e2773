//! Processes of this machine, as `/proc` has them.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// One process: its number may be another's later, its number and its start together may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pid: u32,
    started: u64,
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

/// Nobody runs whose command names something in the folder.
pub(super) fn expect_none(folder: &Path) -> Result<()> {
    let folder = folder.as_os_str().as_encoded_bytes();
    let own = std::process::id();
    for pid in all()?.into_iter().filter(|pid| *pid != own) {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let is_ours = command.windows(folder.len()).any(|part| part == folder);
        let shown = || String::from_utf8_lossy(&command).replace('\0', " ");
        ensure!(!is_ours, "left running: process {pid}, {}", shown());
    }
    Ok(())
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
}

impl Stat {
    /// `None` where there is no such process.
    fn read(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name may hold anything, and ends in the last parenthesis. Parent and start are fields 4 and 22 (proc(5)).
        let (_, fields) = stat.rsplit_once(") ")?;
        let mut fields = fields.split(' ').skip(1);
        Some(Self {
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

    #[test]
    fn what_is_left_running_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().join("mark");
        assert!(expect_none(folder.path()).is_ok());
        let mut command = Command::new("sh");
        let script = "while :; do sleep 600; done";
        let mut child = command.args(["-c", script]).arg(&mark).spawn().unwrap();
        let left = expect_none(folder.path()).unwrap_err().to_string();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(left.contains(&child.id().to_string()), "{left}");
    }
}
