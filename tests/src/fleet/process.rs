//! One process of a fleet: its log is a file, it can be killed at any point, and it never outlives the fleet.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::FleetOptions;
use super::wait::{wait_until, wait_until_async};

/// Longer than any process's own shutdown deadline.
const STOP_LIMIT: Duration = Duration::from_mins(1);

/// A running binary of the workspace.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// A binary with an empty environment but for `PATH` and the log's level.
    pub(super) fn command(binary: &Path, arguments: &[&OsStr], options: &FleetOptions) -> Command {
        let mut command = Command::new(binary);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("COCOON_LOG", "info");
        if options.own_process_groups {
            command.process_group(0);
        }
        command
    }

    /// Starts it; its output is appended to `log`.
    pub(super) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let output = File::options()
            .create(true)
            .append(true)
            .open(log)
            .with_context(|| format!("cannot open the log {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("cannot share the log")?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {name}: {command:?}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            log: log.to_owned(),
        })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    #[must_use]
    pub fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// An error with the end of the log when the process has ended.
    pub fn expect_alive(&mut self) -> Result<()> {
        match self.ended()? {
            None => Ok(()),
            Some(status) => bail!("{} ended ({status}):\n{}", self.name, self.log_end()),
        }
    }

    /// SIGKILL, and waits until the process is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.child
            .kill()
            .with_context(|| format!("cannot kill {}", self.name))?;
        self.child
            .wait()
            .with_context(|| format!("cannot wait for {}", self.name))?;
        Ok(())
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait();
        status.with_context(|| format!("cannot ask after {}", self.name))
    }

    /// Sends a signal and returns at once. An error where the process has ended: its number may be another's by now.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        self.expect_alive()?;
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .context("a process id out of range")?;
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// SIGTERM, and waits for an orderly end.
    pub async fn stop(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let mut status = None;
        let what = format!("{} to stop", self.name);
        wait_until_async(STOP_LIMIT, &what, async || {
            status = self.ended()?;
            Ok(status.is_some())
        })
        .await?;
        status.context("the process has no status")
    }

    /// Everything it has written so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last lines of the log, for error texts.
    #[must_use]
    pub fn log_end(&self) -> String {
        let text = self.log();
        let lines: Vec<_> = text.lines().collect();
        let start = lines.len().saturating_sub(25);
        lines.get(start..).unwrap_or_default().join("\n")
    }

    /// Waits until the log contains a text.
    pub fn wait_for_log(&self, text: &str, limit: Duration) -> Result<()> {
        wait_until(
            limit,
            &format!("`{text}` in the log of {}", self.name),
            || Ok(self.log().contains(text)),
        )
        .with_context(|| self.log_end())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that has ended already cannot be killed, and that is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
