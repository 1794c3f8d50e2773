//! `cargo ci vectors`: conformance with evidence that others made, as one table.

use std::fmt;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::command::cargo;

/// Opens each row that a test prints; tabs stand between the columns.
const MARK: &str = "vector\t";

/// The table's columns, and how wide they are in characters. What does not fit is cut: a reason is told by its beginning.
const COLUMNS: [(&str, usize); 4] = [("", 5), ("file", 64), ("expected", 44), ("got", 64)];

/// `ok` or `WRONG`, a file, what was expected of it and what we say.
struct Row([String; 4]);

/// Optimised, so that the tests change every byte where they otherwise change every few.
pub(crate) fn run() -> Result<()> {
    ensure!(
        is_set("COCOON_VECTORS"),
        "COCOON_VECTORS names no directory of vectors: set it to one with a MANIFEST.tsv (see CONTRIBUTING.md)"
    );
    let mut tests = cargo();
    tests.args([
        "test",
        "--quiet",
        "--release",
        "--package",
        "attestation",
        "--test",
        "vectors",
    ]);
    tests.args(["--", "--nocapture"]);
    eprintln!("── build and run (the first build takes some minutes)");
    let mut child = tests
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {tests:?}"))?;
    let output = child.stdout.take().context("the tests have no output")?;
    let mut rows = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.context("cannot read what the tests say")?;
        match line.split_once(MARK).and_then(|(_, row)| Row::read(row)) {
            Some(row) => rows.push(row),
            None => eprintln!("{line}"),
        }
    }
    let status = child.wait().context("the tests do not end")?;
    print(&rows).context("cannot print the table")?;
    ensure!(!rows.is_empty(), "no test printed a row");
    ensure!(
        status.success(),
        "the tests failed ({status}); to repeat them: {tests:?}"
    );
    Ok(())
}

fn print(rows: &[Row]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", Row(COLUMNS.map(|(title, _)| title.to_owned())))?;
    rows.iter().try_for_each(|row| writeln!(out, "{row}"))?;
    let passed = rows.iter().filter(|row| row.fits()).count();
    writeln!(
        out,
        "{passed} passed, {} failed",
        rows.len().saturating_sub(passed)
    )
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tests read the same variable"
)]
fn is_set(variable: &str) -> bool {
    std::env::var_os(variable).is_some()
}

impl Row {
    fn read(row: &str) -> Option<Self> {
        let fields: Vec<_> = row.splitn(4, '\t').map(str::to_owned).collect();
        fields.try_into().ok().map(Self)
    }

    fn fits(&self) -> bool {
        let Self([verdict, ..]) = self;
        verdict == "ok"
    }
}

impl fmt::Display for Row {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = self.0.iter().zip(COLUMNS).map(|(cell, (_, width))| {
            let shown: String = cell.chars().take(width).collect();
            format!("{shown:width$}")
        });
        let line: Vec<_> = cells.collect();
        formatter.write_str(line.join("  ").trim_end())
    }
}

#[cfg(test)]
mod tests {
    use super::Row;

    #[test]
    fn rows_are_read_and_shown() {
        let row = Row::read("ok\tquotes/a.bin\taccept UpToDate\taccept UpToDate").unwrap();
        assert!(row.fits());
        assert!(
            row.to_string().starts_with("ok     quotes/a.bin  "),
            "{row}"
        );
        assert!(row.to_string().ends_with("accept UpToDate"), "{row}");
        assert!(!Row::read("WRONG\ta\tb\tc").unwrap().fits());
        assert!(Row::read("ok\ta\tb").is_none());
    }
}
