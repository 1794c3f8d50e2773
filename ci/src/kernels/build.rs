//! Runs the compiler over all sources as one translation unit, in a folder of its own under relative names, so that no path
//! of this machine reaches the output.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::manifest::{Kernel, Manifest, digest};
use super::signature::{self, Signature};
use super::toolchain::{Toolchain, entries, remove};
use super::{fatbin, ptx, resources};
use crate::command::target;

/// Includes every source: one fatbin with one image for each architecture.
const UNIT: &str = "module.cu";
/// `size` compresses to a quarter of what the default does; every driver since 12.8 reads it.
const FATBIN: &[&str] = &["-std=c++17", "-O3", "-fatbin", "--compress-mode=size"];
/// What ptxas says of each kernel.
const VERBOSE: &[&str] = &["-Xptxas", "-v"];
/// A100, H100 and H200, B200, RTX PRO 6000 and its kin; and PTX for what comes after, for development alone.
const ARCHITECTURES: &[&str] = &[
    "-gencode=arch=compute_80,code=[sm_80,compute_80]",
    "-gencode=arch=compute_90a,code=sm_90a",
    "-gencode=arch=compute_100,code=sm_100",
    "-gencode=arch=compute_120,code=sm_120",
];
/// The PTX alone, as text: it says which parameters and bounds the kernels have.
const PTX: &[&str] = &["-std=c++17", "-ptx", "-arch=compute_80"];

/// What the sources compile to.
pub(crate) struct Module {
    pub(crate) fatbin: Vec<u8>,
    pub(crate) manifest: Manifest,
}

pub(crate) fn run(tools: &Toolchain, sources: &Path) -> Result<Module> {
    let folder = target()?.join("kernels/build");
    remove(&folder)?;
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let (sources_sha256, signatures) = copy(sources, &folder)?;

    let arguments: Vec<_> = [FATBIN, VERBOSE, ARCHITECTURES].concat();
    eprintln!("── compile the kernels");
    let said = compile(tools, &folder, &arguments, "cocoon.fatbin")?;
    compile(tools, &folder, PTX, "module.ptx")?;
    let fatbin = read(&folder.join("cocoon.fatbin"))?;
    let ptx = String::from_utf8(read(&folder.join("module.ptx"))?).context("PTX is no text")?;

    let manifest = Manifest {
        fatbin_sha256: digest(&fatbin),
        sources_sha256,
        compiler: version(tools)?,
        arguments: arguments.iter().map(ToString::to_string).collect(),
        images: fatbin::images(&fatbin)?,
        kernels: kernels(signatures, &ptx, resources::read(&said)?)?,
    };
    manifest.ensure_complete()?;
    Ok(Module { fatbin, manifest })
}

/// Each kernel as the source, the PTX and ptxas have it, by name.
fn kernels(
    signatures: Vec<Signature>,
    ptx: &str,
    mut resources: resources::ByKernel,
) -> Result<Vec<Kernel>> {
    let entries = ptx::entries(ptx)?;
    ensure!(
        signatures.len() == entries.len(),
        "{} kernels were read and {} compiled",
        signatures.len(),
        entries.len()
    );
    let mut kernels = signatures
        .into_iter()
        .map(|signature| {
            let entry = entries.iter().find(|entry| entry.name == signature.name);
            let entry = entry.with_context(|| format!("{} was not compiled", signature.name))?;
            let architectures = resources.remove(&signature.name).unwrap_or_default();
            Kernel::new(signature, entry, architectures)
        })
        .collect::<Result<Vec<_>>>()?;
    kernels.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(kernels)
}

/// Copies the sources, writes the unit that includes them, and returns their digest (of each file by name its name, length
/// and bytes) and the kernels that they declare.
fn copy(sources: &Path, folder: &Path) -> Result<(String, Vec<Signature>)> {
    let mut unit = String::new();
    let mut kernels = Vec::new();
    let mut digested = Vec::new();
    for source in entries(sources)? {
        let name = source.file_name().and_then(|name| name.to_str());
        let name = name.with_context(|| format!("{} has an odd name", source.display()))?;
        let bytes = read(&source)?;
        digested.extend_from_slice(format!("{name}\n{}\n", bytes.len()).as_bytes());
        digested.extend_from_slice(&bytes);
        if source
            .extension()
            .is_some_and(|extension| extension == "cu")
        {
            writeln!(unit, "#include \"{name}\"")?;
            kernels.extend(signature::signatures(str::from_utf8(&bytes)?)?);
        }
        let copy = folder.join(name);
        fs::write(&copy, bytes).with_context(|| format!("cannot write {}", copy.display()))?;
    }
    let file = folder.join(UNIT);
    ensure!(!file.exists(), "no source may be named {UNIT}");
    fs::write(&file, unit).with_context(|| format!("cannot write {}", file.display()))?;
    Ok((digest(&digested), kernels))
}

/// Runs nvcc and returns what it said.
fn compile(tools: &Toolchain, folder: &Path, arguments: &[&str], output: &str) -> Result<String> {
    let mut command = nvcc(tools);
    command
        .current_dir(folder)
        .args(arguments)
        .args([UNIT, "-o", output]);
    let done = command
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    ensure!(
        done.status.success(),
        "nvcc failed ({}); to repeat it alone, in {}: {command:?}\n{said}",
        done.status,
        folder.display()
    );
    Ok(said)
}

/// nvcc without what the environment could add to its command line.
fn nvcc(tools: &Toolchain) -> Command {
    let mut command = Command::new(tools.nvcc());
    for variable in ["NVCC_PREPEND_FLAGS", "NVCC_APPEND_FLAGS", "NVCC_CCBIN"] {
        command.env_remove(variable);
    }
    command
}

/// The compiler's version and build, for example `13.0.88 cuda_13.0.r13.0/compiler.36424714_0`.
fn version(tools: &Toolchain) -> Result<String> {
    let output = nvcc(tools)
        .arg("--version")
        .output()
        .context("cannot ask nvcc for its version")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.lines().find_map(|line| line.split_once(", V"));
    let build = text.lines().find_map(|line| line.strip_prefix("Build "));
    version
        .zip(build)
        .map(|((_, version), build)| format!("{version} {build}"))
        .context("nvcc does not say which version it is")
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}
