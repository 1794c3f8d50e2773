//! The quoting enclave's report, which a quote carries as 384 opaque bytes.

use dcap_qvl::quote::EnclaveReport;

/// Reads an SGX report body (Intel SDM volume 3D, "REPORT"); `None` where bytes are missing.
pub(super) fn parse(mut bytes: &[u8]) -> Option<EnclaveReport> {
    Some(EnclaveReport {
        cpu_svn: take(&mut bytes)?,
        misc_select: u32::from_le_bytes(take(&mut bytes)?),
        reserved1: take(&mut bytes)?,
        attributes: take(&mut bytes)?,
        mr_enclave: take(&mut bytes)?,
        reserved2: take(&mut bytes)?,
        mr_signer: take(&mut bytes)?,
        reserved3: take(&mut bytes)?,
        isv_prod_id: u16::from_le_bytes(take(&mut bytes)?),
        isv_svn: u16::from_le_bytes(take(&mut bytes)?),
        reserved4: take(&mut bytes)?,
        report_data: take(&mut bytes)?,
    })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*head)
}
