//! What a worker needs to bring responses along: the request, and whether a response holds.

use der::{
    Encode, Sequence,
    asn1::{AnyRef, OctetStringRef},
};
use ring::digest;
use x509_cert::spki::AlgorithmIdentifierRef;

use super::{OcspError, OcspStanding, Response, SHA384, structure::CertificateId};
use crate::gpu::{
    certificate::{Certificate, CertificateError},
    memo::SignatureMemo,
};

/// `OCSPRequest` (RFC 6960, section 4.1.1), without a name, an extension or a signature.
#[derive(Sequence)]
struct OcspRequest<'a> {
    content: RequestContent<'a>,
}

#[derive(Sequence)]
struct RequestContent<'a> {
    requests: Vec<SingleRequest<'a>>,
}

#[derive(Sequence)]
struct SingleRequest<'a> {
    certificate: CertificateId<'a>,
}

/// The request (DER) that asks a responder for the standing of `certificate`, which `issuer` issued. Both are DER.
///
/// Names the certificate by SHA-384 hashes, as NVIDIA's own verifiers do, and carries no nonce: it is the time in the
/// response that counts, and a response that everybody gets can be kept ready.
pub fn ocsp_request(certificate: &[u8], issuer: &[u8]) -> Result<Vec<u8>, OcspRequestError> {
    let certificate = Certificate::parse(certificate).map_err(OcspRequestError::Certificate)?;
    let issuer = Certificate::parse(issuer).map_err(OcspRequestError::Certificate)?;
    let name = certificate
        .issuer()
        .to_der()
        .map_err(OcspRequestError::Der)?;
    let name_hash = digest::digest(&digest::SHA384, &name);
    let key_hash = digest::digest(&digest::SHA384, issuer.point());
    let octets = |bytes| OctetStringRef::new(bytes).map_err(OcspRequestError::Der);
    let request = OcspRequest {
        content: RequestContent {
            requests: vec![SingleRequest {
                certificate: CertificateId {
                    hash_algorithm: AlgorithmIdentifierRef {
                        oid: SHA384,
                        parameters: Some(AnyRef::NULL),
                    },
                    issuer_name_hash: octets(name_hash.as_ref())?,
                    issuer_key_hash: octets(key_hash.as_ref())?,
                    serial_number: certificate.serial_number().clone(),
                },
            }],
        },
    };
    request.to_der().map_err(OcspRequestError::Der)
}

/// What `response` says of `certificate`, which `issuer` issued, at `now_s`. Refuses what
/// [`GpuVerifier::verify`](super::super::GpuVerifier::verify) would refuse among the stapled ones. That the issuer leads to
/// a root is not looked at here.
pub fn ocsp_standing(
    response: &[u8],
    certificate: &[u8],
    issuer: &[u8],
    now_s: u64,
) -> Result<OcspStanding, OcspError> {
    let certificate = Certificate::parse(certificate).map_err(OcspError::Certificate)?;
    let issuer = Certificate::parse(issuer).map_err(OcspError::Certificate)?;
    let response = Response::parse(response)?;
    response.subject(std::iter::once((&certificate, &issuer)))?;
    response.verify(&issuer, &SignatureMemo::default(), now_s)
}

/// Why no request can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OcspRequestError {
    /// The certificate or its issuer is none that a device shows.
    #[error("the certificate does not parse")]
    Certificate(#[source] CertificateError),
    /// The request cannot be written.
    #[error("the request cannot be encoded")]
    Der(#[source] der::Error),
}
