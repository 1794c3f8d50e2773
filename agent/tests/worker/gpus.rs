//! GPUs of the fake NVML and the fake CUDA of `kernels/fakes`, where it has been built (`cargo build -p fakes`), with reports that the
//! simulator signs under its own root.

mod admission;
mod change;
mod cuda;
mod evidence;
mod failure;
mod ocsp;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use agent::World;
use agent::gpus::{AttestedGpus, GpuAttester, GpuError};
use attestation::gpu::GpuTrustAnchor;
use nvml_wrapper::Nvml;
use simulator::attester::{self, Rack};
use simulator::gpu::{DRIVER_VERSION, GpuOptions, simulated_gpu_anchor};
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) const SEED: u64 = 11;
pub(crate) const NONCE: [u8; 32] = [9; 32];
/// The first GPU, as both fakes name it.
pub(crate) const FIRST: &str = "GPU-00000000-fa4e-0000-0000-000000000000";

/// The built library.
fn library() -> Option<PathBuf> {
    let mut folder = std::env::current_exe().unwrap();
    while folder.pop() {
        let library = folder.join("libnvidia_ml.so");
        if library.exists() {
            return Some(library);
        }
    }
    println!("SKIPPED: there is no libnvidia_ml.so; build it with `cargo build -p fakes`");
    None
}

#[expect(clippy::disallowed_methods, reason = "the clock of the test's world")]
pub(crate) fn now_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// Simulated GPUs behind a library of their own.
pub(crate) struct Gpus {
    folder: tempfile::TempDir,
    pub(crate) rack: Arc<Rack>,
    _attester: JoinSet<()>,
}

impl Gpus {
    /// Nothing where the library is not built.
    pub(crate) fn start(count: u16, settings: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::copy(library()?, folder.path().join("libnvidia_ml.so")).unwrap();
        fake_cuda::install(folder.path()).unwrap();
        let listener = UnixListener::bind(folder.path().join("attester.sock")).unwrap();
        let rack = Arc::new(Rack::new(SEED, count, GpuOptions::at(now_s())));
        let mut attester = JoinSet::new();
        let never = CancellationToken::new();
        attester.spawn(attester::serve(listener, Arc::clone(&rack), never));
        let gpus = Self {
            folder,
            rack,
            _attester: attester,
        };
        gpus.set(&format!("FAKE_NVML_GPUS={count}\n{settings}"));
        Some(gpus)
    }

    /// Other settings of the library, from its next call on.
    pub(crate) fn set(&self, settings: &str) {
        let folder = self.folder.path();
        let socket = folder.join("attester.sock");
        // The driver of the reports, unless the settings say otherwise.
        let text = format!(
            "FAKE_NVML_ATTESTER={}\nFAKE_NVML_DRIVER={DRIVER_VERSION}\n{settings}\n",
            socket.display()
        );
        // The library reads the file at every call, so it must never see a part of it.
        std::fs::write(folder.join("new"), text).unwrap();
        std::fs::rename(folder.join("new"), folder.join("fake-nvml.env")).unwrap();
    }

    /// A world with these GPUs and this root.
    pub(crate) fn world_under(&self, anchor: GpuTrustAnchor) -> World {
        World {
            nvml_library: Some(self.folder.path().join("libnvidia_ml.so")),
            ..World::real(anchor)
        }
    }

    /// A world in which these GPUs are genuine.
    pub(crate) fn world(&self) -> World {
        self.world_under(simulated_gpu_anchor(SEED))
    }

    /// A worker's configuration with these GPUs, of which the first computes.
    pub(crate) fn configured(&self, config: &str) -> String {
        let config = config.replace("\"cpu\"", "\"cuda\"");
        let folder = self.folder.path().display();
        format!("{config}\n[gpu]\ndevice = \"{FIRST}\"\ncuda_libraries = \"{folder}\"\n")
    }

    /// Other settings of the CUDA driver, from its next call on.
    pub(crate) fn set_cuda(&self, settings: &str) {
        let folder = self.folder.path();
        std::fs::write(folder.join("new-cuda"), settings).unwrap();
        std::fs::rename(folder.join("new-cuda"), folder.join("fake-cuda.env")).unwrap();
    }

    pub(crate) async fn attest(&self) -> Result<AttestedGpus, GpuError> {
        GpuAttester::new(&self.world(), None).attest(NONCE).await
    }

    pub(crate) fn are_ready(&self) -> bool {
        let library = self.folder.path().join("libnvidia_ml.so");
        let nvml = Nvml::builder()
            .lib_path(library.as_os_str())
            .init()
            .unwrap();
        kernels::nvml::gpus_ready(&nvml).unwrap()
    }
}
