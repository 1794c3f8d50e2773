//! Intel's signed statements that verification needs beside the quote: TCB info, QE identity, two CRLs, and the
//! chains of those who sign them.
//!
//! The JSON is that of PCCS clients (`QuoteCollateralV3`): chains in PEM, the two statements as the very strings that
//! are signed, CRLs and signatures in hexadecimal. Parsing reads dates and names; nothing is believed before
//! [`crate::Verifier`] has followed the signatures.

use std::{collections::BTreeSet, fmt};

use dcap_qvl::{QeIdentity, QuoteCollateralV3, TcbInfo};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use x509_parser::{
    pem::Pem,
    prelude::{CertificateRevocationList, FromDer},
};

use crate::{Family, PckCa, Tee};

/// PCK CRLs grow with revocations; the whole has 20 to 60 KiB today.
pub const COLLATERAL_BYTES_MAX: usize = 1024 * 1024;

/// An ECDSA P-256 signature, `r ‖ s`.
pub(crate) const SIGNATURE_BYTES: usize = 64;

/// Collateral whose parts parse. Untrusted.
#[derive(Clone, PartialEq, Eq)]
pub struct Collateral {
    parts: QuoteCollateralV3,
    tee: Tee,
    fmspc: [u8; 6],
    pce_id: [u8; 2],
    pck_ca: Option<PckCa>,
    evaluation_data_number: u32,
    validities: [Validity; 4],
    level_dates: LevelDates,
}

/// The dates of the TCB levels that Intel describes, in seconds since the Unix epoch, ascending. Of a level's date it says that
/// a platform of that level is safe from everything published before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LevelDates {
    /// The platform's and the TDX module's.
    pub(crate) platform: BTreeSet<u64>,
    pub(crate) quoting_enclave: BTreeSet<u64>,
}

impl LevelDates {
    fn read(tcb_info: &TcbInfo, qe_identity: &QeIdentity) -> Result<Self, CollateralError> {
        let levels = tcb_info.tcb_levels.iter().map(|level| &level.tcb_date);
        let modules = tcb_info.tdx_module_identities.iter();
        let module_levels = modules.flat_map(|module| &module.tcb_levels);
        let module_levels = module_levels.map(|level| &level.tcb_date);
        let enclaves = qe_identity.tcb_levels.iter().map(|level| &level.tcb_date);
        let seconds = |part, date: &String| epoch_s(date).ok_or(CollateralError::Dates(part));
        Ok(Self {
            platform: levels
                .chain(module_levels)
                .map(|date| seconds(CollateralPart::TcbInfo, date))
                .collect::<Result<_, _>>()?,
            quoting_enclave: enclaves
                .map(|date| seconds(CollateralPart::QeIdentity, date))
                .collect::<Result<_, _>>()?,
        })
    }
}

/// A dated part of the collateral.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CollateralPart {
    /// The levels of one platform family.
    TcbInfo,
    /// The expected quoting enclave.
    QeIdentity,
    /// What the root revoked.
    RootCrl,
    /// What the PCK's issuer revoked.
    PckCrl,
}

impl fmt::Display for CollateralPart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::TcbInfo => "TCB info",
            Self::QeIdentity => "QE identity",
            Self::RootCrl => "root CRL",
            Self::PckCrl => "PCK CRL",
        })
    }
}

/// From when until when a part may be used, in seconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Which part.
    pub part: CollateralPart,
    /// `issueDate` or `thisUpdate`.
    pub issued_s: u64,
    /// `nextUpdate`: the first second at which it may not.
    pub next_update_s: u64,
}

impl Collateral {
    /// Parse the JSON of a `QuoteCollateralV3`.
    pub fn from_json(json: &[u8]) -> Result<Self, CollateralError> {
        if json.len() > COLLATERAL_BYTES_MAX {
            return Err(CollateralError::TooLong(json.len()));
        }
        Self::from_parts(serde_json::from_slice(json).map_err(CollateralError::Json)?)
    }

    /// The same JSON again.
    pub fn to_json(&self) -> Result<String, CollateralError> {
        serde_json::to_string(&self.parts).map_err(CollateralError::Json)
    }

    /// SGX or TDX, after the TCB info.
    #[must_use]
    pub const fn tee(&self) -> Tee {
        self.tee
    }

