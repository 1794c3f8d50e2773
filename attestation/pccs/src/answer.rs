//! Answers of Intel's service: the signed texts word for word, revocation lists in three encodings, chains out of headers.

use attestation::{Collateral, CollateralError};
use percent_encoding::percent_decode_str;
use rustls::pki_types::{CertificateRevocationListDer, pem::PemObject};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::limits::ISSUER_CHAIN_BYTES_MAX;

/// The first byte of a list in DER, a SEQUENCE; no text starts with it that is a list.
const DER_SEQUENCE: u8 = 0x30;

/// One answer: its body, and the chain that came in a header.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) body: Vec<u8>,
    /// URL-encoded PEM.
    pub(crate) issuer_chain: Option<String>,
}

/// The four answers that are one family's collateral.
#[derive(Debug)]
pub(crate) struct Answers {
    pub(crate) tcb_info: Answer,
    pub(crate) qe_identity: Answer,
    pub(crate) pck_crl: Answer,
    pub(crate) root_crl: Answer,
}

/// Why answers are no collateral.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// A statement's envelope is malformed.
    #[error("the answer with the {part} is not the JSON of one")]
    Json {
        /// Which.
        part: &'static str,
        /// Where.
        #[source]
        source: serde_json::Error,
    },
    /// The header with the issuer chain is missing.
    #[error("the answer with the {0} has no issuer chain in its headers")]
    ChainMissing(&'static str),
    /// The header with the issuer chain is no chain.
    #[error(
        "the issuer chain of the {0} is not URL-encoded text of at most {ISSUER_CHAIN_BYTES_MAX} bytes"
    )]
    Chain(&'static str),
    /// A list in none of the known encodings.
    #[error("the {0} is neither DER nor PEM nor hexadecimal")]
    List(&'static str),
    /// The parts do not make collateral.
    #[error("the parts are not collateral")]
    Collateral(#[source] CollateralError),
}

/// The JSON of a `QuoteCollateralV3`.
#[derive(Serialize)]
struct Parts<'a> {
    pck_crl_issuer_chain: String,
    #[serde(with = "hex::serde")]
    root_ca_crl: Vec<u8>,
    #[serde(with = "hex::serde")]
    pck_crl: Vec<u8>,
    tcb_info_issuer_chain: String,
    tcb_info: &'a str,
    tcb_info_signature: String,
    qe_identity_issuer_chain: String,
    qe_identity: &'a str,
    qe_identity_signature: String,
}

#[derive(Deserialize)]
struct SignedTcbInfo<'a> {
    #[serde(rename = "tcbInfo", borrow)]
    statement: &'a RawValue,
    signature: String,
}

#[derive(Deserialize)]
struct SignedQeIdentity<'a> {
    #[serde(rename = "enclaveIdentity", borrow)]
    statement: &'a RawValue,
    signature: String,
}

impl Answers {
    /// Every part parsed; nothing believed.
    pub(crate) fn collateral(&self) -> Result<Collateral, AnswerError> {
        let tcb_info: SignedTcbInfo<'_> = statement("TCB info", &self.tcb_info)?;
        let qe_identity: SignedQeIdentity<'_> = statement("QE identity", &self.qe_identity)?;
        let parts = Parts {
            tcb_info_issuer_chain: chain("TCB info", &self.tcb_info)?,
            tcb_info: tcb_info.statement.get(),
            tcb_info_signature: tcb_info.signature,
            qe_identity_issuer_chain: chain("QE identity", &self.qe_identity)?,
            qe_identity: qe_identity.statement.get(),
            qe_identity_signature: qe_identity.signature,
            pck_crl_issuer_chain: chain("PCK CRL", &self.pck_crl)?,
            pck_crl: list("PCK CRL", &self.pck_crl)?,
            root_ca_crl: list("root CRL", &self.root_crl)?,
        };
        let json = serde_json::to_vec(&parts).map_err(|source| AnswerError::Json {
            part: "whole",
            source,
        })?;
        Collateral::from_json(&json).map_err(AnswerError::Collateral)
    }
}

