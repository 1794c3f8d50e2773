//! Runs the command line, either way, and keeps what it said.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use attestation_cli::{Exit, Machine, World, run};
use serde_json::Value;
use simulator::{SimulatedPlatform, gpu::simulated_gpu_anchor};
use tempfile::TempDir;

/// The time at which simulated collateral is in date: 2026-09-21T14:13:20Z.
pub(crate) const NOW_S: u64 = 1_790_000_000;

/// The seed of the GPUs whose root the library is run under.
pub(crate) const GPU_SEED: u64 = 7;

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) exit: i32,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Said {
    /// The answer as JSON, held against the schema that it names.
    pub(crate) fn json(&self) -> Value {
        let json = serde_json::from_str(&self.output).expect("one JSON object");
        conforms(&json);
        json
    }
}

/// Holds an output against the schema that the program itself prints for it.
pub(crate) fn conforms(json: &Value) {
    let named = json["schema"].as_str().expect("a member `schema`");
    let name = named
        .strip_prefix("cocoon-attest/")
        .and_then(|rest| rest.strip_suffix("/1"))
        .expect("cocoon-attest/NAME/1");
    let schema = shipped(&["schema", name]);
    assert_eq!(schema.exit, 0, "{schema:?}");
    let schema: Value = serde_json::from_str(&schema.output).unwrap();
    assert_eq!(schema["title"], named);
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.add_resource("output.json", schema).unwrap();
    let index = compiler.compile("output.json", &mut schemas).unwrap();
    if let Err(error) = schemas.validate(json, index) {
        panic!("{named}: {error:#}\n{json:#}");
    }
}

/// A folder of input files, gone when the test ends.
pub(crate) struct Files {
    directory: TempDir,
}

impl Files {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, contents).unwrap();
        path
    }
}

/// Runs the shipped binary, which trusts Intel.
pub(crate) fn shipped(arguments: &[&str]) -> Said {
    shipped_in(Path::new("."), arguments)
}

/// The same, in a folder.
pub(crate) fn shipped_in(folder: &Path, arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_cocoon-attest"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Said {
        exit: output.status.code().unwrap(),
        output: String::from_utf8(output.stdout).unwrap(),
        errors: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the library under the simulator's root.
pub(crate) fn simulated(platform: &SimulatedPlatform, arguments: &[&str]) -> Said {
    simulated_with_input(platform, arguments, b"")
}

/// The same, with something on standard input.
pub(crate) fn simulated_with_input(
    platform: &SimulatedPlatform,
    arguments: &[&str],
    input: &[u8],
) -> Said {
    simulated_on(&Machine::default(), platform, arguments, input)
}

/// The same, on another machine than this.
pub(crate) fn simulated_on(
    machine: &Machine,
    platform: &SimulatedPlatform,
    arguments: &[&str],
    mut input: &[u8],
) -> Said {
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let world = World {
        anchor: platform.trust_anchor(),
        gpu_anchor: simulated_gpu_anchor(GPU_SEED),
        now_s: &|| NOW_S,
        input: &mut input,
        output: &mut output,
        errors: &mut errors,
        machine: machine.clone(),
    };
    let exit = match run([&["cocoon-attest"], arguments].concat(), world) {
        Exit::Success => 0,
        Exit::Error => 1,
        Exit::Findings => 2,
        Exit::Unreachable => 3,
        Exit::Undecided => 5,
    };
    Said {
        exit,
        output: String::from_utf8(output).unwrap(),
        errors: String::from_utf8(errors).unwrap(),
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
