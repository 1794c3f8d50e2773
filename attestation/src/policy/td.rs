//! The policy's rules on the TD: its mode, and what was fixed when it was created.

use std::collections::BTreeSet;

use super::{
    Allowed, Demand,
    reader::{Reader, Table},
    values::{bytes, measurements},
};
use crate::{Measurement, TdAttributes};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TdRules {
    pub(crate) attributes: MaskedBits,
    pub(crate) xfam: MaskedBits,
    pub(crate) mr_config_ids: BTreeSet<Measurement>,
    pub(crate) mr_owners: BTreeSet<Measurement>,
    pub(crate) mr_owner_configs: BTreeSet<Measurement>,
    pub(crate) rtmr3s: Rtmr3Rule,
}

/// What RTMR3 may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rtmr3Rule {
    /// What the event log replays to, its closing event included.
    Replayed,
    Listed(BTreeSet<Measurement>),
}

impl Rtmr3Rule {
    /// Why no TD, or any, would fit it under this demand for event logs.
    pub(super) fn contradiction(&self, event_log: Demand) -> Option<&'static str> {
        match (self, event_log) {
            (Self::Replayed, Demand::NotRequired) => {
                Some("`replayed` wants evidence.event_log = \"required\"")
            }
            // A log has its closing event, which is extended into RTMR3.
            (Self::Listed(known), Demand::Required) if known.iter().eq([&Measurement([0; 48])]) => {
                Some(
                    "zeros admit nobody with evidence.event_log = \"required\": the log's closing event is \
                     extended into RTMR3; write \"replayed\", or the register's value",
                )
            }
            _ => None,
        }
    }
}

/// Eight bytes of which the masked bits must have the required value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MaskedBits {
    pub(crate) mask: [u8; 8],
    pub(crate) required: [u8; 8],
}

impl MaskedBits {
    pub(crate) fn fit(self, bits: [u8; 8]) -> bool {
        u64::from_le_bytes(bits) & u64::from_le_bytes(self.mask)
            == u64::from_le_bytes(self.required)
    }
}

pub(super) fn read(reader: &mut Reader, mut table: Table) -> Option<TdRules> {
    let attributes = read_bits(reader, &mut table, "attributes_mask", "attributes_required");
    if let Some(mistake) = attributes.and_then(always_refused) {
        table.mistake(reader, "attributes_required", mistake);
    }
    let xfam = read_bits(reader, &mut table, "xfam_mask", "xfam_required");
    let mr_config_ids = table.list(reader, "mr_config_ids", bytes::<48>);
    let mr_owners = table.list(reader, "mr_owners", bytes::<48>);
    let mr_owner_configs = table.list(reader, "mr_owner_configs", bytes::<48>);
    let rtmr3s = table.word_or_list(reader, "rtmr3s", "replayed", bytes::<48>);
    let service_td = table.word(reader, "service_td", "absent");
    table.close(reader);
    service_td?;
    Some(TdRules {
        attributes: attributes?,
        xfam: xfam?,
        mr_config_ids: measurements(mr_config_ids?),
        mr_owners: measurements(mr_owners?),
        mr_owner_configs: measurements(mr_owner_configs?),
        rtmr3s: match rtmr3s? {
            Allowed::Any => Rtmr3Rule::Replayed,
            Allowed::Listed(values) => Rtmr3Rule::Listed(measurements(values)),
        },
    })
}

/// Why no TD that has these attributes passes the appraisal, whatever its policy says.
fn always_refused(rule: MaskedBits) -> Option<&'static str> {
    let [mask, required] = [rule.mask, rule.required].map(TdAttributes);
    if required.debug() {
        Some("demands DEBUG (bit 0), and every debuggable TD is refused")
    } else if required.profiling() {
        Some("demands profiling (bits 4 to 6), and every TD under profiling is refused")
    } else if required.migratable() {
        Some("demands MIGRATABLE (bit 29), and every migratable TD is refused")
    } else if mask.sept_ve_disable() && !required.sept_ve_disable() {
        Some("demands that SEPT_VE_DISABLE (bit 28) is clear, and every TD without it is refused")
    } else {
        None
    }
}

fn read_bits(
    reader: &mut Reader,
    table: &mut Table,
    mask_key: &'static str,
    required_key: &'static str,
) -> Option<MaskedBits> {
    let mask = table.value(reader, mask_key, bytes::<8>);
    let required = table.value(reader, required_key, bytes::<8>);
    let bits = MaskedBits {
        mask: mask?,
        required: required?,
    };
    if !bits.fit(bits.required) {
        table.mistake(
            reader,
            required_key,
            format!("sets bits that {mask_key} leaves out"),
        );
    }
    Some(bits)
}
