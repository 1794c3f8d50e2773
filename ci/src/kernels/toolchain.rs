//! NVIDIA's compiler, from wheels whose hashes stand in `ci/kernels/wheels.txt`, unpacked below the target folder.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::command::{root, step, target};

const PYTHON: &str = "python3";
/// Written last, so that an interrupted download is done again: what the folder was made from.
const STAMP: &str = "wheels.txt";
/// Folders of programs in the unpacked wheels. Python's unpacker drops the permission to run them.
const PROGRAMS: [&str; 2] = ["nvidia/cu13/bin", "nvidia/cu13/nvvm/bin"];
const RUNNABLE: u32 = 0o755;

/// The unpacked compiler.
pub(crate) struct Toolchain {
    folder: PathBuf,
}

impl Toolchain {
    pub(crate) fn nvcc(&self) -> PathBuf {
        self.folder.join("nvidia/cu13/bin/nvcc")
    }
}

/// Fetches and unpacks what is not there yet.
pub(crate) fn prepare() -> Result<Toolchain> {
    let pinned = root().join("ci/kernels/wheels.txt");
    let wanted = fs::read(&pinned).with_context(|| format!("cannot read {}", pinned.display()))?;
    let folder = target()?.join("kernels/toolchain");
    let stamp = folder.join(STAMP);
    if fs::read(&stamp).ok().as_ref() == Some(&wanted) {
        return Ok(Toolchain { folder });
    }
    remove(&folder)?;
    let wheels = folder.join("wheels");
    fs::create_dir_all(&wheels).with_context(|| format!("cannot make {}", wheels.display()))?;
    fetch(&pinned, &wheels)?;
    unpack(&wheels, &folder)?;
    remove(&wheels)?;
    fs::write(&stamp, wanted).with_context(|| format!("cannot write {}", stamp.display()))?;
    Ok(Toolchain { folder })
}

/// pip refuses a file whose hash is another, and with `--require-hashes` one that has none here.
fn fetch(pinned: &Path, wheels: &Path) -> Result<()> {
    let has_pip = Command::new(PYTHON)
        .args(["-m", "pip", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    ensure!(
        has_pip,
        "`{PYTHON} -m pip` does not run; it fetches the compiler (on Debian: `apt-get install python3-pip`)"
    );
    let mut download = Command::new(PYTHON);
    download
        .args(["-m", "pip", "download", "--quiet", "--no-deps"])
        .args(["--require-hashes", "--only-binary", ":all:", "-r"])
        .arg(pinned)
        .arg("--dest")
        .arg(wheels);
    step("fetch the compiler", &mut download)
}

fn unpack(wheels: &Path, folder: &Path) -> Result<()> {
    for wheel in entries(wheels)? {
        let mut unpack = Command::new(PYTHON);
        unpack.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(folder);
        let name = wheel.file_name().unwrap_or_default().to_string_lossy();
        step(&format!("unpack {name}"), &mut unpack)?;
    }
    for programs in PROGRAMS {
        for program in entries(&folder.join(programs))? {
            fs::set_permissions(&program, fs::Permissions::from_mode(RUNNABLE))
                .with_context(|| format!("cannot make {} a program", program.display()))?;
        }
    }
    Ok(())
}

/// The files in a folder, by name.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("cannot read {}", folder.display()))?;
    files.retain(|file| file.is_file());
    files.sort();
    Ok(files)
}

/// Removes a folder with all that is in it, if there is one.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}
