//! The roots that GPU verification ends in: NVIDIA's, unless a test says otherwise.

use std::fmt;

use super::certificate::{Certificate, CertificateError};

/// The roots of NVIDIA's devices and of its reference integrity manifests.
///
/// A shipped `main` says [`GpuTrustAnchor::nvidia`]; there is no feature, flag, variable or key that swaps it. The label
/// belongs beside every verdict, so that nobody takes a simulated one for NVIDIA's word.
#[derive(Clone, PartialEq, Eq)]
pub struct GpuTrustAnchor {
    device_root: Vec<u8>,
    rim_root: Vec<u8>,
    label: String,
}

impl GpuTrustAnchor {
    /// `NVIDIA Device Identity CA` and `NVIDIA CoRIM signing Root CA`, as NVIDIA publishes them beside its verifier
    /// (`nvtrust`, `guest_tools/gpu_verifiers/local_gpu_verifier/src/verifier/certs`).
    ///
    /// SHA-256 of the certificates: `102bf659…0b167b48` (to 9999-12-31) and `12977b51…5fa41df5d1` (to 2053-03-08).
    #[must_use]
    pub fn nvidia() -> Self {
        Self {
            device_root: include_bytes!("anchor/nvidia-device-identity-ca.der").to_vec(),
            rim_root: include_bytes!("anchor/nvidia-corim-signing-root-ca.der").to_vec(),
            label: "NVIDIA Device Identity CA".to_owned(),
        }
    }

    /// Other roots, from self-signed CA certificates. For tests and the simulator only.
    pub fn from_der(device_root: &[u8], rim_root: &[u8]) -> Result<Self, GpuTrustAnchorError> {
        let subject = authority(device_root)?;
        authority(rim_root)?;
        Ok(Self {
            device_root: device_root.to_vec(),
            rim_root: rim_root.to_vec(),
            label: format!("NOT NVIDIA: {subject}"),
        })
    }

    /// What to show beside a verdict: `NVIDIA Device Identity CA`, or `NOT NVIDIA: <subject>`.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The root (DER) of the devices' certificates.
    #[must_use]
    pub fn device_root(&self) -> &[u8] {
        &self.device_root
    }

    /// The root (DER) of the certificates that sign reference integrity manifests.
    #[must_use]
    pub fn rim_root(&self) -> &[u8] {
        &self.rim_root
    }
}

fn authority(der: &[u8]) -> Result<String, GpuTrustAnchorError> {
    let certificate = Certificate::parse(der).map_err(GpuTrustAnchorError)?;
    certificate.is_authority(0).map_err(GpuTrustAnchorError)?;
    Ok(certificate.subject().to_string())
}

impl fmt::Debug for GpuTrustAnchor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "GpuTrustAnchor({})", self.label)
    }
}

/// A certificate cannot be a trust anchor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the GPU trust anchor is unusable")]
pub struct GpuTrustAnchorError(#[source] CertificateError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nvidia_is_labelled_so_and_parses() {
        let anchor = GpuTrustAnchor::nvidia();
        assert_eq!(anchor.label(), "NVIDIA Device Identity CA");
        assert!(authority(anchor.device_root()).is_ok());
        assert!(authority(anchor.rim_root()).is_ok());
        for (root, digest) in [
            (
                anchor.device_root(),
                "102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48",
            ),
            (
                anchor.rim_root(),
                "12977b5115acb0381179279fffeb5a8c4d264971ebb32298023a465fa41df5d1",
            ),
        ] {
            assert_eq!(hex::encode(crate::digest::sha256(&[root])), digest);
        }
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the refusals of from_der are what is tested"
    )]
    fn nonsense_is_no_anchor_and_another_root_is_labelled_so() {
        let nvidia = GpuTrustAnchor::nvidia();
        assert!(GpuTrustAnchor::from_der(b"", nvidia.rim_root()).is_err());
        assert!(GpuTrustAnchor::from_der(nvidia.device_root(), &[0x30, 0]).is_err());
        let other = GpuTrustAnchor::from_der(nvidia.rim_root(), nvidia.rim_root()).unwrap();
        assert!(other.label().starts_with("NOT NVIDIA: "), "{other:?}");
    }
}
