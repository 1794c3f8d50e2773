//! INSECURE, for tests and the devnet only, never shipped: forges the evidence of confidential GPUs, and what NVIDIA says of them.
//!
//! Two roots of their own, one of devices and one of reference integrity manifests, both functions of the seed; the real
//! verifiers accept what is made here only under [`simulated_gpu_anchor`]. Every certificate is named `SIMULATED - not NVIDIA`.
//! A report is laid out as a real H100 lays it out, with 64 measurements of which the manifests of driver and VBIOS cover the
//! same indices as NVIDIA's.

mod chain;
mod key;
mod measurements;
mod ocsp;
mod report;
mod rim;

use attestation::gpu::{
    ConfidentialMode, DeviceKind, DeviceReport, GpuReferences, GpuTrustAnchor, MultiGpuMode,
};

pub use rim::{ManifestSigner, SimulatedManifests};

use crate::keys::Seed;
use chain::{DeviceAuthorities, DeviceChain};

/// Opens the organization of everything that is signed here.
pub(crate) const NAME: &str = "SIMULATED - not NVIDIA";

/// The chip that every simulated GPU claims to have.
pub const CHIP: &str = "GH100";

/// The driver of a GPU in good order.
pub const DRIVER_VERSION: &str = "550.90.07";

/// An older driver, for which there is a manifest too: only a floor refuses it.
pub const DRIVER_VERSION_OLD: &str = "535.86.09";

/// The VBIOS of a GPU in good order.
pub const VBIOS_VERSION: [u8; 5] = [0x96, 0x00, 0x9f, 0x00, 0x01];

/// An older VBIOS, for which there is a manifest too: only a floor refuses it.
pub const VBIOS_VERSION_OLD: [u8; 5] = [0x96, 0x00, 0x5e, 0x00, 0x01];

/// What a GPU and its machine say. [`GpuOptions::at`] is a GPU in good order; tests change one field.
#[derive(Clone, Debug)]
pub struct GpuOptions {
    /// The time at which OCSP responses are made, in seconds since the Unix epoch.
    pub now_s: u64,
    /// The driver that runs, as its report names it.
    pub driver_version: String,
    /// The VBIOS that runs.
    pub vbios_version: [u8; 5],
    /// Whether NVDEC0 is on.
    pub nvdec0: bool,
    /// What NVML says of confidential computing.
    pub mode: ConfidentialMode,
    /// Whether responses of the OCSP responder come with the report.
    pub ocsp: bool,
    /// What is wrong.
    pub flaw: Option<GpuFlaw>,
}

/// Something that a verifier must notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuFlaw {
    /// The report answers another nonce.
    Nonce,
    /// One bit of the report's signature is flipped.
    Signature,
    /// The report names another firmware than the certificate.
    FirmwareId,
    /// The measurement of that index (counted from 0) is none that a manifest describes.
    Measurement(u8),
    /// The chain is that of the same GPU under another seed's root, and so is the key that signs.
    ForeignRoot,
    /// The responder says that the certificate at that place of the chain is revoked.
    OcspRevoked(usize),
    /// The responses were good until an hour before.
    OcspExpired,
    /// The responses are signed by a responder that another seed's authorities certified.
    OcspForeign,
}

impl GpuOptions {
    /// A GPU in good order, alone in its TD.
    #[must_use]
    pub fn at(now_s: u64) -> Self {
        Self {
            now_s,
            driver_version: DRIVER_VERSION.to_owned(),
            vbios_version: VBIOS_VERSION,
            nvdec0: false,
            mode: ConfidentialMode {
                feature_on: true,
                dev_tools_on: false,
                multi_gpu_mode: MultiGpuMode::None,
            },
            ocsp: true,
            flaw: None,
        }
    }
}

/// One GPU of a simulated hierarchy.
#[derive(Debug)]
pub struct SimulatedGpu {
    seed: Seed,
    index: u16,
    authorities: DeviceAuthorities,
    chain: DeviceChain,
}

impl SimulatedGpu {
    /// One of this seed's GPUs: the same roots and measurements as its sisters, an identity of its own.
    #[must_use]
    pub fn new(seed: u64, index: u16) -> Self {
        let seed = Seed(seed);
        let authorities = DeviceAuthorities::new(seed);
        Self {
            chain: authorities.device(index),
            seed,
            index,
            authorities,
        }
    }

    /// The UUID that NVML would give.
    #[must_use]
    pub fn uuid(&self) -> String {
        let bytes: [u8; 16] = self.seed.bytes(&format!("GPU UUID {}", self.index));
        let mut text = hex::encode(bytes);
        for at in [20, 16, 12, 8] {
            text.insert(at, '-');
        }
        format!("GPU-{text}")
    }

    /// The serial number, in hexadecimal, of the certificate that stays with the GPU.
    #[must_use]
    pub fn serial(&self) -> String {
        hex::encode(self.chain.boot_rom.serial)
    }

    /// The GPU's answer to a request with `nonce`, with its certificates and OCSP responses.
    #[must_use]
    pub fn report(&self, nonce: &[u8; 32], options: &GpuOptions) -> DeviceReport {
        if options.flaw == Some(GpuFlaw::ForeignRoot) {
            let foreign = Self::new(!self.seed.0, self.index);
            let genuine = GpuOptions {
                flaw: None,
                ..options.clone()
            };
            return foreign.report(nonce, &genuine);
        }
        let ocsp_responses = match (options.ocsp, options.flaw) {
            (false, _) => Vec::new(),
            (true, Some(GpuFlaw::OcspForeign)) => {
                let foreign = DeviceAuthorities::new(Seed(!self.seed.0));
                ocsp::responses(&self.authorities, &self.chain, &foreign, options)
            }
            (true, _) => {
                ocsp::responses(&self.authorities, &self.chain, &self.authorities, options)
            }
        };
        DeviceReport {
            kind: DeviceKind::Gpu,
            uuid: self.uuid(),
            report: report::signed(self.seed, &self.chain, nonce, options),
            certificates: self.authorities.certificates(&self.chain),
            ocsp_responses,
            mode: options.mode,
        }
    }

    /// The manifests of both drivers and both VBIOS versions.
    #[must_use]
    pub fn references(&self) -> GpuReferences {
        SimulatedManifests::new(self.seed.0).references()
    }
}

/// The roots of this seed as a trust anchor, whose label says that it is not NVIDIA's.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the simulator is what other roots exist for; nothing that ships depends on it"
)]
pub fn simulated_gpu_anchor(seed: u64) -> GpuTrustAnchor {
    let devices = DeviceAuthorities::new(Seed(seed));
    let manifests = SimulatedManifests::new(seed);
    match GpuTrustAnchor::from_der(devices.root_der(), manifests.root_der()) {
        Ok(anchor) => anchor,
        Err(error) => unreachable!("the forged roots are CA certificates: {error}"),
    }
}
