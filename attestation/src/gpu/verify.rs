//! Verifying a device's evidence: from bytes to what the device identity root vouches for.

use std::{collections::BTreeMap, fmt, sync::Arc};

use serde::Serialize;

use super::{
    Architecture, ConfidentialMode, Details, DeviceKind, DeviceReport, DriverVersion, GpuDetails,
    GpuError, GpuTrustAnchor, OcspError, OcspStanding, Pdi, VbiosVersion,
    chain::{CHAIN_CERTIFICATES_COUNT, VerifiedChain},
    memo::SignatureMemo,
    ocsp::Response,
    p384,
    report::Report,
};

/// Certificates that have an issuer in the chain.
const ISSUED_COUNT: usize = CHAIN_CERTIFICATES_COUNT - 1;
/// NVIDIA's responder answers for all of these but the leaf, which the device issues to itself.
const FIRST_WITH_OCSP: usize = 1;

/// Verifies devices under one trust anchor. Share it freely: clones remember the same signatures, which makes them faster and
/// never changes what they say.
#[derive(Clone, Debug)]
pub struct GpuVerifier {
    anchor: GpuTrustAnchor,
    memo: Arc<SignatureMemo>,
}

impl GpuVerifier {
    /// A verifier that ends every chain in `anchor`.
    #[must_use]
    pub fn new(anchor: GpuTrustAnchor) -> Self {
        Self {
            anchor,
            memo: Arc::default(),
        }
    }

    /// The trust anchor, for its label and its root of reference measurements.
    #[must_use]
    pub const fn anchor(&self) -> &GpuTrustAnchor {
        &self.anchor
    }

    /// Verify a device's evidence at `now_s` (seconds since the Unix epoch).
    ///
    /// Without a nonce the report may be of any age; for evidence that is looked at, not admitted.
    pub fn verify(
        &self,
        device: &DeviceReport,
        nonce: Option<&[u8; 32]>,
        now_s: u64,
    ) -> Result<VerifiedGpu, GpuError> {
        device.limits().map_err(GpuError::Limits)?;
        let report = Report::parse(&device.report, device.kind).map_err(GpuError::Report)?;
        let chain = VerifiedChain::verify(&device.certificates, &self.anchor, &self.memo, now_s)
            .map_err(GpuError::Chain)?;
        if chain.architecture.kind() != device.kind {
            return Err(GpuError::Kind {
                claimed: device.kind,
                architecture: chain.architecture,
            });
        }
        p384::verify(chain.leaf().point(), report.signed, report.signature)
            .map_err(|_| GpuError::Signature)?;
        same_firmware(&report, &chain)?;
        answers(&report, nonce)?;
        let ocsp = standings(&chain, &device.ocsp_responses, &self.memo, now_s)?;
        Ok(VerifiedGpu::new(&self.anchor, device, report, &chain, ocsp))
    }
}

/// The report repeats the digest of the firmware that its key was made for. Old drivers and switches leave it out.
fn same_firmware(report: &Report<'_>, chain: &VerifiedChain) -> Result<(), GpuError> {
    match report.firmware_id {
        Some(id) if Some(id) != chain.firmware_id => Err(GpuError::FirmwareId {
            report: hex::encode(id),
            certificate: chain
                .firmware_id
                .map_or_else(|| "none".to_owned(), hex::encode),
        }),
        _ => Ok(()),
    }
}

fn answers(report: &Report<'_>, nonce: Option<&[u8; 32]>) -> Result<(), GpuError> {
    match nonce {
        Some(nonce) if *nonce != report.nonce => Err(GpuError::Nonce {
            found: hex::encode(report.nonce),
            wanted: hex::encode(nonce),
        }),
        _ => Ok(()),
    }
}

fn standings(
    chain: &VerifiedChain,
    responses: &[Vec<u8>],
    memo: &SignatureMemo,
    now_s: u64,
) -> Result<[OcspStanding; ISSUED_COUNT], GpuError> {
    let mut standings = [OcspStanding::NotStapled; ISSUED_COUNT];
    for (response, bytes) in responses.iter().enumerate() {
        let outcome = staple(chain, bytes, memo, now_s, &mut standings);
        outcome.map_err(|source| GpuError::Ocsp { response, source })?;
    }
    Ok(standings)
}

fn staple(
    chain: &VerifiedChain,
    bytes: &[u8],
    memo: &SignatureMemo,
    now_s: u64,
    standings: &mut [OcspStanding],
) -> Result<(), OcspError> {
    let response = Response::parse(bytes)?;
    let subject = response.subject(chain.pairs())?;
    let issuer = chain.pairs().nth(subject).map(|(_, issuer)| issuer);
    let (Some(issuer), Some(standing)) = (issuer, standings.get_mut(subject)) else {
        return Err(OcspError::Foreign);
    };
    if *standing != OcspStanding::NotStapled {
        return Err(OcspError::Repeated);
    }
    *standing = response.verify(issuer, memo, now_s)?;
    Ok(())
}

/// A device whose evidence leads to the root, with what it says. Only [`GpuVerifier::verify`] makes one.
///
/// Verified is not admitted: confidential mode may be off, firmware old. That is for the appraisal; and what the firmware
/// is, only the comparison of its measurements with NVIDIA's tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifiedGpu {
    trust_anchor: String,
    kind: DeviceKind,
    uuid: String,
    architecture: Architecture,
    chip: String,
    device_serial: String,
    certificate_serial: String,
    pdi: Option<Pdi>,
    #[serde(with = "hex::serde")]
    nonce: [u8; 32],
    vbios_version: VbiosVersion,
    details: Details,
    #[serde(serialize_with = "hex_values")]
    measurements: BTreeMap<u32, Vec<u8>>,
    #[serde(serialize_with = "hex_values")]
    fields: BTreeMap<u16, Vec<u8>>,
    ocsp: [OcspStanding; ISSUED_COUNT],
    mode: ConfidentialMode,
}

