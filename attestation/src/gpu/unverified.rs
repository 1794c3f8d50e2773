//! A device's evidence for a person to look at, before or instead of verifying it.

use std::collections::BTreeMap;

use super::{
    Architecture, Details, DeviceKind, DeviceReport, ReferenceId, ReportError, VbiosVersion,
    certificate::Certificate, measurements::reference_ids, report::Report,
};

/// What a report states of its device, and what its certificates add. Nothing of it is believed: no signature was verified and
/// no chain followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnverifiedReport {
    /// The nonce of the request.
    pub nonce: [u8; 32],
    /// The VBIOS's version; of a switch, its firmware's.
    pub vbios_version: VbiosVersion,
    /// What GPU or switch say, each in its way.
    pub details: Details,
    /// The measurements by index, counted from 0 as NVIDIA's manifests do.
    pub measurements: BTreeMap<u32, Vec<u8>>,
    /// The serial of the certificate that stays with the device, by which policies enrol it; absent where it did not come.
    pub device_serial: Option<String>,
    /// The manifests that describe its measurements. A driver's is left out where neither report nor certificates name the chip.
    pub reference_ids: Vec<ReferenceId>,
}

impl UnverifiedReport {
    /// Read a device's report without believing it.
    pub fn inspect(device: &DeviceReport) -> Result<Self, ReportError> {
        let report = Report::parse(&device.report, device.kind)?;
        // The second is the boot ROM's, for life; its name begins with the chip's.
        let certificate = device.certificates.get(1);
        let certificate = certificate.and_then(|der| Certificate::parse(der).ok());
        let name = certificate.as_ref().and_then(Certificate::common_name);
        let chip = name.as_deref().and_then(|name| name.split(' ').next());
        let chip = match &report.details {
            Details::Gpu(gpu) => gpu.chip.as_deref().or(chip),
            Details::NvSwitch(_) => chip,
        };
        let product = chip.and_then(|chip| Some((Architecture::of_chip(chip)?, chip)));
        Ok(Self {
            nonce: report.nonce,
            reference_ids: reference_ids(product, &report.details, report.vbios_version),
            vbios_version: report.vbios_version,
            measurements: report.measurements,
            device_serial: certificate.map(|certificate| hex::encode(certificate.serial())),
            details: report.details,
        })
    }

    /// Whether a report is one of a device of that kind: it does not say, but its fields do.
    #[must_use]
    pub fn is_of(kind: DeviceKind, report: &[u8]) -> bool {
        Report::parse(report, kind).is_ok()
    }
}
