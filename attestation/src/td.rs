//! What a TD quote says of its TD: the TD quote body and its parts.
//!
//! Layouts after Intel's *TDX DCAP Quoting Library API* (TD quote body v1.0, v1.5, v1.5 extended) and *TDX Module ABI
//! Specification* 348551, table 3.23 (TD attributes). All multi-byte values stand as in the quote: little-endian.

use std::{fmt, str::FromStr};

use dcap_qvl::quote::{Report, TDReport10, TDReport15, TDReport15Ex};
use serde::{Deserialize, Serialize};

use crate::ReportData;

/// A SHA-384 measurement, or a 48-byte value that is shown like one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Measurement(#[serde(with = "hex::serde")] pub [u8; 48]);

impl Measurement {
    /// What stands where nothing was measured or set.
    pub const ZERO: Self = Self([0; 48]);
}

impl fmt::Display for Measurement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Measurement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Measurement({self})")
    }
}

impl FromStr for Measurement {
    type Err = hex::FromHexError;

    /// 96 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 48];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

/// The TD's mode bits, eight bytes, bit 0 first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TdAttributes(#[serde(with = "hex::serde")] pub [u8; 8]);

impl TdAttributes {
    /// The bits as a number.
    #[must_use]
    pub const fn bits(self) -> u64 {
        u64::from_le_bytes(self.0)
    }

    /// Bit 0: whoever runs the machine can read and change the TD's state and memory.
    #[must_use]
    pub const fn debug(self) -> bool {
        self.bits() & 1 != 0
    }

    /// Bits 4 to 6: the TD is under profiling by the VMM.
    #[must_use]
    pub const fn profiling(self) -> bool {
        self.bits() & 0x70 != 0
    }

    /// Bit 28: access to pending pages halts the TD instead of surprising it.
    #[must_use]
    pub const fn sept_ve_disable(self) -> bool {
        self.bits() & (1 << 28) != 0
    }

    /// Bit 29: a migration TD may move the TD to another platform.
    #[must_use]
    pub const fn migratable(self) -> bool {
        self.bits() & (1 << 29) != 0
    }

    /// Bit 17: the quote carries the hash of service TDs bound to the TD.
    #[must_use]
    pub const fn service_td_extension(self) -> bool {
        self.bits() & (1 << 17) != 0
    }
}

impl fmt::Display for TdAttributes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for TdAttributes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TdAttributes({self})")
    }
}

/// The TD report's fields as they stand in a quote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TdQuoteBody {
    /// Security versions of the TDX module and platform at launch.
    #[serde(with = "hex::serde")]
    pub tee_tcb_svn: [u8; 16],
    /// MRSEAM: measurement of the TDX module.
    pub mr_seam: Measurement,
    /// MRSIGNERSEAM: signer of the TDX module; zero for Intel's own.
    pub mr_signer_seam: Measurement,
    /// SEAM attributes of the TDX module.
    #[serde(with = "hex::serde")]
    pub seam_attributes: [u8; 8],
    /// The TD's mode bits.
    pub td_attributes: TdAttributes,
    /// Extended CPU features that the TD may use.
    #[serde(with = "hex::serde")]
    pub xfam: [u8; 8],
    /// MRTD: measurement of the TD as built.
    pub mrtd: Measurement,
    /// MRCONFIGID: set by the VMM at creation.
    pub mr_config_id: Measurement,
    /// MROWNER: set by the VMM at creation.
    pub mr_owner: Measurement,
    /// MROWNERCONFIG: set by the VMM at creation.
    pub mr_owner_config: Measurement,
    /// Run-time measurement registers 0 to 3.
    pub rtmrs: [Measurement; 4],
    /// The 64 bytes that the TD chose.
    pub report_data: ReportData,
    /// What TD 1.5 adds.
    pub td15: Option<Td15>,
}

/// The fields that a TD 1.5 quote body adds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Td15 {
    /// Security versions now, after an update of the TDX module that preserved the TD.
    #[serde(with = "hex::serde")]
    pub tee_tcb_svn2: [u8; 16],
    /// MRSERVICETD: hash of the service TDs bound to the TD; zero where there is none.
    pub mr_service_td: Measurement,
    /// What the extended TD 1.5 body adds.
    pub extended: Option<Td15Extended>,
}

