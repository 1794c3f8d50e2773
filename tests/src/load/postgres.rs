//! A PostgreSQL server for one run, with its durable defaults.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

/// What any guide to a busy server sets first.
const SETTINGS: [&str; 4] = ["-c", "shared_buffers=512MB", "-c", "max_wal_size=4GB"];

/// Ends when it is dropped, and when this process is killed: it reads from a pipe.
#[derive(Debug)]
pub(super) struct Postgres {
    pub(super) address: String,
    script: Child,
}

impl Postgres {
    /// Its files go below a folder.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/postgres/server.sh");
        let mut script = Command::new(script)
            .args(SETTINGS)
            .env("TMPDIR", folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {script}"))?;
        let output = script.stdout.take().context("the server has no output")?;
        let mut address = String::new();
        BufReader::new(output).read_line(&mut address)?;
        if address.is_empty() {
            bail!("PostgreSQL does not start: {}", script.wait()?);
        }
        Ok(Self {
            address: address.trim_end().to_owned(),
            script,
        })
    }

    /// Of the server; all others are its children.
    pub(super) fn process_id(&self) -> Result<u32> {
        let mut words = self.address.split_whitespace();
        let folder = words.find_map(|word| word.strip_prefix("host="));
        let file = Path::new(folder.context("the server's address names no host")?)
            .join("data/postmaster.pid");
        let text = std::fs::read_to_string(&file)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let line = text.lines().next().context("an empty file")?;
        line.trim()
            .parse()
            .with_context(|| format!("no process id in {}", file.display()))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}
