//! Parsing DCAP quotes: SGX version 3, TDX versions 4 and 5 (TD 1.0, 1.5 and 1.5 extended).
//!
//! ```text
//! header (48 bytes) ‖ [v5: u16 body type ‖ u32 body size] ‖ body ‖ u32 length ‖ signature data ‖ zero padding
//! ```
//!
//! After Intel's `sgx_quote_3.h`, `sgx_quote_4.h` and `sgx_quote_5.h`. Only structure is read here; whether a word of
//! it is true is for [`crate::Verifier`] to find.

use dcap_qvl::{INTEL_QE_VENDOR_ID, intel, quote as dcap};
use serde::{Deserialize, Serialize};

use crate::{Family, PckCa, ReportData, TdQuoteBody, evidence::QUOTE_BYTES_MAX};

const HEADER_BYTES: usize = 48;
const TEE_TYPE_SGX: u32 = 0x00;
const TEE_TYPE_TDX: u32 = 0x81;
/// `ECDSA-256-with-P-256`, the only key type that Intel's quoting enclaves use.
const KEY_TYPE_ECDSA_P256: u16 = 2;

/// The kind of trusted execution environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tee {
    /// An SGX enclave.
    Sgx,
    /// A TDX trust domain.
    Tdx,
}

/// A quote whose structure is sound. Untrusted.
#[derive(Clone, Debug)]
pub struct Quote {
    bytes: Vec<u8>,
    padding_bytes: usize,
    parsed: dcap::Quote,
    body: QuoteBody,
}

/// What the quote is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuoteBody {
    /// An enclave's report.
    Sgx(SgxQuoteBody),
    /// A TD's report.
    Td(Box<TdQuoteBody>),
}

impl QuoteBody {
    /// The TD's claims; `None` for an enclave.
    #[must_use]
    pub fn td(&self) -> Option<&TdQuoteBody> {
        match self {
            Self::Td(td) => Some(td),
            Self::Sgx(_) => None,
        }
    }

    /// The 64 bytes that the environment chose.
    #[must_use]
    pub fn report_data(&self) -> ReportData {
        match self {
            Self::Sgx(enclave) => enclave.report_data,
            Self::Td(td) => td.report_data,
        }
    }
}

/// An SGX enclave's report: parsed and verified for inspection, never admitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SgxQuoteBody {
    /// Attribute flags and XFRM; bit 1 of the first byte is DEBUG.
    #[serde(with = "hex::serde")]
    pub attributes: [u8; 16],
    /// Measurement of the enclave (SHA-256).
    #[serde(with = "hex::serde")]
    pub mr_enclave: [u8; 32],
    /// Hash of the signer's key (SHA-256).
    #[serde(with = "hex::serde")]
    pub mr_signer: [u8; 32],
    /// Product id.
    pub isv_prod_id: u16,
    /// Security version.
    pub isv_svn: u16,
    /// The 64 bytes that the enclave chose.
    pub report_data: ReportData,
}

impl SgxQuoteBody {
    /// Whether the enclave's memory can be read from outside.
    #[must_use]
    pub const fn debug(&self) -> bool {
        let [flags, ..] = self.attributes;
        flags & 0x02 != 0
    }
}

/// What the PCK certificate says of the platform. Untrusted until the chain is verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PckCertificate {
    /// Platform provisioning id.
    #[serde(with = "hex::serde")]
    pub ppid: [u8; 16],
    /// Platform family; selects the TCB info.
    #[serde(with = "hex::serde")]
    pub fmspc: [u8; 6],
    /// Id of the provisioning certification enclave.
    #[serde(with = "hex::serde")]
    pub pce_id: [u8; 2],
    /// Security version of the provisioning certification enclave.
    pub pce_svn: u16,
    /// Security versions of the CPU.
    #[serde(with = "hex::serde")]
    pub cpu_svn: [u8; 16],
}

impl Quote {
    /// Parse a quote. Zero bytes may follow it, as some platforms hand out a whole buffer; anything else may not.
    pub fn parse(bytes: &[u8]) -> Result<Self, QuoteError> {
        if bytes.len() > QUOTE_BYTES_MAX {
            return Err(QuoteError::TooLong(bytes.len()));
        }
        parse_header(bytes)?;
        let parsed = dcap::Quote::parse(bytes)
            .map_err(|error| QuoteError::Structure(format!("{error:#}")))?;
        let (quote, padding) = split_padding(bytes, &parsed)?;
        let body = body(&parsed)?;
        Ok(Self {
            bytes: quote.to_vec(),
            padding_bytes: padding.len(),
            parsed,
            body,
        })
    }

