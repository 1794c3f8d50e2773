//! The same figures from `PyTorch`, where the machine's Python has it, on the same card in the same run.

use std::fmt;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::device::Device;

/// Prints one JSON object of figures.
const SCRIPT: &str = include_str!("torch_peer.py");

/// What `PyTorch` reached, or why there is nothing.
#[derive(Debug)]
pub(crate) enum Torch {
    Measured(Value),
    Absent(String),
}

impl Torch {
    /// Runs the script in `python3`; takes about a minute.
    pub(crate) fn measure(device: &Device, quick: bool) -> Self {
        match measure(device, quick) {
            Ok(figures) => Self::Measured(figures),
            Err(reason) => Self::Absent(reason),
        }
    }

    /// Bytes read and written a second by the same operation.
    pub(crate) fn bytes_per_s(&self, name: &str, rows: usize, columns: usize) -> Option<f64> {
        self.figure(&format!("{name} {rows}x{columns}"))
    }

    /// Operations a second of a product of two square matrices.
    pub(crate) fn operations_per_s(&self, operation: &str, side: usize) -> Option<f64> {
        self.figure(&format!("{operation} {side}"))
    }

    /// Texts a second by sentence-transformers, with the same model and texts of the same lengths.
    pub(crate) fn texts_per_s(&self, mix: &str, precision: &str) -> Option<f64> {
        self.figure(&format!("embed {mix} {precision}"))
    }

    fn figure(&self, name: &str) -> Option<f64> {
        match self {
            Self::Measured(figures) => figures.get(name).and_then(Value::as_f64),
            Self::Absent(_) => None,
        }
    }
}

impl fmt::Display for Torch {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Measured(figures) => {
                let version = figures.get("version").and_then(Value::as_str);
                formatter.write_str(version.unwrap_or("of unknown version"))
            }
            Self::Absent(reason) => write!(formatter, "not measured ({reason})"),
        }
    }
}

fn measure(device: &Device, quick: bool) -> Result<Value, String> {
    let mut python = Command::new("python3");
    python.args(["-", if quick { "quick" } else { "full" }]);
    python.args(&device.model);
    python
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = python
        .spawn()
        .map_err(|error| format!("python3 cannot be started: {error}"))?;
    if let Some(mut input) = child.stdin.take() {
        // A Python that ends before it has read everything says why itself.
        let _ = input.write_all(SCRIPT.as_bytes());
    }
    let output = child
        .wait_with_output()
        .map_err(|error| format!("python3 does not end: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().last().unwrap_or("no reason given");
        return Err(last.to_owned());
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("no figures: {error}"))
}