impl VerifiedGpu {
    fn new(
        anchor: &GpuTrustAnchor,
        device: &DeviceReport,
        report: Report<'_>,
        chain: &VerifiedChain,
        ocsp: [OcspStanding; ISSUED_COUNT],
    ) -> Self {
        Self {
            trust_anchor: anchor.label().to_owned(),
            kind: device.kind,
            uuid: device.uuid.clone(),
            architecture: chain.architecture,
            chip: chain.chip.clone(),
            device_serial: hex::encode(chain.device().serial()),
            certificate_serial: hex::encode(chain.leaf().serial()),
            pdi: chain.device().serial().try_into().ok().map(pdi_of_serial),
            nonce: report.nonce,
            vbios_version: report.vbios_version,
            details: report.details,
            measurements: report.measurements,
            fields: report.fields,
            ocsp,
            mode: device.mode,
        }
    }

    /// The label of the root that vouches for the device.
    #[must_use]
    pub fn trust_anchor(&self) -> &str {
        &self.trust_anchor
    }

    /// GPU or switch.
    #[must_use]
    pub const fn kind(&self) -> DeviceKind {
        self.kind
    }

    /// The UUID. The measured agent's word: the device's signature does not cover it.
    #[must_use]
    pub fn uuid(&self) -> &str {
        &self.uuid
    }

    /// The family, after the certificates.
    #[must_use]
    pub const fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The chip, after the certificates, such as `GH100`.
    #[must_use]
    pub fn chip(&self) -> &str {
        &self.chip
    }

    /// The device's identity: the serial number, in hexadecimal, of the certificate that NVIDIA issued to this very device.
    /// It stays when firmware changes.
    #[must_use]
    pub fn device_serial(&self) -> &str {
        &self.device_serial
    }

    /// The serial number, in hexadecimal, of the certificate that signed the report. Changes with the firmware.
    #[must_use]
    pub fn certificate_serial(&self) -> &str {
        &self.certificate_serial
    }

    /// The device's identifier on NVLink, after the certificate that NVIDIA issued to it: behind one byte for the kind. So
    /// what GPUs and switches say of their links can be held against devices that were verified.
    #[must_use]
    pub const fn pdi(&self) -> Option<Pdi> {
        self.pdi
    }

    /// The nonce that the report answers.
    #[must_use]
    pub const fn nonce(&self) -> &[u8; 32] {
        &self.nonce
    }

    /// The VBIOS's version; of a switch, its firmware's.
    #[must_use]
    pub const fn vbios_version(&self) -> VbiosVersion {
        self.vbios_version
    }

    /// What GPU or switch say, each in its way.
    #[must_use]
    pub const fn details(&self) -> &Details {
        &self.details
    }

    /// What a GPU says that a switch does not.
    #[must_use]
    pub const fn gpu(&self) -> Option<&GpuDetails> {
        match &self.details {
            Details::Gpu(details) => Some(details),
            Details::NvSwitch(_) => None,
        }
    }

    /// The driver's version; a switch has none.
    #[must_use]
    pub fn driver_version(&self) -> Option<&DriverVersion> {
        self.gpu().map(|details| &details.driver_version)
    }

    /// The measurements by index, counted from 0 as NVIDIA's manifests do.
    #[must_use]
    pub const fn measurements(&self) -> &BTreeMap<u32, Vec<u8>> {
        &self.measurements
    }

    /// All of NVIDIA's own fields in the report, by number.
    #[must_use]
    pub const fn fields(&self) -> &BTreeMap<u16, Vec<u8>> {
        &self.fields
    }

    /// What stapled OCSP responses say of the certificates, from the leaf to the one below the root.
    #[must_use]
    pub const fn ocsp(&self) -> &[OcspStanding; ISSUED_COUNT] {
        &self.ocsp
    }

    /// Refuse the device unless each certificate that NVIDIA's responder answers for has a good response that is in date at
    /// `now_s`, or past it by less than `grace_s`. The leaf has none: the device issues it to itself.
    pub fn require_ocsp(&self, now_s: u64, grace_s: u64) -> Result<(), GpuError> {
        for (certificate, standing) in self.ocsp.iter().enumerate().skip(FIRST_WITH_OCSP) {
            match *standing {
                OcspStanding::Good { next_update_s, .. }
                    if now_s < next_update_s.saturating_add(grace_s) => {}
                OcspStanding::Good { next_update_s, .. } => {
                    return Err(GpuError::OcspExpired {
                        certificate,
                        next_update_s,
                        now_s,
                    });
                }
                OcspStanding::NotStapled => return Err(GpuError::OcspMissing { certificate }),
                OcspStanding::Unknown => return Err(GpuError::OcspUnknown { certificate }),
            }
        }
        Ok(())
    }

    /// What NVML says of confidential mode on this machine. The measured agent's word.
    #[must_use]
    pub const fn mode(&self) -> &ConfidentialMode {
        &self.mode
    }
}

/// A device certificate's serial number: `41` (GPU) or `50` (LS10), then the identifier.
const fn pdi_of_serial([_, pdi @ ..]: [u8; 9]) -> Pdi {
    Pdi(pdi)
}

fn hex_values<K: Serialize + Ord, S: serde::Serializer>(
    values: &BTreeMap<K, Vec<u8>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().map(|(key, value)| (key, hex::encode(value))))
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Gpu => "GPU",
            Self::NvSwitch => "NVSwitch",
        })
    }
}

#[cfg(test)]
mod tests;