    /// The platform family that the TCB info is for.
    #[must_use]
    pub const fn fmspc(&self) -> [u8; 6] {
        self.fmspc
    }

    /// The provisioning certification enclave that the TCB info is for.
    #[must_use]
    pub const fn pce_id(&self) -> [u8; 2] {
        self.pce_id
    }

    /// FMSPC and CA that it is for; `None` where the PCK CRL is of neither of Intel's PCK CAs.
    #[must_use]
    pub fn family(&self) -> Option<Family> {
        self.pck_ca.map(|ca| Family {
            fmspc: self.fmspc,
            ca,
        })
    }

    /// Lower of the evaluation numbers of TCB info and QE identity: which TCB recovery event they know of.
    #[must_use]
    pub const fn evaluation_data_number(&self) -> u32 {
        self.evaluation_data_number
    }

    /// When each part may be used.
    #[must_use]
    pub const fn validities(&self) -> &[Validity; 4] {
        &self.validities
    }

    /// The earliest `nextUpdate`, in seconds since the Unix epoch: refresh before.
    #[must_use]
    pub fn next_update_s(&self) -> u64 {
        self.validities
            .iter()
            .map(|validity| validity.next_update_s)
            .min()
            .unwrap_or(0)
    }

    /// The name of the root that the collateral says it ends in: the last certificate of the TCB info's chain. Nothing of it
    /// is verified; it tells a person whose hierarchy refused evidence claims to be of.
    #[must_use]
    pub fn claimed_root(&self) -> String {
        let last = Pem::iter_from_buffer(self.parts.tcb_info_issuer_chain.as_bytes()).last();
        last.and_then(Result::ok)
            .and_then(|block| Some(block.parse_x509().ok()?.subject().to_string()))
            .unwrap_or_default()
    }

    pub(crate) const fn level_dates(&self) -> &LevelDates {
        &self.level_dates
    }

    pub(crate) const fn parts(&self) -> &QuoteCollateralV3 {
        &self.parts
    }

    fn from_parts(parts: QuoteCollateralV3) -> Result<Self, CollateralError> {
        let tcb_info: TcbInfo =
            serde_json::from_str(&parts.tcb_info).map_err(CollateralError::TcbInfo)?;
        let qe_identity: QeIdentity =
            serde_json::from_str(&parts.qe_identity).map_err(CollateralError::QeIdentity)?;
        issuer_chain("TCB info", &parts.tcb_info_issuer_chain)?;
        issuer_chain("QE identity", &parts.qe_identity_issuer_chain)?;
        signature("TCB info", &parts.tcb_info_signature)?;
        signature("QE identity", &parts.qe_identity_signature)?;
        let tee = match (&*tcb_info.id, &*qe_identity.id) {
            ("TDX", "TD_QE") => Tee::Tdx,
            ("SGX", "QE") => Tee::Sgx,
            _ => {
                return Err(CollateralError::Kinds {
                    tcb_info: tcb_info.id,
                    qe_identity: qe_identity.id,
                });
            }
        };
        let (root_crl, _) = updates(CollateralPart::RootCrl, &parts.root_ca_crl)?;
        let (pck_crl, pck_ca) = updates(CollateralPart::PckCrl, &parts.pck_crl)?;
        Ok(Self {
            tee,
            pck_ca,
            fmspc: digits("fmspc", &tcb_info.fmspc)?,
            pce_id: digits("pceId", &tcb_info.pce_id)?,
            evaluation_data_number: tcb_info
                .tcb_evaluation_data_number
                .min(qe_identity.tcb_evaluation_data_number),
            level_dates: LevelDates::read(&tcb_info, &qe_identity)?,
            validities: [
                dates(
                    CollateralPart::TcbInfo,
                    &tcb_info.issue_date,
                    &tcb_info.next_update,
                )?,
                dates(
                    CollateralPart::QeIdentity,
                    &qe_identity.issue_date,
                    &qe_identity.next_update,
                )?,
                root_crl,
                pck_crl,
            ],
            parts,
        })
    }
}

impl fmt::Debug for Collateral {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Collateral")
            .field("tee", &self.tee)
            .field("fmspc", &hex::encode(self.fmspc))
            .field("evaluation_data_number", &self.evaluation_data_number)
            .field("validities", &self.validities)
            .finish_non_exhaustive()
    }
}

