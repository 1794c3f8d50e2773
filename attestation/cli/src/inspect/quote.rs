//! What a quote says. Nothing here is verified, and the output says so.

mod certificate;
mod enclave;
mod layout;

use anyhow::{Context, anyhow};
use dcap_qvl::quote::{
    AuthData, EnclaveReport, Header, Quote, Report, TDReport10, TDReport15, TDReport15Ex,
};

use super::bits;
use crate::output::Section;

const TEE_TYPE_SGX: u32 = 0;
const TEE_TYPE_TDX: u32 = 0x81;

/// The sections that describe the quote in `bytes`.
pub(super) fn sections(bytes: &[u8]) -> anyhow::Result<Vec<Section>> {
    let quote =
        Quote::parse(bytes).map_err(in_one_line).with_context(|| {
            match layout::first_misfit(bytes) {
                Some((offset, part)) => format!(
                    "{part} at byte {offset} does not fit into {} bytes",
                    bytes.len()
                ),
                None => "the quote cannot be parsed".to_owned(),
            }
        })?;
    let mut sections = vec![summary(&quote, bytes), header(&quote.header)];
    sections.extend(body(&quote.report));
    sections.push(certification(&quote)?);
    if let Some(section) = certificate::section(&quote)? {
        sections.push(section);
    }
    Ok(sections)
}

