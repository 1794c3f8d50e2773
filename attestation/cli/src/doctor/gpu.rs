//! The GPU: whether there is one, its driver, and whether it is ready for confidential work.

use std::{fs, path::Path};

use nvml_wrapper::{Nvml, error::NvmlError};

use super::examination::Examination;
use crate::Machine;

const DEVICE: &str = "NVIDIA GPU";
const DRIVER: &str = "NVIDIA driver";
const MODE: &str = "GPU's confidential mode";
/// NVIDIA's vendor id, and the class of display and 3D controllers, as sysfs spells them.
const VENDOR: &str = "0x10de";
const DISPLAY_CLASS: &str = "0x03";
/// Confidential computing is in the open kernel modules alone.
const OPEN: &str = "Open Kernel Module";

pub(super) fn examine(machine: &Machine, required: bool) -> Vec<Examination> {
    let device = device(machine, required);
    if !device.passed() {
        let skip = |name| Examination::skip(name, "no GPU");
        return vec![device, skip(DRIVER), skip(MODE)];
    }
    let driver = driver(machine);
    let mode = if driver.passed() {
        mode(machine.nvml_library.as_deref())
    } else {
        Examination::skip(MODE, "no usable driver")
    };
    vec![device, driver, mode]
}

fn device(machine: &Machine, required: bool) -> Examination {
    let devices = fs::read_dir(machine.path("/sys/bus/pci/devices"));
    let devices = devices.into_iter().flatten().flatten();
    let is_gpu = |path: &Path| {
        let attribute = |name: &str| fs::read_to_string(path.join(name)).unwrap_or_default();
        attribute("vendor").trim() == VENDOR && attribute("class").starts_with(DISPLAY_CLASS)
    };
    let count = devices.filter(|entry| is_gpu(&entry.path())).count();
    match (count, required) {
        (0, true) => Examination::fail(
            DEVICE,
            "none on the PCI bus",
            "pass the GPU through to this VM (VFIO), in confidential mode",
        ),
        (0, false) => Examination::skip(DEVICE, "none on the PCI bus; --require-gpu demands one"),
        (count, _) => Examination::pass(DEVICE, format!("{count} on the PCI bus")),
    }
}

fn driver(machine: &Machine) -> Examination {
    let Ok(text) = fs::read_to_string(machine.path("/proc/driver/nvidia/version")) else {
        return Examination::fail(
            DRIVER,
            "not loaded: /proc/driver/nvidia/version is not there",
            "install NVIDIA's driver with the open kernel modules; modprobe nvidia; read `dmesg | grep NVRM`",
        );
    };
    let line = text.lines().next().unwrap_or_default().trim().to_owned();
    if line.contains(OPEN) {
        Examination::pass(DRIVER, line)
    } else {
        let remedy = "install the open kernel modules (nvidia-open): the closed ones know no confidential mode";
        Examination::fail(DRIVER, line, remedy)
    }
}

/// What the driver says of confidential computing on this machine.
fn mode(library: Option<&Path>) -> Examination {
    match states(library) {
        Ok((_, true)) => Examination::pass(MODE, "on, in production, ready for work"),
        Ok((true, false)) => Examination::fail(
            MODE,
            "ready for work, but confidential mode is off or not in production",
            "switch confidential mode on from the VMM's side, production, without developer tools; `nvidia-smi conf-compute -f` and \
             `-e` show both",
        ),
        Ok((false, false)) => Examination::fail(
            MODE,
            "not ready for work: no work is accepted before the GPU's evidence was verified",
            "let cocoon-worker verify the GPU, which sets it ready; `nvidia-smi conf-compute -grs` shows the state",
        ),
        Err(error) => Examination::fail(
            MODE,
            format!("NVML does not say: {error}"),
            "`nvidia-smi conf-compute -f` shows the mode, `-grs` the ready state; both need a driver that knows them (550 or later)",
        ),
    }
}

/// Whether the GPUs accept work, and whether they do so in confidential production mode. NVML answers for all of them at once.
fn states(library: Option<&Path>) -> Result<(bool, bool), NvmlError> {
    let nvml = match library {
        Some(path) => Nvml::builder().lib_path(path.as_os_str()).init()?,
        None => Nvml::init()?,
    };
    let gpu = nvml.device_by_index(0)?;
    Ok((
        gpu.get_confidential_compute_state()?,
        gpu.check_confidential_compute_status()?,
    ))
}