impl Serialize for Collateral {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.parts.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Collateral {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_parts(QuoteCollateralV3::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

fn issuer_chain(part: &'static str, pem: &str) -> Result<(), CollateralError> {
    let mut certificates = 0_usize;
    for block in Pem::iter_from_buffer(pem.as_bytes()) {
        block
            .ok()
            .and_then(|block| block.parse_x509().is_ok().then_some(()))
            .ok_or(CollateralError::IssuerChain(part))?;
        certificates = certificates.saturating_add(1);
    }
    if certificates == 0 {
        Err(CollateralError::IssuerChain(part))
    } else {
        Ok(())
    }
}

fn signature(part: &'static str, bytes: &[u8]) -> Result<(), CollateralError> {
    if bytes.len() == SIGNATURE_BYTES {
        Ok(())
    } else {
        Err(CollateralError::Signature(part))
    }
}

fn digits<const N: usize>(field: &'static str, text: &str) -> Result<[u8; N], CollateralError> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| CollateralError::Digits(field))?;
    Ok(bytes)
}

fn dates(
    part: CollateralPart,
    issued: &str,
    next_update: &str,
) -> Result<Validity, CollateralError> {
    epoch_s(issued)
        .zip(epoch_s(next_update))
        .map(|(issued_s, next_update_s)| Validity {
            part,
            issued_s,
            next_update_s,
        })
        .ok_or(CollateralError::Dates(part))
}

/// RFC 3339 in seconds since the Unix epoch.
pub(crate) fn epoch_s(text: &str) -> Option<u64> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_second()).ok()
}

/// A CRL's dates, and the PCK CA that issued it if one did.
fn updates(part: CollateralPart, der: &[u8]) -> Result<(Validity, Option<PckCa>), CollateralError> {
    let (_, list) =
        CertificateRevocationList::from_der(der).map_err(|_| CollateralError::Crl(part))?;
    let issued_s = u64::try_from(list.last_update().timestamp()).ok();
    let next_update_s = list
        .next_update()
        .and_then(|time| u64::try_from(time.timestamp()).ok());
    issued_s
        .zip(next_update_s)
        .map(|(issued_s, next_update_s)| Validity {
            part,
            issued_s,
            next_update_s,
        })
        .map(|validity| (validity, PckCa::from_name(list.issuer())))
        .ok_or(CollateralError::Dates(part))
}

/// Why a text is not collateral.
#[derive(Debug, thiserror::Error)]
pub enum CollateralError {
    /// Longer than any collateral.
    #[error("collateral of {0} bytes exceeds {COLLATERAL_BYTES_MAX}")]
    TooLong(usize),
    /// Not the JSON of collateral.
    #[error("the collateral is not the JSON of a QuoteCollateralV3")]
    Json(#[source] serde_json::Error),
    /// The signed TCB info is not the JSON of one.
    #[error("the TCB info does not parse")]
    TcbInfo(#[source] serde_json::Error),
    /// The signed QE identity is not the JSON of one.
    #[error("the QE identity does not parse")]
    QeIdentity(#[source] serde_json::Error),
    /// TCB info and QE identity are not of one kind.
    #[error("TCB info `{tcb_info}` and QE identity `{qe_identity}` do not belong together")]
    Kinds {
        /// The TCB info's `id`.
        tcb_info: String,
        /// The QE identity's `id`.
        qe_identity: String,
    },
    /// An issuer chain holds no certificate, or something else.
    #[error("the issuer chain of the {0} is not a chain of certificates in PEM")]
    IssuerChain(&'static str),
    /// A signature is not 64 bytes long.
    #[error("the signature of the {0} does not have {SIGNATURE_BYTES} bytes")]
    Signature(&'static str),
    /// A field is not hexadecimal, or not of its length.
    #[error("{0} is not hexadecimal of its length")]
    Digits(&'static str),
    /// A part's dates are missing or malformed.
    #[error("the dates of the {0} are missing or malformed")]
    Dates(CollateralPart),
    /// A CRL is not one.
    #[error("the {0} does not parse")]
    Crl(CollateralPart),
}
