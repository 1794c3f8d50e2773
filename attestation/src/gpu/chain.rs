//! From a device's own certificate to the pinned root: exactly these certificates, in this order.
//!
//! ```text
//! 0  the device's firmware     signs reports; another one after each firmware update
//! 1  the device's boot ROM     one for each device, for life
//! 2  a provisioner             NVIDIA's, names the chip
//! 3  the chip family           NVIDIA's
//! 4  NVIDIA Device Identity CA, byte for byte the pinned one
//! ```

use super::{
    anchor::GpuTrustAnchor,
    architecture::Architecture,
    certificate::{Certificate, CertificateError},
    dice,
    memo::SignatureMemo,
};

/// NVIDIA's own verifiers demand this length of GPUs and switches alike.
pub const CHAIN_CERTIFICATES_COUNT: usize = 5;

/// A chain that leads to the root. Only [`VerifiedChain::verify`] makes one.
#[derive(Debug)]
pub(super) struct VerifiedChain {
    certificates: [Certificate; CHAIN_CERTIFICATES_COUNT],
    pub(super) architecture: Architecture,
    /// As the boot ROM's certificate names it, without underscores.
    pub(super) chip: String,
    /// SHA-384 of the firmware that the device booted, as its certificate has it.
    pub(super) firmware_id: Option<[u8; 48]>,
}

impl VerifiedChain {
    pub(super) fn verify(
        chain: &[Vec<u8>],
        anchor: &GpuTrustAnchor,
        memo: &SignatureMemo,
        now_s: u64,
    ) -> Result<Self, ChainError> {
        if chain.len() != CHAIN_CERTIFICATES_COUNT {
            return Err(ChainError::Count(chain.len()));
        }
        if chain.last().map(Vec::as_slice) != Some(anchor.device_root()) {
            return Err(ChainError::Root);
        }
        let mut certificates = Vec::new();
        for (position, der) in chain.iter().enumerate() {
            let certificate = Certificate::parse(der)
                .and_then(|certificate| fits(certificate, position, now_s))
                .map_err(|source| ChainError::Certificate { position, source })?;
            certificates.push(certificate);
        }
        // From the root down, so that the memo never learns what the root does not vouch for.
        for (position, (certificate, issuer)) in pairs(&certificates).enumerate().rev() {
            certificate
                .issued_by(issuer, memo)
                .map_err(|source| ChainError::Certificate { position, source })?;
        }
        let count = certificates.len();
        let certificates = certificates
            .try_into()
            .map_err(|_| ChainError::Count(count))?;
        Self::identified(certificates)
    }

    fn identified(
        certificates: [Certificate; CHAIN_CERTIFICATES_COUNT],
    ) -> Result<Self, ChainError> {
        let [leaf, boot_rom, ..] = &certificates;
        let name = boot_rom.common_name().unwrap_or_default();
        let chip = name.split(' ').next().unwrap_or_default().to_owned();
        let product = dice::product(leaf).map_err(ChainError::DeviceInfo)?;
        if product.as_ref().is_some_and(|product| *product != chip) {
            return Err(ChainError::Product {
                issued: chip,
                claimed: product.unwrap_or_default(),
            });
        }
        Ok(Self {
            architecture: Architecture::of_chip(&chip)
                .ok_or_else(|| ChainError::Chip(chip.clone()))?,
            chip: chip.replace('_', ""),
            firmware_id: dice::firmware_id(leaf).map_err(ChainError::FirmwareId)?,
            certificates,
        })
    }

    /// The certificate of the key that signs reports.
    pub(super) const fn leaf(&self) -> &Certificate {
        let [leaf, ..] = &self.certificates;
        leaf
    }

    /// The certificate that stays with the device.
    pub(super) const fn device(&self) -> &Certificate {
        let [_, device, ..] = &self.certificates;
        device
    }

    /// Each certificate with its issuer, from the leaf to the one below the root.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&Certificate, &Certificate)> {
        pairs(&self.certificates)
    }
}

fn pairs(
    certificates: &[Certificate],
) -> impl DoubleEndedIterator<Item = (&Certificate, &Certificate)> + ExactSizeIterator {
    certificates.iter().zip(certificates.iter().skip(1))
}

/// The certificate may stand there, at that time.
fn fits(
    certificate: Certificate,
    position: usize,
    now_s: u64,
) -> Result<Certificate, CertificateError> {
    match position.checked_sub(1) {
        None => certificate.is_signer()?,
        Some(below) => certificate.is_authority(below)?,
    }
    certificate.in_date(now_s)?;
    Ok(certificate)
}

/// Why certificates do not lead to the root, or not from a known device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// More or fewer certificates than a device has.
    #[error("{0} certificates, not {CHAIN_CERTIFICATES_COUNT}")]
    Count(usize),
    /// The last one is not the pinned root.
    #[error("the last certificate is not the trust anchor")]
    Root,
    /// Something is wrong with one of them.
    #[error("certificate {position} does not lead to the root")]
    Certificate {
        /// Its place, from the leaf at 0.
        position: usize,
        /// What is wrong.
        source: CertificateError,
    },
    /// The leaf's device info does not parse.
    #[error("the device info in the device's certificate does not parse")]
    DeviceInfo(#[source] der::Error),
    /// The leaf names another chip than the certificate that NVIDIA issued to the device.
    #[error("the certificate of {issued:?} issued one for {claimed:?}")]
    Product {
        /// The chip in the boot ROM's certificate.
        issued: String,
        /// The chip in the leaf.
        claimed: String,
    },
    /// The leaf's firmware id does not parse.
    #[error("the firmware id in the device's certificate does not parse")]
    FirmwareId(#[source] der::Error),
    /// A chip that is not known here.
    #[error("chip {0:?} is unknown")]
    Chip(String),
}

#[cfg(test)]
mod tests;
