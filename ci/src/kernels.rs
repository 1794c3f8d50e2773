//! `cargo ci kernels`: compiles `kernels/cuda` into the fatbin and manifest of `kernels/module`, and compares them byte for
//! byte with those checked in.

mod build;
mod fatbin;
mod manifest;
mod ptx;
mod resources;
mod signature;
mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::command::root;
use build::Module;
use manifest::Manifest;

/// How `cargo ci kernels` runs.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Replaces the fatbin and manifest that are checked in.
    #[arg(long)]
    write: bool,
}

/// Differences that are named; a new compiler changes all of them.
const DIFFERENCES_SHOWN_MAX: usize = 20;

pub(crate) fn run(options: &Options) -> Result<()> {
    let tools = toolchain::prepare()?;
    let built = build::run(&tools, &root().join("kernels/cuda"))?;
    refuse_spills(&built.manifest)?;
    if options.write {
        for (file, bytes) in [
            (fatbin_file(), &built.fatbin),
            (manifest_file(), &built.manifest.to_json()?),
        ] {
            fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
        }
    } else {
        compare(&built)?;
    }
    for line in built.manifest.summary() {
        eprintln!("   {line}");
    }
    Ok(())
}

fn fatbin_file() -> PathBuf {
    root().join("kernels/module/cocoon.fatbin")
}

fn manifest_file() -> PathBuf {
    root().join("kernels/module/manifest.json")
}

/// A kernel that spills keeps in memory what it was written to keep in registers.
fn refuse_spills(manifest: &Manifest) -> Result<()> {
    let spills = manifest.spills();
    ensure!(spills.is_empty(), "registers spill:\n{}", spills.join("\n"));
    Ok(())
}

fn compare(built: &Module) -> Result<()> {
    let fatbin = read(&fatbin_file())?;
    let manifest = read(&manifest_file())?;
    if fatbin == built.fatbin && manifest == built.manifest.to_json()? {
        return Ok(());
    }
    let mut differences = match Manifest::parse(&manifest) {
        Ok(checked_in) => checked_in.differences(&built.manifest),
        Err(error) => vec![format!("the manifest that is checked in: {error:#}")],
    };
    if fatbin != built.fatbin {
        differences.push("the fatbin that is checked in has other bytes".to_owned());
    }
    let left = differences.len().saturating_sub(DIFFERENCES_SHOWN_MAX);
    differences.truncate(DIFFERENCES_SHOWN_MAX);
    if left > 0 {
        differences.push(format!("and {left} more"));
    }
    bail!(
        "kernels/module is not what kernels/cuda compiles to; `cargo ci kernels --write` replaces it:\n{}",
        differences.join("\n")
    );
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}
