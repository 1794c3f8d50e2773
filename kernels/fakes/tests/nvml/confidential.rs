//! The calls about confidential computing, as the agent makes them. Each test has a copy of the library in a folder of its
//! own, and with it a fake of its own.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use kernels::nvml::{
    ConfidentialSettings, NvmlCallError, attestation_certificate_chain, attestation_report,
    confidential_settings, gpus_ready, set_gpus_ready,
};
use nvml_wrapper::Nvml;
use nvml_wrapper::error::NvmlError;

use super::library;

struct Fake {
    folder: tempfile::TempDir,
    nvml: Nvml,
}

impl Fake {
    fn load(settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("libnvidia_ml.so");
        std::fs::copy(library(), &copy).unwrap();
        write(folder.path(), settings);
        let nvml = Nvml::builder().lib_path(copy.as_os_str()).init().unwrap();
        Self { folder, nvml }
    }

    fn report(&self, gpu: u32) -> Result<Vec<u8>, NvmlCallError> {
        attestation_report(&self.nvml.device_by_index(gpu).unwrap(), [7; 32])
    }

    fn chain(&self, gpu: u32) -> Result<Vec<u8>, NvmlCallError> {
        attestation_certificate_chain(&self.nvml.device_by_index(gpu).unwrap())
    }

    /// Answers every request with the request itself.
    fn attester(&self) -> PathBuf {
        let socket = self.folder.path().join("attester.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut request) = (stream.unwrap(), [0; 37]);
                stream.read_exact(&mut request).unwrap();
                stream.write_all(&37_u32.to_be_bytes()).unwrap();
                stream.write_all(&request).unwrap();
            }
        });
        socket
    }
}

fn write(folder: &Path, settings: &str) {
    std::fs::write(folder.join("fake-nvml.env"), settings).unwrap();
}

fn length(error: &NvmlCallError) -> Option<(u32, usize)> {
    match error {
        NvmlCallError::Nvml { .. } => None,
        NvmlCallError::Length {
            seen_bytes,
            max_bytes,
            ..
        } => Some((*seen_bytes, *max_bytes)),
    }
}

#[test]
fn reports_and_chains_are_the_attesters() {
    let fake = Fake::load("");
    let socket = fake.attester();
    assert!(matches!(
        fake.report(0).unwrap_err().nvml(),
        Some(NvmlError::Unknown)
    ));
    write(
        fake.folder.path(),
        &format!("FAKE_NVML_ATTESTER={}", socket.display()),
    );
    let asked = |what, nonce| [&[what, 0, 0, 0, 1][..], &[nonce; 32]].concat();
    assert_eq!(fake.report(1).unwrap(), asked(1, 7));
    assert_eq!(fake.chain(1).unwrap(), asked(2, 0));
}

#[test]
fn a_length_beyond_the_buffer_is_an_error() {
    let fake = Fake::load("");
    let socket = fake.attester();
    for bytes in [8_193, u32::MAX] {
        let settings = format!(
            "FAKE_NVML_REPORT_BYTES={bytes}\nFAKE_NVML_CHAIN_BYTES={bytes}\nFAKE_NVML_ATTESTER={}",
            socket.display()
        );
        write(fake.folder.path(), &settings);
        let report = fake.report(0).unwrap_err();
        assert_eq!(length(&report), Some((bytes, 8_192)));
        let chain = fake.chain(0).unwrap_err();
        assert_eq!(length(&chain), Some((bytes, 5_120)));
    }
}

#[test]
fn a_gpu_may_be_lost_or_know_no_reports() {
    let fake = Fake::load(
        "FAKE_NVML_LOST_GPU=1\nFAKE_NVML_NOT_SUPPORTED=nvmlDeviceGetConfComputeGpuAttestationReport,\
         nvmlSystemGetConfComputeSettings",
    );
    let nvml = |error: NvmlCallError| format!("{:?}", error.nvml().unwrap());
    assert_eq!(nvml(fake.report(0).unwrap_err()), "NotSupported");
    assert_eq!(nvml(fake.report(1).unwrap_err()), "GpuLost");
    assert_eq!(nvml(fake.chain(1).unwrap_err()), "GpuLost");
    let settings = confidential_settings(&fake.nvml).unwrap_err();
    assert_eq!(nvml(settings), "NotSupported");
}

#[test]
fn mode_and_ready_state_are_the_machines() {
    let fake = Fake::load("FAKE_NVML_MULTI_GPU=1\nFAKE_NVML_DEV_TOOLS=1");
    let settings = ConfidentialSettings {
        environment: 2,
        feature: 1,
        dev_tools_mode: 1,
        multi_gpu_mode: 1,
    };
    assert_eq!(confidential_settings(&fake.nvml).unwrap(), settings);
    assert!(!gpus_ready(&fake.nvml).unwrap());
    set_gpus_ready(&fake.nvml, true).unwrap();
    assert!(gpus_ready(&fake.nvml).unwrap());
    set_gpus_ready(&fake.nvml, false).unwrap();
    assert!(!gpus_ready(&fake.nvml).unwrap());
    write(fake.folder.path(), "FAKE_NVML_SET_READY=4\nFAKE_NVML_CC=0");
    let refused = set_gpus_ready(&fake.nvml, true).unwrap_err();
    assert!(matches!(refused.nvml(), Some(NvmlError::NoPermission)));
    assert_eq!(confidential_settings(&fake.nvml).unwrap().feature, 0);
    let other = Fake::load("FAKE_NVML_READY=1");
    assert!(gpus_ready(&other.nvml).unwrap());
}
