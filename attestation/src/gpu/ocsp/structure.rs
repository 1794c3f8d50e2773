//! The ASN.1 of an OCSP response (RFC 6960, section 4.2.1), as far as it is looked at.
#![expect(
    clippy::unnested_or_patterns,
    reason = "the derive of Choice writes them"
)]

use der::{
    Choice, Enumerated, Sequence,
    asn1::{AnyRef, BitStringRef, GeneralizedTime, Null, ObjectIdentifier, OctetStringRef},
};
use x509_cert::{
    Version, ext::Extensions, name::Name, serial_number::SerialNumber, spki::AlgorithmIdentifierRef,
};

/// Whether there is an answer at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumerated)]
#[repr(u8)]
pub(super) enum ResponseStatus {
    Successful = 0,
    MalformedRequest = 1,
    InternalError = 2,
    TryLater = 3,
    SigRequired = 5,
    Unauthorized = 6,
}

#[derive(Sequence)]
pub(super) struct OcspResponse<'a> {
    pub(super) status: ResponseStatus,
    #[asn1(context_specific = "0", optional = "true")]
    pub(super) bytes: Option<ResponseBytes<'a>>,
}

#[derive(Sequence)]
pub(super) struct ResponseBytes<'a> {
    pub(super) kind: ObjectIdentifier,
    pub(super) response: &'a OctetStringRef,
}

/// `BasicOCSPResponse`: the one kind of response.
#[derive(Sequence)]
pub(super) struct BasicResponse<'a> {
    pub(super) content: AnyRef<'a>,
    pub(super) algorithm: AlgorithmIdentifierRef<'a>,
    pub(super) signature: BitStringRef<'a>,
    #[asn1(context_specific = "0", optional = "true")]
    pub(super) certificates: Option<Vec<AnyRef<'a>>>,
}

/// What is signed.
#[derive(Sequence)]
pub(super) struct ResponseData<'a> {
    #[asn1(context_specific = "0", default = "Default::default")]
    pub(super) version: Version,
    pub(super) responder: ResponderId<'a>,
    pub(super) produced_at: GeneralizedTime,
    pub(super) responses: Vec<SingleResponse<'a>>,
    #[asn1(context_specific = "1", optional = "true")]
    pub(super) extensions: Option<Extensions>,
}

#[derive(Choice)]
pub(super) enum ResponderId<'a> {
    #[asn1(context_specific = "1", constructed = "true")]
    ByName(Name),
    /// SHA-1 of the key's bits.
    #[asn1(context_specific = "2", constructed = "true")]
    ByKey(&'a OctetStringRef),
}

#[derive(Sequence)]
pub(super) struct SingleResponse<'a> {
    pub(super) certificate: CertificateId<'a>,
    pub(super) status: CertificateStatus,
    pub(super) this_update: GeneralizedTime,
    #[asn1(context_specific = "0", optional = "true")]
    pub(super) next_update: Option<GeneralizedTime>,
    #[asn1(context_specific = "1", optional = "true")]
    pub(super) extensions: Option<Extensions>,
}

/// Which certificate is meant: issuer and serial number.
#[derive(Sequence)]
pub(super) struct CertificateId<'a> {
    pub(super) hash_algorithm: AlgorithmIdentifierRef<'a>,
    pub(super) issuer_name_hash: &'a OctetStringRef,
    pub(super) issuer_key_hash: &'a OctetStringRef,
    pub(super) serial_number: SerialNumber,
}

#[derive(Choice)]
pub(super) enum CertificateStatus {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT")]
    Good(Null),
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", constructed = "true")]
    Revoked(Revoked),
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT")]
    Unknown(Null),
}

#[derive(Sequence)]
pub(super) struct Revoked {
    pub(super) at: GeneralizedTime,
    #[asn1(context_specific = "0", optional = "true")]
    pub(super) reason: Option<Reason>,
}

/// `CRLReason` (RFC 5280, section 5.3.1). A hold counts as a revocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enumerated)]
#[repr(u8)]
pub(super) enum Reason {
    Unspecified = 0,
    KeyCompromise = 1,
    CaCompromise = 2,
    AffiliationChanged = 3,
    Superseded = 4,
    CessationOfOperation = 5,
    CertificateHold = 6,
    RemoveFromCrl = 8,
    PrivilegeWithdrawn = 9,
    AaCompromise = 10,
}