/// The fields of the extended TD 1.5 body that an appraisal can use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Td15Extended {
    /// 0 for an unpartitioned TD or its L1 VMM, 1 to 3 for the TD's VMs.
    pub vm_index: u8,
    /// Statistically unique id of the TD instance.
    #[serde(with = "hex::serde")]
    pub td_id: [u8; 32],
    /// Hash of the device information.
    pub device_information: Measurement,
    /// Hash of the service TDs bound now; zero where there is none.
    pub current_service_td_hash: Measurement,
}

impl TdQuoteBody {
    /// Whether any service TD is, or at creation was, bound to the TD.
    #[must_use]
    pub fn has_service_td(&self) -> bool {
        let hashes = self.td15.iter().flat_map(|td15| {
            let current = td15
                .extended
                .as_ref()
                .map(|extended| extended.current_service_td_hash);
            [Some(td15.mr_service_td), current].into_iter().flatten()
        });
        self.td_attributes.service_td_extension()
            || hashes.into_iter().any(|hash| hash != Measurement::ZERO)
    }

    /// Name of the body's layout: `TD 1.0`, `TD 1.5` or `TD 1.5 extended`.
    #[must_use]
    pub const fn layout(&self) -> &'static str {
        match &self.td15 {
            None => "TD 1.0",
            Some(Td15 { extended: None, .. }) => "TD 1.5",
            Some(Td15 {
                extended: Some(_), ..
            }) => "TD 1.5 extended",
        }
    }

    pub(crate) fn from_report(report: &Report) -> Option<Self> {
        match report {
            Report::SgxEnclave(_) => None,
            Report::TD10(body) => Some(Self::from_td10(body)),
            Report::TD15(body) => Some(Self::from_td15(body, None)),
            Report::TD15Ex(body) => {
                Some(Self::from_td15(&body.base, Some(Td15Extended::from(body))))
            }
        }
    }

    fn from_td15(body: &TDReport15, extended: Option<Td15Extended>) -> Self {
        let td15 = Td15 {
            tee_tcb_svn2: body.tee_tcb_svn2,
            mr_service_td: Measurement(body.mr_service_td),
            extended,
        };
        Self {
            td15: Some(td15),
            ..Self::from_td10(&body.base)
        }
    }

    fn from_td10(body: &TDReport10) -> Self {
        Self {
            tee_tcb_svn: body.tee_tcb_svn,
            mr_seam: Measurement(body.mr_seam),
            mr_signer_seam: Measurement(body.mr_signer_seam),
            seam_attributes: body.seam_attributes,
            td_attributes: TdAttributes(body.td_attributes),
            xfam: body.xfam,
            mrtd: Measurement(body.mr_td),
            mr_config_id: Measurement(body.mr_config_id),
            mr_owner: Measurement(body.mr_owner),
            mr_owner_config: Measurement(body.mr_owner_config),
            rtmrs: [body.rt_mr0, body.rt_mr1, body.rt_mr2, body.rt_mr3].map(Measurement),
            report_data: ReportData(body.report_data),
            td15: None,
        }
    }
}

impl From<&TDReport15Ex> for Td15Extended {
    fn from(body: &TDReport15Ex) -> Self {
        Self {
            vm_index: body.vmid,
            td_id: body.td_id,
            device_information: Measurement(body.dev_info),
            current_service_td_hash: Measurement(body.cur_service_td_hash),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_name_their_bits() {
        let bits = |bit: u32| TdAttributes((1_u64 << bit).to_le_bytes());
        assert!(bits(0).debug() && !bits(1).debug());
        assert!(bits(4).profiling() && bits(6).profiling() && !bits(0).profiling());
        assert!(bits(17).service_td_extension());
        assert!(bits(28).sept_ve_disable() && !bits(28).migratable());
        assert!(bits(29).migratable());
        assert_eq!(
            bits(28).to_string(),
            "0000001000000000",
            "as in the quote, byte 0 first"
        );
    }

    #[test]
    fn measurements_are_ninety_six_digits() {
        let text = "ab".repeat(48);
        assert_eq!(text.parse::<Measurement>().unwrap().to_string(), text);
        assert!("ab".parse::<Measurement>().is_err());
        assert!("zz".repeat(48).parse::<Measurement>().is_err());
    }
}