    /// The quote without what padded it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many zero bytes followed the quote.
    #[must_use]
    pub const fn padding_bytes(&self) -> usize {
        self.padding_bytes
    }

    /// The quote format's version: 3, 4 or 5.
    #[must_use]
    pub const fn version(&self) -> u16 {
        self.parsed.header.version
    }

    /// Which kind of environment it is about.
    #[must_use]
    pub const fn tee(&self) -> Tee {
        match self.body {
            QuoteBody::Sgx(_) => Tee::Sgx,
            QuoteBody::Td(_) => Tee::Tdx,
        }
    }

    /// The claims, not yet believed.
    #[must_use]
    pub const fn body(&self) -> &QuoteBody {
        &self.body
    }

    /// The TD's claims, not yet believed; `None` for an SGX quote.
    #[must_use]
    pub fn td(&self) -> Option<&TdQuoteBody> {
        self.body.td()
    }

    /// The 64 bytes that the environment chose.
    #[must_use]
    pub fn report_data(&self) -> ReportData {
        self.body.report_data()
    }

    /// What certifies the attestation key: 5 for the PCK certificate chain itself.
    #[must_use]
    pub fn certification_type(&self) -> u16 {
        self.parsed.inner_cert_type()
    }

    /// The PCK certificate that the quote carries, not yet believed: enough to choose the collateral by.
    pub fn pck_certificate(&self) -> Result<PckCertificate, QuoteError> {
        PckCertificate::from_der(&self.pck_leaf()?).map_err(QuoteError::PckCertificate)
    }

    /// FMSPC and CA of that certificate, not yet believed: which collateral to look for.
    pub fn family(&self) -> Result<Family, QuoteError> {
        let leaf = self.pck_leaf()?;
        let platform = PckCertificate::from_der(&leaf).map_err(QuoteError::PckCertificate)?;
        let ca = PckCa::of_issued(&leaf).ok_or_else(|| {
            QuoteError::PckCertificate("neither of Intel's PCK CAs issued it".to_owned())
        })?;
        Ok(Family {
            fmspc: platform.fmspc,
            ca,
        })
    }

    fn pck_leaf(&self) -> Result<Vec<u8>, QuoteError> {
        let chain = intel::extract_cert_chain(&self.parsed)
            .map_err(|error| QuoteError::PckCertificate(format!("{error:#}")))?;
        let leaf = chain.into_iter().next();
        leaf.ok_or_else(|| QuoteError::PckCertificate("the chain is empty".to_owned()))
    }
}

impl PckCertificate {
    /// Read the SGX extension (OID 1.2.840.113741.1.13.1) of a PCK certificate.
    pub(crate) fn from_der(certificate: &[u8]) -> Result<Self, String> {
        let extension =
            intel::parse_pck_extension(certificate).map_err(|error| format!("{error:#}"))?;
        Ok(Self {
            ppid: extension
                .ppid
                .try_into()
                .map_err(|_| "the PPID does not have 16 bytes")?,
            fmspc: extension.fmspc,
            pce_id: extension
                .pce_id
                .try_into()
                .map_err(|_| "the PCE id does not have 2 bytes")?,
            pce_svn: extension.pce_svn,
            cpu_svn: extension.cpu_svn,
        })
    }
}

/// Refuse by name what the header alone gives away, before anything behind it is read.
fn parse_header(bytes: &[u8]) -> Result<(), QuoteError> {
    let header: &[u8; HEADER_BYTES] = bytes
        .first_chunk()
        .ok_or(QuoteError::TooShort(bytes.len()))?;
    let [v0, v1, k0, k1, t0, t1, t2, t3, _, _, _, _, vendor @ ..] = *header;
    let version = u16::from_le_bytes([v0, v1]);
    if !matches!(version, 3..=5) {
        return Err(QuoteError::Version(version));
    }
    let key_type = u16::from_le_bytes([k0, k1]);
    if key_type != KEY_TYPE_ECDSA_P256 {
        return Err(QuoteError::KeyType(key_type));
    }
    match (u32::from_le_bytes([t0, t1, t2, t3]), version) {
        (TEE_TYPE_SGX, 3) | (TEE_TYPE_TDX, 4 | 5) => {}
        (tee @ (TEE_TYPE_SGX | TEE_TYPE_TDX), version) => {
            return Err(QuoteError::TeeOfVersion { tee, version });
        }
        (tee, _) => return Err(QuoteError::Tee(tee)),
    }
    if vendor.first_chunk() != Some(&INTEL_QE_VENDOR_ID) {
        return Err(QuoteError::Vendor);
    }
    Ok(())
}

