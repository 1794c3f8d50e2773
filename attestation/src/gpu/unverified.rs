//! A report for a person to look at, before or instead of verifying it.

use std::collections::BTreeMap;

use super::{Details, DeviceKind, ReportError, VbiosVersion, report::Report};

/// What a report states of its device. Nothing of it is believed: no signature was verified and no chain followed.
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
}

impl UnverifiedReport {
    /// Read a report without believing it.
    pub fn inspect(bytes: &[u8], kind: DeviceKind) -> Result<Self, ReportError> {
        let report = Report::parse(bytes, kind)?;
        Ok(Self {
            nonce: report.nonce,
            vbios_version: report.vbios_version,
            details: report.details,
            measurements: report.measurements,
        })
    }
}
