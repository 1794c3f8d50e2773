//! The CUDA kernels that ship, compiled as C++ and run on the CPU under AddressSanitizer, UndefinedBehaviorSanitizer and
//! ThreadSanitizer, after each was seen to find the mistakes of `kernels/fakes/cuda/sanitize/planted.cpp`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::run_quietly;
use crate::command::{root, step};
use crate::instrumented::{ASAN_OPTIONS, folder};

const SOURCES: &str = "kernels/cuda";
const FAKE: &str = "kernels/fakes/cuda";

/// What the module that ships says of its kernels.
const MANIFEST: &str = "kernels/module/manifest.json";

/// What nvcc takes for granted, as `kernels/fakes/cuda/build.rs` has it too.
const FLAGS: &[&str] = &[
    "-std=c++17",
    "-O1",
    "-g",
    "-fno-strict-aliasing",
    "-ffp-contract=off",
    "-Wno-unknown-pragmas",
    "-pthread",
];

/// One way to compile.
struct Mode {
    name: &'static str,
    flags: &'static [&'static str],
    /// Of the runtime, where it differs: ThreadSanitizer must not take its switches between fibers for the kernel's doing.
    runtime_flags: &'static [&'static str],
    /// Mistakes, and what is said of each.
    finds: &'static [(&'static str, &'static str)],
}

const MEMORY_FLAGS: &[&str] = &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];

const MODES: &[Mode] = &[
    Mode {
        name: "memory",
        flags: MEMORY_FLAGS,
        runtime_flags: MEMORY_FLAGS,
        finds: &[
            ("out_of_global_memory", "heap-buffer-overflow"),
            ("out_of_shared_memory", "global-buffer-overflow"),
            ("misaligned_vector", "store to misaligned address"),
            ("integer_overflow", "signed integer overflow"),
        ],
    },
    Mode {
        name: "races",
        flags: &["-fsanitize=thread"],
        runtime_flags: &["-DCUDA_ON_CPU_THREADS"],
        finds: &[
            ("missing_barrier", "data race"),
            ("missing_warp_barrier", "data race"),
            ("race_between_blocks", "data race"),
        ],
    },
    Mode {
        name: "plain",
        flags: &[],
        runtime_flags: &[],
        finds: &[
            ("divergent_barrier", "wait at different barriers"),
            (
                "barrier_that_some_never_reach",
                "some threads of the block have ended",
            ),
            ("shuffle_from_an_absent_lane", "one that takes no part"),
            ("shuffle_that_some_never_reach", "others never reach"),
            ("unwritten_shared_memory", "unwritten"),
            ("illegal_address", "illegal address"),
        ],
    },
];

/// Without a mistake: nothing may be said of it.
const CORRECT: &str = "correct";

pub(super) fn run() -> Result<()> {
    let kernels = kernels()?;
    for mode in MODES {
        let runtime = mode.runtime()?;
        let planted = mode.program("planted", &runtime)?;
        mode.finds_what_is_planted(&planted)?;
        mode.runs(&mode.program("header", &runtime)?)?;
        let ran = mode.runs(&mode.program("shipped", &runtime)?)?;
        let left: Vec<_> = kernels.difference(&ran).collect();
        ensure!(left.is_empty(), "sanitize/shipped.cpp runs no {left:?}");
    }
    Ok(())
}

/// The names of all kernels that ship.
fn kernels() -> Result<BTreeSet<String>> {
    let text =
        fs::read(root().join(MANIFEST)).with_context(|| format!("cannot read {MANIFEST}"))?;
    let manifest: Value =
        serde_json::from_slice(&text).with_context(|| format!("{MANIFEST} is no JSON"))?;
    let kernels = manifest.get("kernels").and_then(Value::as_array);
    let names = kernels
        .into_iter()
        .flatten()
        .filter_map(|kernel| kernel.get("name")?.as_str());
    let names: BTreeSet<_> = names.map(str::to_owned).collect();
    ensure!(!names.is_empty(), "{MANIFEST} names no kernel");
    Ok(names)
}

fn files_in(folder: &str, extension: &str) -> Result<Vec<PathBuf>> {
    let folder = root().join(folder);
    let entries =
        fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let paths: Vec<_> = paths
        .collect::<Result<_, _>>()
        .with_context(|| format!("cannot list {}", folder.display()))?;
    Ok(paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|own| own == extension))
        .collect())
}

impl Mode {
    fn finds_what_is_planted(&self, planted: &Path) -> Result<()> {
        let look = |mistake: &str| {
            run_quietly(
                Command::new(planted)
                    .arg(mistake)
                    .env(ASAN_OPTIONS.0, ASAN_OPTIONS.1),
            )
        };
        let correct = look(CORRECT)?;
        let said = String::from_utf8_lossy(&correct.stderr);
        ensure!(
            correct.status.success(),
            "{} finds a mistake where there is none:\n{said}",
            self.name
        );
        for (mistake, phrase) in self.finds {
            let output = look(mistake)?;
            let said = String::from_utf8_lossy(&output.stderr);
            ensure!(
                !output.status.success() && said.contains(phrase),
                "{} did not find {mistake} ({}):\n{said}",
                self.name,
                output.status
            );
        }
        eprintln!(
            "── {}: found all {} planted mistakes",
            self.name,
            self.finds.len()
        );
        Ok(())
    }

    /// Runs a program that has no mistake; gives the kernels that it ran.
    fn runs(&self, program: &Path) -> Result<BTreeSet<String>> {
        eprintln!("── {} ({})", program.display(), self.name);
        let output = run_quietly(Command::new(program).env(ASAN_OPTIONS.0, ASAN_OPTIONS.1))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{} found ({}):\n{said}",
            self.name,
            output.status
        );
        let text = String::from_utf8_lossy(&output.stdout);
        let names = text.lines().filter_map(|line| line.strip_prefix("ran "));
        Ok(names.map(str::to_owned).collect())
    }

    /// The runtime as objects.
    fn runtime(&self) -> Result<Vec<PathBuf>> {
        let folder = self.folder()?;
        let mut objects = Vec::new();
        for source in files_in(&format!("{FAKE}/runtime"), "cpp")? {
            let object = folder.join(source.with_extension("o").file_name().context("a name")?);
            let mut compile = compiler();
            compile
                .args(self.runtime_flags)
                .arg("-c")
                .arg(&source)
                .arg("-o")
                .arg(&object);
            step(
                &format!("compile {} ({})", source.display(), self.name),
                &mut compile,
            )?;
            objects.push(object);
        }
        Ok(objects)
    }

    /// A program of `sanitize/`.
    fn program(&self, name: &str, runtime: &[PathBuf]) -> Result<PathBuf> {
        let program = self.folder()?.join(name);
        let source = root()
            .join(FAKE)
            .join("sanitize")
            .join(name)
            .with_extension("cpp");
        let mut compile = compiler();
        compile
            .args(self.flags)
            .arg(&source)
            .args(runtime)
            .arg("-o")
            .arg(&program);
        step(
            &format!("compile {name} kernels ({})", self.name),
            &mut compile,
        )?;
        Ok(program)
    }

    fn folder(&self) -> Result<PathBuf> {
        let folder = folder()?.join("kernels").join(self.name);
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }
}

fn compiler() -> Command {
    let mut compiler = Command::new("g++");
    compiler.args(FLAGS);
    for include in [SOURCES, &format!("{FAKE}/include")] {
        compiler.arg("-I").arg(root().join(include));
    }
    compiler
}
