//! A server as a process of this run: started, waited for, measured, stopped.

use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::work::{Skipped, now};

/// Erlang takes some ten seconds on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(90);
const STOP_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// Dropping it ends the process.
#[derive(Debug)]
pub struct Server {
    child: Child,
    log: PathBuf,
}

impl Server {
    /// Starts it with its output in a log; `user` is whom it runs as, where that is not ourselves.
    pub fn start(command: &mut Command, folder: &Path, user: Option<(u32, u32)>) -> Result<Self> {
        let log = folder.join("log");
        let output = File::create(&log).context("no log file")?;
        if let Some((uid, gid)) = user {
            command.uid(uid).gid(gid);
        }
        let child = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        Ok(Self { child, log })
    }

    /// Waits until something listens there.
    pub async fn wait_listening(&mut self, address: SocketAddr) -> Result<()> {
        let start = now();
        while start.elapsed() < START_LIMIT {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}: {}", self.log_end());
            }
            tokio::time::sleep(POLL).await;
        }
        bail!(
            "it does not listen at {address} after {START_LIMIT:?}: {}",
            self.log_end()
        )
    }

    /// Of the process, its children, and those that have ended.
    pub fn cpu_time(&self) -> Result<Duration> {
        cpu_time(self.child.id())
    }

    pub fn log_end(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    fn stop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        // A process that has ended already is as good.
        let _ = pid.map(|pid| kill_process(pid, Signal::TERM));
        let start = now();
        while start.elapsed() < STOP_LIMIT {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(POLL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// proc(5): fields 14 to 17 of `stat`, here and in every live child.
fn cpu_time(process_id: u32) -> Result<Duration> {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{process_id}/{file}"));
    let stat = read("stat").context("the server has ended")?;
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(4)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    let own = Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second());
    let children = read(&format!("task/{process_id}/children")).unwrap_or_default();
    let children = children
        .split_whitespace()
        .filter_map(|child| child.parse().ok());
    Ok(own
        + children
            .filter_map(|child| cpu_time(child).ok())
            .sum::<Duration>())
}

/// A port of this machine that nobody has.
pub fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(listener.local_addr()?)
}

/// The program, or in words that it is not there.
pub fn installed(candidates: &[&Path], package: &str) -> Result<PathBuf> {
    let path = search_path();
    for candidate in candidates {
        let found = if candidate.components().count() > 1 {
            Some(candidate.to_path_buf()).filter(|file| file.is_file())
        } else {
            let mut files = std::env::split_paths(&path).map(|folder| folder.join(candidate));
            files.find(|file| file.is_file())
        };
        if let Some(program) = found {
            return Ok(program);
        }
    }
    let text = format!("it is not installed; on Debian the package `{package}` brings it");
    Err(Skipped(text).into())
}

#[expect(
    clippy::disallowed_methods,
    reason = "where programs are is the environment's to say"
)]
fn search_path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

/// What a program says of its version: the first word of its output that looks like one.
pub fn version(program: &Path) -> Result<String> {
    let output = Command::new(program).arg("--version").output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let is_version =
        |word: &&str| word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('.');
    let words = text.split([' ', '\n', 'v', '=', ',']);
    let version = words
        .map(str::trim)
        .find(is_version)
        .unwrap_or("of unknown version");
    Ok(version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_skipped_in_words() {
        let error = installed(&[Path::new("no-such-server")], "no-such-package").unwrap_err();
        assert!(
            error.is::<Skipped>() && error.to_string().contains("no-such-package"),
            "{error}"
        );
        assert!(installed(&[Path::new("sh")], "dash").is_ok());
    }
}