/// Cut the quote off what follows it, which must be zeros: outside the signature data, and inside it.
fn split_padding<'a>(
    bytes: &'a [u8],
    parsed: &dcap::Quote,
) -> Result<(&'a [u8], &'a [u8]), QuoteError> {
    let truncated = || QuoteError::TooShort(bytes.len());
    let (_, rest) = bytes
        .split_at_checked(parsed.signed_length())
        .ok_or_else(truncated)?;
    let (length, rest) = rest.split_first_chunk().ok_or_else(truncated)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| truncated())?;
    let (signature, padding) = rest.split_at_checked(length).ok_or_else(truncated)?;
    let unread = signature
        .get(signature_length(&parsed.auth_data)..)
        .ok_or_else(truncated)?;
    if padding.iter().chain(unread).any(|&byte| byte != 0) {
        return Err(QuoteError::TrailingBytes);
    }
    let end = bytes.len().saturating_sub(padding.len());
    bytes.split_at_checked(end).ok_or_else(truncated)
}

/// How long the signature data is that was read: its fields, and the lengths in front of the variable ones.
fn signature_length(auth_data: &dcap::AuthData) -> usize {
    // ECDSA signature and attestation key, then the quoting enclave's report with its signature.
    const FIXED: usize = 64 + 64 + 384 + 64;
    let (outer, qe_auth, certification) = match auth_data {
        dcap::AuthData::V3(data) => (
            0,
            &data.qe_auth_data.data,
            &data.certification_data.body.data,
        ),
        // Type and length of the outer certification data. The type says 6 in real quotes; nothing signs it, and others
        // write another, so nobody reads it.
        dcap::AuthData::V4(data) => (
            6,
            &data.qe_report_data.qe_auth_data.data,
            &data.qe_report_data.certification_data.body.data,
        ),
    };
    [outer, 2, qe_auth.len(), 6, certification.len()]
        .into_iter()
        .fold(FIXED, usize::saturating_add)
}

fn body(parsed: &dcap::Quote) -> Result<QuoteBody, QuoteError> {
    let is_td = parsed.header.tee_type == TEE_TYPE_TDX;
    match (&parsed.report, TdQuoteBody::from_report(&parsed.report)) {
        (_, Some(td)) if is_td => Ok(QuoteBody::Td(Box::new(td))),
        (dcap::Report::SgxEnclave(report), None) if !is_td => Ok(QuoteBody::Sgx(SgxQuoteBody {
            attributes: report.attributes,
            mr_enclave: report.mr_enclave,
            mr_signer: report.mr_signer,
            isv_prod_id: report.isv_prod_id,
            isv_svn: report.isv_svn,
            report_data: ReportData(report.report_data),
        })),
        _ => Err(QuoteError::BodyOfAnotherTee),
    }
}

/// Why bytes are not a quote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// Longer than any quote.
    #[error("a quote of {0} bytes exceeds {QUOTE_BYTES_MAX}")]
    TooLong(usize),
    /// Ends before its structure does.
    #[error("the quote is cut short at {0} bytes")]
    TooShort(usize),
    /// A version that does not exist, or is not supported.
    #[error("quote version {0} is not 3, 4 or 5")]
    Version(u16),
    /// The attestation key is of another kind.
    #[error("attestation key type {0} is not ECDSA P-256 (2)")]
    KeyType(u16),
    /// Neither SGX nor TDX.
    #[error("TEE type 0x{0:08x} is neither SGX (0x00) nor TDX (0x81)")]
    Tee(u32),
    /// SGX is version 3, TDX is version 4 or 5.
    #[error("TEE type 0x{tee:08x} does not come in quote version {version}")]
    TeeOfVersion {
        /// The header's TEE type.
        tee: u32,
        /// The header's version.
        version: u16,
    },
    /// Another vendor's quoting enclave.
    #[error("the quoting enclave's vendor is not Intel")]
    Vendor,
    /// The header speaks of a TD and the body of an enclave, or the other way round.
    #[error("the quote's body is not that of the TEE that its header names")]
    BodyOfAnotherTee,
    /// Something other than zeros follows the quote or its signature data.
    #[error("bytes other than zero padding follow the quote")]
    TrailingBytes,
    /// The structure behind the header does not hold.
    #[error("the quote's structure does not hold: {0}")]
    Structure(String),
    /// No PCK certificate in the quote, or a malformed one.
    #[error("the quote carries no readable PCK certificate: {0}")]
    PckCertificate(String),
}

#[cfg(test)]
mod tests;
