//! A PostgreSQL server for the tests, for as long as they run.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::command::root;

/// Where the tests look for the server's address.
pub(crate) const ADDRESS: &str = "COCOON_POSTGRES";
/// The script's word for: no server is installed.
const NOT_INSTALLED: i32 = 3;

/// Ends when it is dropped, and when this process is killed: it reads from a pipe.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: String,
    process: Child,
}

impl Server {
    /// Starts one; `None` where none is installed, which the script has said.
    pub(crate) fn start() -> Result<Option<Self>> {
        let mut process = Command::new(root().join("tests/postgres/server.sh"))
            .args(["-c", "fsync=off"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start tests/postgres/server.sh")?;
        let output = process.stdout.take().context("the server has no output")?;
        let mut address = String::new();
        BufReader::new(output).read_line(&mut address)?;
        if !address.is_empty() {
            return Ok(Some(Self {
                address: address.trim_end().to_owned(),
                process,
            }));
        }
        let status = process.wait()?;
        if status.code() == Some(NOT_INSTALLED) {
            return Ok(None);
        }
        bail!("PostgreSQL does not start: {status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
