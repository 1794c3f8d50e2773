//! Stapled OCSP responses (RFC 6960): what the issuer says of a certificate, carried by the worker.
//!
//! The worker chooses which responses it staples, so an absent one proves nothing: policy demands those it wants. A response
//! that is there must hold. It is signed by the certificate's issuer, or by a responder that the same issuer certified for the
//! purpose; NVIDIA's are of the second kind, and name their certificates by SHA-384 hashes. A responder's own revocation is not
//! looked at: NVIDIA marks its responders so (`id-pkix-ocsp-nocheck`).

mod staple;
mod structure;

use crate::rfc_3339;
use der::{
    Decode, Encode,
    asn1::{GeneralizedTime, ObjectIdentifier},
};
use ring::digest::{self, Algorithm};
use serde::Serialize;
use x509_cert::ext::Extension;

use structure::{
    BasicResponse, CertificateId, CertificateStatus, OcspResponse, ResponderId, ResponseData,
    ResponseStatus, SingleResponse,
};

use super::{
    certificate::{Certificate, CertificateError, is_ecdsa_with_sha384, signature_bytes},
    memo::SignatureMemo,
};

const BASIC_RESPONSE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1");
const OCSP_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.9");
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");

pub use staple::{OcspRequestError, ocsp_request, ocsp_standing};

/// A worker fetches a response at the moment at which it attests, so the responder's clock may be ahead of ours.
pub const OCSP_CLOCK_SKEW_S: u64 = 300;

/// What stapled responses say of one certificate. A revoked one is a refusal, not a standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OcspStanding {
    /// The worker stapled no response for it.
    NotStapled,
    /// Its issuer says that it is good.
    Good {
        /// Since when, in seconds since the Unix epoch: of two responses the later one counts.
        this_update_s: u64,
        /// Until when, in seconds since the Unix epoch; may be past.
        next_update_s: u64,
    },
    /// The responder does not know it.
    Unknown,
}

/// A response whose structure is sound. Untrusted.
pub(super) struct Response<'a> {
    basic: BasicResponse<'a>,
    content: Vec<u8>,
}

impl<'a> Response<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, OcspError> {
        let response = OcspResponse::from_der(bytes).map_err(OcspError::Der)?;
        let body = response.bytes.filter(|body| body.kind == BASIC_RESPONSE);
        let (ResponseStatus::Successful, Some(body)) = (response.status, body) else {
            return Err(OcspError::NoAnswer);
        };
        let basic = BasicResponse::from_der(body.response.as_bytes()).map_err(OcspError::Der)?;
        Ok(Self {
            content: basic.content.to_der().map_err(OcspError::Der)?,
            basic,
        })
    }

    fn data(&self) -> Result<ResponseData<'_>, OcspError> {
        ResponseData::from_der(&self.content).map_err(OcspError::Der)
    }

    /// The place, among `pairs` of certificate and issuer, of the certificate that the response is about.
    pub(super) fn subject<'c>(
        &self,
        mut pairs: impl Iterator<Item = (&'c Certificate, &'c Certificate)>,
    ) -> Result<usize, OcspError> {
        let data = self.data()?;
        let single = single(&data)?;
        let hash = hash_algorithm(&single.certificate)?;
        pairs
            .position(|(certificate, issuer)| {
                is_about(&single.certificate, hash, certificate, issuer)
            })
            .ok_or(OcspError::Foreign)
    }

    /// Verify the response as one about a certificate of `issuer`, at `now_s`.
    pub(super) fn verify(
        &self,
        issuer: &Certificate,
        memo: &SignatureMemo,
        now_s: u64,
    ) -> Result<OcspStanding, OcspError> {
        let data = self.data()?;
        let single = single(&data)?;
        self.signed_for(&data.responder, issuer, memo, now_s)?;
        no_critical(data.extensions.as_deref())?;
        no_critical(single.extensions.as_deref())?;
        let this_update_s = seconds(single.this_update);
        let next_update_s = next_update_s(single, now_s)?;
        match &single.status {
            CertificateStatus::Good(_) => Ok(OcspStanding::Good {
                this_update_s,
                next_update_s,
            }),
            CertificateStatus::Unknown(_) => Ok(OcspStanding::Unknown),
            CertificateStatus::Revoked(revoked) => Err(OcspError::Revoked {
                revoked_at_s: seconds(revoked.at),
                this_update_s,
            }),
        }
    }

    fn signed_for(
        &self,
        responder: &ResponderId<'_>,
        issuer: &Certificate,
        memo: &SignatureMemo,
        now_s: u64,
    ) -> Result<(), OcspError> {
        if is_responder(responder, issuer) {
            return self.signed_by(issuer, memo);
        }
        let delegate = self
            .delegates()?
            .into_iter()
            .find(|certificate| is_responder(responder, certificate))
            .ok_or(OcspError::ResponderMissing)?;
        may_respond(&delegate, issuer, memo, now_s).map_err(OcspError::Responder)?;
        if !for_ocsp(&delegate).map_err(OcspError::Responder)? {
            return Err(OcspError::ResponderPurpose);
        }
        self.signed_by(&delegate, memo)
    }

    fn delegates(&self) -> Result<Vec<Certificate>, OcspError> {
        let certificates = self.basic.certificates.iter().flatten();
        certificates
            .map(|certificate| {
                let der = certificate.to_der().map_err(OcspError::Der)?;
                Certificate::parse(&der).map_err(OcspError::Responder)
            })
            .collect()
    }

    fn signed_by(&self, signer: &Certificate, memo: &SignatureMemo) -> Result<(), OcspError> {
        let signature = signature_bytes(&self.basic.signature)
            .filter(|_| is_ecdsa_with_sha384(&self.basic.algorithm))
            .ok_or(OcspError::SignatureAlgorithm)?;
        memo.verify_der(signer.point(), &self.content, signature)
            .map_err(|_| OcspError::Signature)
    }
}

