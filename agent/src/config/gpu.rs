//! `[gpu]`: which GPU computes, and where its libraries are.

use std::path::{Path, PathBuf};

use kernels::executor::ExecutorKind;

use super::Keys;

const DEVICE: &str = "gpu.device";
const LIBRARIES: &str = "gpu.cuda_libraries";

/// The GPU's UUID and the folder of cuBLASLt, each where the file says so. On the CPU neither would do anything: whoever
/// says so meant another executor.
pub(super) fn gpu(
    keys: &mut Keys,
    executor: Option<ExecutorKind>,
) -> (Option<String>, Option<PathBuf>) {
    let given = [DEVICE, LIBRARIES].map(|key| keys.has(key));
    let [has_device, has_libraries] = given;
    let on_cpu = executor == Some(ExecutorKind::Cpu);
    if on_cpu {
        for (key, _) in [DEVICE, LIBRARIES]
            .iter()
            .zip(given)
            .filter(|(_, given)| *given)
        {
            keys.mistake(key, "has a meaning only with executor = \"cuda\"");
        }
    }
    let device = has_device.then(|| keys.text(DEVICE)).flatten();
    let libraries = has_libraries.then(|| keys.path(LIBRARIES)).flatten();
    if !on_cpu {
        if let Some(uuid) = &device {
            device_uuid(keys, uuid);
        }
        if let Some(folder) = &libraries {
            libraries_folder(keys, folder);
        }
    }
    (device, libraries)
}

fn device_uuid(keys: &mut Keys, text: &str) {
    if text.strip_prefix("GPU-").is_none_or(str::is_empty) {
        let wanted = "expected a GPU's UUID, GPU-…, as `nvidia-smi -L` shows it";
        keys.mistake(DEVICE, format!("{wanted}, not {text:?}"));
    }
}

fn libraries_folder(keys: &mut Keys, folder: &Path) {
    if !is_one_folder(folder) {
        keys.mistake(
            LIBRARIES,
            "expected one folder, without `:`, `;` or `$`, which the dynamic loader reads as more than a name",
        );
    } else if !folder.is_dir() {
        keys.mistake(
            LIBRARIES,
            format!("there is no folder {}", folder.display()),
        );
    }
}

/// Whether the dynamic loader takes the path for what it is; see `ld.so(8)`, `LD_LIBRARY_PATH` and "Dynamic string tokens".
fn is_one_folder(path: &Path) -> bool {
    !path
        .as_os_str()
        .as_encoded_bytes()
        .iter()
        .any(|byte| b":;$".contains(byte))
}
