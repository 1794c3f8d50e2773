//! What a TDREPORT says: the statement that the TDX module gives a TD, for its own machine. Its MAC can be verified there alone.
//!
//! Layout after Intel's *TDX Module ABI Specification* 348551, tables `TDREPORT_STRUCT`, `REPORTMACSTRUCT`, `TEE_TCB_INFO` and
//! `TDINFO_STRUCT`.

use anyhow::{Context, anyhow, ensure};
use ring::digest;

use super::bits;
use crate::output::Section;

const REPORT_BYTES: usize = 1024;
const REPORT_MAC_BYTES: usize = 256;
const TEE_TCB_INFO_BYTES: usize = 239;
const RESERVED_BYTES: usize = 17;
const MEASUREMENT_BYTES: usize = 48;

pub(super) fn sections(bytes: &[u8]) -> anyhow::Result<Vec<Section>> {
    ensure!(
        bytes.len() == REPORT_BYTES,
        "it has {} bytes instead of {REPORT_BYTES}",
        bytes.len()
    );
    let mut rest = Fields { bytes, offset: 0 };
    let mac = rest.take(REPORT_MAC_BYTES)?;
    let tcb = rest.take(TEE_TCB_INFO_BYTES)?;
    rest.take(RESERVED_BYTES)?;
    let td = rest.bytes;
    let summary = Section::new("td_report")
        .field("length_bytes", bytes.len())
        .field(
            "verified",
            "no; its MAC is for its own machine alone, and a quote is for others",
        );
    Ok(vec![
        summary,
        mac_section(mac, tcb, td)?,
        tcb_section(tcb)?,
        td_section(td)?,
    ])
}

fn mac_section(mac: &[u8], tcb: &[u8], td: &[u8]) -> anyhow::Result<Section> {
    let mut fields = Fields {
        bytes: mac,
        offset: 0,
    };
    let kind = fields.take(4)?;
    fields.take(12)?;
    let cpu_svn = fields.take(16)?;
    let tcb_hash = fields.take(MEASUREMENT_BYTES)?;
    let td_hash = fields.take(MEASUREMENT_BYTES)?;
    let report_data = fields.take(64)?;
    fields.take(32)?;
    Ok(Section::new("report_mac")
        .bytes("report_type", kind)
        .bytes("cpu_svn", cpu_svn)
        .bytes("tee_tcb_info_hash", tcb_hash)
        .field("tee_tcb_info_hash_fits", sha384(tcb) == tcb_hash)
        .bytes("tee_info_hash", td_hash)
        .field("tee_info_hash_fits", sha384(td) == td_hash)
        .bytes("report_data", report_data)
        .bytes("mac", fields.take(32)?))
}

fn tcb_section(tcb: &[u8]) -> anyhow::Result<Section> {
    let mut fields = Fields {
        bytes: tcb,
        offset: REPORT_MAC_BYTES,
    };
    Ok(Section::new("tee_tcb_info")
        .bytes("valid", fields.take(8)?)
        .bytes("tee_tcb_svn", fields.take(16)?)
        .bytes("mr_seam", fields.take(MEASUREMENT_BYTES)?)
        .bytes("mr_signer_seam", fields.take(MEASUREMENT_BYTES)?)
        .bytes("seam_attributes", fields.take(8)?)
        .bytes("tee_tcb_svn2", fields.take(16)?))
}

fn td_section(td: &[u8]) -> anyhow::Result<Section> {
    let mut fields = Fields {
        bytes: td,
        offset: REPORT_BYTES.saturating_sub(td.len()),
    };
    let attributes = fields.take(8)?;
    let xfam = fields.take(8)?;
    let mut section = Section::new("td_info")
        .bytes("td_attributes", attributes)
        .field(
            "td_attributes_set",
            bits::names(attributes, bits::TD_ATTRIBUTES),
        )
        .bytes("xfam", xfam)
        .field("xfam_set", bits::names(xfam, bits::XFAM));
    for name in [
        "mrtd",
        "mr_config_id",
        "mr_owner",
        "mr_owner_config",
        "rtmr0",
        "rtmr1",
        "rtmr2",
        "rtmr3",
        "service_td_hash",
    ] {
        section = section.bytes(name, fields.take(MEASUREMENT_BYTES)?);
    }
    Ok(section)
}

/// Takes one field after the other, and says at which byte they end.
struct Fields<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> anyhow::Result<&'a [u8]> {
        let (head, rest) = self
            .bytes
            .split_at_checked(length)
            .ok_or_else(|| anyhow!("{length} bytes are wanted there"))
            .with_context(|| format!("it ends at byte {}", self.offset))?;
        self.bytes = rest;
        self.offset = self.offset.saturating_add(length);
        Ok(head)
    }
}

fn sha384(bytes: &[u8]) -> Vec<u8> {
    digest::digest(&digest::SHA384, bytes).as_ref().to_vec()
}
