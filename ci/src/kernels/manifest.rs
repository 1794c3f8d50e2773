//! What `kernels/module/manifest.json` says of the fatbin beside it. `kernels::module` reads it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use super::ptx::Entry;
use super::signature::Signature;

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) fatbin_sha256: String,
    /// Of every file of `kernels/cuda` by name: its name, a newline, its length in decimal, a newline, its bytes.
    pub(crate) sources_sha256: String,
    pub(crate) compiler: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) images: Vec<Image>,
    pub(crate) kernels: Vec<Kernel>,
}

/// The code for one architecture.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Image {
    pub(crate) target: String,
    pub(crate) bytes: usize,
    pub(crate) sha256: String,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kernel {
    pub(crate) name: String,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) block_threads_max: u32,
    pub(crate) architectures: BTreeMap<String, Resources>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) bytes: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// To device memory.
    Pointer,
    U32,
    U64,
    F32,
}

/// What one kernel takes of a multiprocessor; registers are those of a thread, shared memory that of a block.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Resources {
    pub(crate) registers: u32,
    pub(crate) shared_bytes: u32,
    pub(crate) spill_stores_bytes: u32,
    pub(crate) spill_loads_bytes: u32,
}

impl Kind {
    /// The type that PTX has for it.
    fn ptx(self) -> &'static str {
        match self {
            Self::Pointer | Self::U64 => "u64",
            Self::U32 => "u32",
            Self::F32 => "f32",
        }
    }

    fn bytes(self) -> u32 {
        match self {
            Self::Pointer | Self::U64 => 8,
            Self::U32 | Self::F32 => 4,
        }
    }
}

impl Parameter {
    pub(crate) fn new(name: String, kind: Kind) -> Self {
        let bytes = kind.bytes();
        Self { name, kind, bytes }
    }
}

impl Kernel {
    /// The source's names and types, where they are what the compiler laid out.
    pub(crate) fn new(
        signature: Signature,
        entry: &Entry,
        architectures: BTreeMap<String, Resources>,
    ) -> Result<Self> {
        let Signature { name, parameters } = signature;
        let written: Vec<_> = parameters.iter().map(|one| one.kind.ptx()).collect();
        ensure!(
            written == entry.parameters,
            "{name} was read as {written:?} and compiled as {:?}",
            entry.parameters
        );
        Ok(Self {
            name,
            parameters,
            block_threads_max: entry.block_threads_max,
            architectures,
        })
    }
}

impl Manifest {
    pub(crate) fn parse(json: &[u8]) -> Result<Self> {
        serde_json::from_slice(json).context("cannot parse it")
    }

    pub(crate) fn to_json(&self) -> Result<Vec<u8>> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(json)
    }

    /// Every kernel has its resources on the architecture of every image of machine code.
    pub(crate) fn ensure_complete(&self) -> Result<()> {
        let code = self
            .images
            .iter()
            .filter(|one| one.target.starts_with("sm_"));
        let code = code.count();
        ensure!(code > 0 && !self.kernels.is_empty(), "the module is empty");
        for kernel in &self.kernels {
            let seen = kernel.architectures.len();
            ensure!(
                seen == code,
                "{} was compiled for {seen} architectures, the fatbin has {code}",
                kernel.name
            );
        }
        Ok(())
    }

    /// Kernel, architecture and bytes of each that spills.
    pub(crate) fn spills(&self) -> Vec<String> {
        let all = self.kernels.iter().flat_map(|kernel| {
            let of_kernel = kernel.architectures.iter();
            of_kernel.map(move |(architecture, resources)| (kernel, architecture, resources))
        });
        all.filter(|(_, _, used)| used.spill_stores_bytes > 0 || used.spill_loads_bytes > 0)
            .map(|(kernel, architecture, used)| {
                format!(
                    "{} on {architecture}: {} bytes stored, {} loaded",
                    kernel.name, used.spill_stores_bytes, used.spill_loads_bytes
                )
            })
            .collect()
    }

    /// How `built` differs from this one, most telling first.
    pub(crate) fn differences(&self, built: &Self) -> Vec<String> {
        let mut differences = Vec::new();
        let mut compare = |what: String, is_same: bool| {
            if !is_same {
                differences.push(what);
            }
        };
        compare(
            "the sources have changed".to_owned(),
            self.sources_sha256 == built.sources_sha256,
        );
        compare(
            format!("the compiler was {}, is {}", self.compiler, built.compiler),
            self.compiler == built.compiler,
        );
        compare(
            "the compiler's arguments have changed".to_owned(),
            self.arguments == built.arguments,
        );
        for (name, [one, other]) in by_name(&self.images, &built.images, |image| &image.target) {
            compare(format!("the code for {name}"), one == other);
        }
        for (name, [one, other]) in by_name(&self.kernels, &built.kernels, |kernel| &kernel.name) {
            for what in Kernel::differences(one, other) {
                compare(format!("kernel {name}: {what}"), false);
            }
        }
        differences
    }

    /// A line for each kernel: registers and shared memory on each architecture.
    pub(crate) fn summary(&self) -> Vec<String> {
        let line = |kernel: &Kernel| {
            let used = kernel.architectures.iter().map(|(architecture, used)| {
                format!("{architecture} {:>3} registers", used.registers)
            });
            let shared = kernel.architectures.values().map(|used| used.shared_bytes);
            format!(
                "{:20} {}  {:>5} bytes shared",
                kernel.name,
                used.collect::<Vec<_>>().join("  "),
                shared.max().unwrap_or(0)
            )
        };
        self.kernels.iter().map(line).collect()
    }
}

impl Kernel {
    fn differences(one: Option<&Self>, other: Option<&Self>) -> Vec<String> {
        let (one, other) = match (one, other) {
            (Some(one), Some(other)) => (one, other),
            (Some(_), None) => return vec!["is no longer there".to_owned()],
            (None, _) => return vec!["is new".to_owned()],
        };
        let mut differences = Vec::new();
        if (&one.parameters, one.block_threads_max) != (&other.parameters, other.block_threads_max)
        {
            differences.push("has other parameters or bounds".to_owned());
        }
        for (architecture, used) in &other.architectures {
            if one.architectures.get(architecture) != Some(used) {
                differences.push(format!("takes other resources on {architecture}"));
            }
        }
        differences
    }
}

/// Both lists' items side by side, by name.
fn by_name<'a, T>(
    ours: &'a [T],
    theirs: &'a [T],
    name: impl Fn(&T) -> &String,
) -> BTreeMap<String, [Option<&'a T>; 2]> {
    let mut pairs = BTreeMap::<String, [Option<&T>; 2]>::new();
    for (side, items) in [ours, theirs].into_iter().enumerate() {
        for item in items {
            let pair = pairs.entry(name(item).clone()).or_default();
            if let Some(slot) = pair.get_mut(side) {
                *slot = Some(item);
            }
        }
    }
    pairs
}

/// SHA-256 in lower-case hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    hex::encode(ring::digest::digest(&ring::digest::SHA256, bytes))
}

#[cfg(test)]
mod tests;
