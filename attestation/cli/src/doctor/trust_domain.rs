//! Whether this is a trust domain, and whether Linux offers reports of it.

use std::path::Path;

use super::examination::{Examination, NO_TD};
use crate::Machine;

const CPU: &str = "trust domain";
const DRIVER: &str = "TDX guest driver";
const CONFIGFS: &str = "configfs";
const REPORTS: &str = "configfs-tsm reports";
/// The CPU flag that Linux shows in a TD.
const FLAG: &str = "tdx_guest";
const CONFIGFS_DIR: &str = "/sys/kernel/config";
pub(super) const REPORTS_DIR: &str = "/sys/kernel/config/tsm/report";

pub(super) fn examine(machine: &Machine) -> Vec<Examination> {
    let cpu = cpu(machine);
    if !cpu.passed() {
        let skip = |name| Examination::skip(name, NO_TD);
        return vec![cpu, skip(DRIVER), skip(CONFIGFS), skip(REPORTS)];
    }
    vec![cpu, driver(machine), configfs(machine), reports(machine)]
}

fn cpu(machine: &Machine) -> Examination {
    let remedy = "start this VM as an Intel TDX trust domain (QEMU: -object tdx-guest, with the TDX module on the VMM's side) and boot a \
                  Linux that knows it";
    match std::fs::read_to_string(machine.path("/proc/cpuinfo")) {
        Ok(text) if text.split_whitespace().any(|word| word == FLAG) => {
            Examination::pass(CPU, format!("the CPU's flags name {FLAG}"))
        }
        Ok(_) => Examination::fail(CPU, format!("the CPU's flags do not name {FLAG}"), remedy),
        Err(error) => Examination::fail(CPU, format!("cannot read /proc/cpuinfo: {error}"), remedy),
    }
}

fn driver(machine: &Machine) -> Examination {
    let device = Path::new("/dev/tdx_guest");
    let module = Path::new("/sys/module/tdx_guest");
    let found = [device, module]
        .into_iter()
        .find(|path| machine.path(path).exists());
    match found {
        Some(path) => Examination::pass(DRIVER, format!("{} is there", path.display())),
        None => Examination::fail(
            DRIVER,
            "neither /dev/tdx_guest nor the module tdx_guest is there",
            "modprobe tdx_guest; a Linux without it needs CONFIG_TDX_GUEST_DRIVER",
        ),
    }
}

fn configfs(machine: &Machine) -> Examination {
    let mounts = std::fs::read_to_string(machine.path("/proc/mounts")).unwrap_or_default();
    let mounted = mounts.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some(CONFIGFS_DIR) && fields.next() == Some("configfs")
    });
    if mounted {
        Examination::pass(CONFIGFS, format!("mounted at {CONFIGFS_DIR}"))
    } else {
        Examination::fail(
            CONFIGFS,
            format!("not mounted at {CONFIGFS_DIR}"),
            format!(
                "systemctl start sys-kernel-config.mount, or mount -t configfs none {CONFIGFS_DIR}"
            ),
        )
    }
}

fn reports(machine: &Machine) -> Examination {
    if machine.path(REPORTS_DIR).is_dir() {
        Examination::pass(REPORTS, format!("{REPORTS_DIR} is there"))
    } else {
        Examination::fail(
            REPORTS,
            format!("{REPORTS_DIR} is not there"),
            "use a Linux with CONFIG_TSM_REPORTS (6.7 or later), and load tdx_guest",
        )
    }
}