fn statement<'a, T: Deserialize<'a>>(
    part: &'static str,
    answer: &'a Answer,
) -> Result<T, AnswerError> {
    serde_json::from_slice(&answer.body).map_err(|source| AnswerError::Json { part, source })
}

fn chain(part: &'static str, answer: &Answer) -> Result<String, AnswerError> {
    let encoded = answer.issuer_chain.as_ref();
    let encoded = encoded.ok_or(AnswerError::ChainMissing(part))?;
    let decoded = percent_decode_str(encoded).decode_utf8();
    let decoded = decoded.map_err(|_| AnswerError::Chain(part))?;
    if decoded.len() > ISSUER_CHAIN_BYTES_MAX {
        return Err(AnswerError::Chain(part));
    }
    Ok(decoded.into_owned())
}

/// Intel sends DER where it is asked to, a PCCS hexadecimal, and both PEM where they are not asked.
fn list(part: &'static str, answer: &Answer) -> Result<Vec<u8>, AnswerError> {
    let body = &answer.body;
    if body.first() == Some(&DER_SEQUENCE) {
        return Ok(body.clone());
    }
    if let Ok(list) = CertificateRevocationListDer::from_pem_slice(body) {
        return Ok(list.to_vec());
    }
    hex::decode(body.trim_ascii()).map_err(|_| AnswerError::List(part))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(body: &[u8], issuer_chain: Option<&str>) -> Answer {
        Answer {
            body: body.to_vec(),
            issuer_chain: issuer_chain.map(str::to_owned),
        }
    }

    #[test]
    fn what_is_signed_stays_word_for_word() {
        let body = br#"{ "tcbInfo" : {"b": 1.0,  "a":"\u0041"} , "signature":"00" }"#;
        let answer = answer(body, None);
        let signed: SignedTcbInfo<'_> = statement("TCB info", &answer).unwrap();
        assert_eq!(signed.statement.get(), r#"{"b": 1.0,  "a":"\u0041"}"#);
    }

    #[test]
    fn a_list_comes_in_three_encodings() {
        let der = [0x30, 0x02, 0x05, 0x00];
        let pem = b"-----BEGIN X509 CRL-----\nMAIFAA==\n-----END X509 CRL-----\n";
        for body in [&der[..], pem, b"30020500", b"30020500\n"] {
            assert_eq!(list("root CRL", &answer(body, None)).unwrap(), der);
        }
        for body in [&b"<html>"[..], b"3002050"] {
            assert!(list("root CRL", &answer(body, None)).is_err(), "{body:?}");
        }
    }

    #[test]
    fn a_chain_is_decoded_and_bounded() {
        let decoded = chain("TCB info", &answer(b"", Some("a%20b%0A"))).unwrap();
        assert_eq!(decoded, "a b\n");
        let refused = |header: Option<&str>| chain("TCB info", &answer(b"", header)).unwrap_err();
        assert!(matches!(refused(None), AnswerError::ChainMissing(_)));
        assert!(matches!(refused(Some("%ff")), AnswerError::Chain(_)));
        let long = "a".repeat(ISSUER_CHAIN_BYTES_MAX + 1);
        assert!(matches!(refused(Some(&long)), AnswerError::Chain(_)));
    }

    proptest! {
        /// Whatever a service answers: collateral or a reason, and never a panic.
        #[test]
        fn no_answer_panics(
            bodies in prop::array::uniform4(prop::collection::vec(any::<u8>(), 0..200)),
            issuer_chain in prop::option::of(".{0,80}"),
        ) {
            let [tcb_info, qe_identity, pck_crl, root_crl] =
                bodies.map(|body| answer(&body, issuer_chain.as_deref()));
            let answers = Answers { tcb_info, qe_identity, pck_crl, root_crl };
            prop_assert!(answers.collateral().is_err());
        }

        #[test]
        fn a_list_is_the_same_in_every_encoding(rest in prop::collection::vec(any::<u8>(), 0..200)) {
            let der = [&[DER_SEQUENCE], rest.as_slice()].concat();
            for body in [der.clone(), hex::encode(&der).into_bytes(), hex::encode_upper(&der).into_bytes()] {
                prop_assert_eq!(&list("PCK CRL", &answer(&body, None)).unwrap(), &der);
            }
        }
    }
}