/// The parser's words on what is cut short fill several lines, with tabs.
fn in_one_line(error: impl std::fmt::Debug + Into<anyhow::Error>) -> anyhow::Error {
    let text = format!("{:#}", error.into());
    anyhow!(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn summary(quote: &Quote, bytes: &[u8]) -> Section {
    let kind = match quote.report {
        Report::SgxEnclave(_) => "SGX enclave",
        Report::TD10(_) => "TDX, TD 1.0 body",
        Report::TD15(_) => "TDX, TD 1.5 body",
        Report::TD15Ex(_) => "TDX, extended TD 1.5 body",
    };
    // The gateway's parser is stricter than the one that gives the fields here: say what it thinks.
    let (structure, padding) = match attestation::Quote::parse(bytes) {
        Ok(strict) => ("sound".to_owned(), Some(strict.padding_bytes())),
        Err(error) => (format!("refused: {error}"), None),
    };
    Section::new("quote")
        .field("kind", format!("{kind}, version {}", quote.header.version))
        .field("length_bytes", bytes.len())
        .field("padding_bytes", padding)
        .field("structure", structure)
        .field("verified", "no; `cocoon-attest verify` does that")
}

fn header(header: &Header) -> Section {
    let key_type = match header.attestation_key_type {
        2 => "ECDSA P-256",
        3 => "ECDSA P-384",
        _ => "unknown",
    };
    let tee_type = match header.tee_type {
        TEE_TYPE_SGX => "SGX",
        TEE_TYPE_TDX => "TDX",
        _ => "unknown",
    };
    let vendor = if header.qe_vendor_id == dcap_qvl::INTEL_QE_VENDOR_ID {
        "Intel"
    } else {
        "unknown"
    };
    Section::new("header")
        .field("version", header.version)
        .field(
            "attestation_key_type",
            format!("{} ({key_type})", header.attestation_key_type),
        )
        .field("tee_type", format!("{:#x} ({tee_type})", header.tee_type))
        .field("qe_svn", header.qe_svn)
        .field("pce_svn", header.pce_svn)
        .field(
            "qe_vendor_id",
            format!("{} ({vendor})", hex::encode(header.qe_vendor_id)),
        )
        .bytes("user_data", header.user_data)
}

fn body(report: &Report) -> Vec<Section> {
    match report {
        Report::SgxEnclave(enclave) => vec![enclave_report("enclave_report", enclave)],
        Report::TD10(td) => vec![td_1_0(td)],
        Report::TD15(td) => vec![td_1_5(td)],
        Report::TD15Ex(td) => vec![td_1_5(&td.base), td_1_5_extended(td)],
    }
}

fn td_1_0(td: &TDReport10) -> Section {
    Section::new("td_quote_body")
        .bytes("tee_tcb_svn", td.tee_tcb_svn)
        .bytes("mr_seam", td.mr_seam)
        .bytes("mr_signer_seam", td.mr_signer_seam)
        .bytes("seam_attributes", td.seam_attributes)
        .bytes("td_attributes", td.td_attributes)
        .field(
            "td_attributes_set",
            bits::names(&td.td_attributes, bits::TD_ATTRIBUTES),
        )
        .bytes("xfam", td.xfam)
        .field("xfam_set", bits::names(&td.xfam, bits::XFAM))
        .bytes("mrtd", td.mr_td)
        .bytes("mr_config_id", td.mr_config_id)
        .bytes("mr_owner", td.mr_owner)
        .bytes("mr_owner_config", td.mr_owner_config)
        .bytes("rtmr0", td.rt_mr0)
        .bytes("rtmr1", td.rt_mr1)
        .bytes("rtmr2", td.rt_mr2)
        .bytes("rtmr3", td.rt_mr3)
        .bytes("report_data", td.report_data)
}

fn td_1_5(td: &TDReport15) -> Section {
    td_1_0(&td.base)
        .bytes("tee_tcb_svn2", td.tee_tcb_svn2)
        .bytes("mr_service_td", td.mr_service_td)
}

fn td_1_5_extended(td: &TDReport15Ex) -> Section {
    Section::new("td_quote_body_extension")
        .field("vm_id", td.vmid)
        .bytes("td_id", td.td_id)
        .bytes("device_information_hash", td.dev_info)
        .bytes("initial_service_td_hash", td.init_service_td_hash)
        .bytes(
            "initial_service_td_attributes",
            td.init_service_td_attributes,
        )
        .bytes("initial_cpu_svn", td.init_cpu_svn)
        .bytes("initial_tee_tcb_svn", td.init_tee_tcb_svn)
        .bytes("initial_tee_fmspc", td.init_tee_fmspc)
        .bytes("current_service_td_hash", td.cur_service_td_hash)
        .bytes(
            "current_service_td_attributes",
            td.cur_service_td_attributes,
        )
}

fn enclave_report(name: &'static str, enclave: &EnclaveReport) -> Section {
    let (flags, _) = enclave.attributes.split_at(8);
    Section::new(name)
        .bytes("cpu_svn", enclave.cpu_svn)
        .bytes("misc_select", enclave.misc_select.to_le_bytes())
        .bytes("attributes", enclave.attributes)
        .field("attributes_set", bits::names(flags, bits::SGX_ATTRIBUTES))
        .bytes("mr_enclave", enclave.mr_enclave)
        .bytes("mr_signer", enclave.mr_signer)
        .field("isv_product_id", enclave.isv_prod_id)
        .field("isv_svn", enclave.isv_svn)
        .bytes("report_data", enclave.report_data)
}

/// The attestation key, the quoting enclave that vouches for it, and how the platform's certificate is given.
fn certification(quote: &Quote) -> anyhow::Result<Section> {
    let (key, enclave) = match &quote.auth_data {
        AuthData::V3(data) => (&data.ecdsa_attestation_key, &data.qe_report),
        AuthData::V4(data) => (&data.ecdsa_attestation_key, &data.qe_report_data.qe_report),
    };
    let enclave = enclave::parse(enclave).context("the quoting enclave's report is cut short")?;
    let kind = quote.inner_cert_type();
    let meaning = match kind {
        1..=3 => "PPID; the PCK certificate must be fetched",
        4 => "PCK certificate",
        5 => "PCK certificate chain",
        _ => "unknown",
    };
    Ok(enclave_report("quoting_enclave", &enclave)
        .bytes("attestation_key", key)
        .field("certification_type", format!("{kind} ({meaning})")))
}