/// One answer in one response: that is what is stapled.
fn single<'d>(data: &'d ResponseData<'d>) -> Result<&'d SingleResponse<'d>, OcspError> {
    match data.responses.as_slice() {
        [single] => Ok(single),
        several => Err(OcspError::Count(several.len())),
    }
}

fn hash_algorithm(id: &CertificateId<'_>) -> Result<&'static Algorithm, OcspError> {
    match id.hash_algorithm.oid {
        SHA1 => Ok(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        SHA256 => Ok(&digest::SHA256),
        SHA384 => Ok(&digest::SHA384),
        other => Err(OcspError::HashAlgorithm(other)),
    }
}

/// The hashes only say which certificate is meant; the signature proves that its issuer means it. So SHA-1 does.
fn is_about(
    id: &CertificateId<'_>,
    hash: &'static Algorithm,
    certificate: &Certificate,
    issuer: &Certificate,
) -> bool {
    let Ok(name) = certificate.issuer().to_der() else {
        return false;
    };
    id.serial_number.as_bytes() == certificate.serial()
        && id.issuer_name_hash.as_bytes() == digest::digest(hash, &name).as_ref()
        && id.issuer_key_hash.as_bytes() == digest::digest(hash, issuer.point()).as_ref()
}

fn is_responder(responder: &ResponderId<'_>, certificate: &Certificate) -> bool {
    match responder {
        ResponderId::ByName(name) => name == certificate.subject(),
        ResponderId::ByKey(key) => {
            let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, certificate.point());
            key.as_bytes() == hash.as_ref()
        }
    }
}

fn may_respond(
    delegate: &Certificate,
    issuer: &Certificate,
    memo: &SignatureMemo,
    now_s: u64,
) -> Result<(), CertificateError> {
    delegate.is_signer()?;
    delegate.in_date(now_s)?;
    delegate.issued_by(issuer, memo)
}

fn for_ocsp(delegate: &Certificate) -> Result<bool, CertificateError> {
    let purposes = delegate.purposes()?;
    Ok(purposes.is_some_and(|purposes| purposes.contains(&OCSP_SIGNING)))
}

/// None of the extensions that there are (nonce, archive cutoff and the like) takes anything away from the answer.
fn no_critical(extensions: Option<&[Extension]>) -> Result<(), OcspError> {
    let mut extensions = extensions.unwrap_or_default().iter();
    match extensions.find(|extension| extension.critical) {
        Some(extension) => Err(OcspError::CriticalExtension(extension.extn_id)),
        None => Ok(()),
    }
}

/// Until when the response is good. Whether that is past, policy judges: it may grant a grace.
fn next_update_s(single: &SingleResponse<'_>, now_s: u64) -> Result<u64, OcspError> {
    let this_update_s = seconds(single.this_update);
    if this_update_s.saturating_sub(OCSP_CLOCK_SKEW_S) > now_s {
        return Err(OcspError::NotYetGood {
            this_update_s,
            now_s,
        });
    }
    single
        .next_update
        .map(seconds)
        .ok_or(OcspError::NoNextUpdate)
}

fn seconds(time: GeneralizedTime) -> u64 {
    time.to_unix_duration().as_secs()
}

/// What is wrong with a stapled response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OcspError {
    /// Not an OCSP response in DER.
    #[error("the response does not parse")]
    Der(#[source] der::Error),
    /// The certificate that the response is to be about, or its issuer, does not parse.
    #[error("the certificate does not parse")]
    Certificate(#[source] CertificateError),
    /// The responder refused to answer, or answers in an unknown way.
    #[error("the response is no answer")]
    NoAnswer,
    /// Not about exactly one certificate.
    #[error("the response is about {0} certificates, not one")]
    Count(usize),
    /// The certificate is named by an unknown hash.
    #[error("the response names its certificate by hash algorithm {0}")]
    HashAlgorithm(ObjectIdentifier),
    /// About a certificate that is not in the chain.
    #[error("the response is about another certificate")]
    Foreign,
    /// About a certificate that another response was about.
    #[error("another response is about the same certificate")]
    Repeated,
    /// Its signer's certificate is neither the issuer's nor enclosed.
    #[error("the responder's certificate is missing")]
    ResponderMissing,
    /// Its signer's certificate is not good.
    #[error("the responder's certificate does not hold")]
    Responder(#[source] CertificateError),
    /// Its signer's certificate is for something else.
    #[error("the responder's certificate is not for OCSP")]
    ResponderPurpose,
    /// Signed in another way.
    #[error("the response is not signed with ECDSA and SHA-384")]
    SignatureAlgorithm,
    /// The signature is not its signer's.
    #[error("the response's signature does not verify")]
    Signature,
    /// A critical extension; none is known here.
    #[error("the response's critical extension {0} is unknown")]
    CriticalExtension(ObjectIdentifier),
    /// Made in the future.
    #[error("the response is good from {} on, after {}", rfc_3339(*this_update_s), rfc_3339(*now_s))]
    NotYetGood {
        /// Its start, in seconds since the Unix epoch.
        this_update_s: u64,
        /// The time of verification.
        now_s: u64,
    },
    /// Good for ever, which no answer is.
    #[error("the response does not say until when it is good")]
    NoNextUpdate,
    /// The certificate is revoked, or on hold.
    #[error("the certificate was revoked at {}", rfc_3339(*revoked_at_s))]
    Revoked {
        /// Since when, in seconds since the Unix epoch.
        revoked_at_s: u64,
        /// When the responder said so, in seconds since the Unix epoch.
        this_update_s: u64,
    },
}

#[cfg(test)]
pub(super) mod tests;
