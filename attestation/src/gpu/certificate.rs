//! One certificate of a device or an OCSP responder: P-384 keys and ECDSA with SHA-384 throughout.
//!
//! Parsed as strict DER, so that every byte is either signed or the signature. What a certificate may do is asked role by
//! role; a critical extension that no role knows is a refusal (RFC 5280, section 4.2). A path library would not help much: the
//! path is given, it must be exactly that one, and key usage (which webpki leaves aside) tells a device from an authority.

use std::borrow::Cow;

use der::{
    Decode, Encode, Sequence,
    asn1::{AnyRef, BitStringRef, ObjectIdentifier},
    oid::AssociatedOid,
};
use x509_cert::{
    TbsCertificate, Version,
    ext::{
        Extension,
        pkix::{BasicConstraints, ExtendedKeyUsage, KeyUsage},
    },
    name::Name,
    serial_number::SerialNumber,
    spki::{AlgorithmIdentifierOwned, AlgorithmIdentifierRef},
};

use super::memo::SignatureMemo;
use crate::rfc_3339;

const ECDSA_WITH_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const SECP384R1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// `04 ‖ x ‖ y`.
const POINT_BYTES: usize = 97;
const POINT_UNCOMPRESSED: u8 = 4;

/// Content, algorithm and signature: how X.509 signs anything.
#[derive(Sequence)]
pub(super) struct Signed<'a> {
    pub(super) content: AnyRef<'a>,
    pub(super) algorithm: AlgorithmIdentifierRef<'a>,
    pub(super) signature: BitStringRef<'a>,
}

/// A certificate whose structure, algorithms and critical extensions are known here. Untrusted.
#[derive(Clone, Debug)]
pub(super) struct Certificate {
    fields: TbsCertificate,
    content: Vec<u8>,
    signature: Vec<u8>,
}

impl Certificate {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, CertificateError> {
        let signed = Signed::from_der(bytes).map_err(CertificateError::Der)?;
        // The header of a DER value is a function of the value, so this gives back the signed bytes.
        let content = signed.content.to_der().map_err(CertificateError::Der)?;
        let fields = TbsCertificate::from_der(&content).map_err(CertificateError::Der)?;
        if fields.version() != Version::V3 {
            return Err(CertificateError::Version);
        }
        if !is_ecdsa_with_sha384(&signed.algorithm) || !names_ecdsa_with_sha384(&fields) {
            return Err(CertificateError::SignatureAlgorithm);
        }
        let certificate = Self {
            signature: signature_bytes(&signed.signature)
                .ok_or(CertificateError::SignatureAlgorithm)?
                .to_vec(),
            content,
            fields,
        };
        if !certificate.has_p384_key() {
            return Err(CertificateError::Key);
        }
        certificate.extensions_are_known()?;
        Ok(certificate)
    }

    fn has_p384_key(&self) -> bool {
        let info = self.fields.subject_public_key_info();
        let curve = info.algorithm.parameters.as_ref();
        info.algorithm.oid == EC_PUBLIC_KEY
            && curve.and_then(|curve| curve.decode_as().ok()) == Some(SECP384R1)
            && info.subject_public_key.unused_bits() == 0
            && self.point().len() == POINT_BYTES
            && self.point().first() == Some(&POINT_UNCOMPRESSED)
    }

    /// None twice, and none critical but those that the roles below look at.
    fn extensions_are_known(&self) -> Result<(), CertificateError> {
        let known = [BasicConstraints::OID, KeyUsage::OID, ExtendedKeyUsage::OID];
        for (at, extension) in self.extensions().iter().enumerate() {
            let id = extension.extn_id;
            if extension.critical && !known.contains(&id) {
                return Err(CertificateError::CriticalExtension(id));
            }
            let mut earlier = self.extensions().iter().take(at);
            if earlier.any(|earlier| earlier.extn_id == id) {
                return Err(CertificateError::ExtensionRepeated(id));
            }
        }
        Ok(())
    }

    fn extensions(&self) -> &[Extension] {
        self.fields.extensions().map_or(&[], Vec::as_slice)
    }

    /// An extension's content.
    pub(super) fn extension(&self, id: ObjectIdentifier) -> Option<&[u8]> {
        let extension = self.extensions().iter().find(|one| one.extn_id == id)?;
        Some(extension.extn_value.as_bytes())
    }

    fn decoded<'a, T: AssociatedOid + Decode<'a, Error = der::Error>>(
        &'a self,
    ) -> Result<Option<T>, CertificateError> {
        self.extension(T::OID)
            .map(T::from_der)
            .transpose()
            .map_err(CertificateError::Der)
    }

    pub(super) fn subject(&self) -> &Name {
        self.fields.subject()
    }

    pub(super) fn issuer(&self) -> &Name {
        self.fields.issuer()
    }

    pub(super) fn serial_number(&self) -> &SerialNumber {
        self.fields.serial_number()
    }

    /// The serial number's bytes.
    pub(super) fn serial(&self) -> &[u8] {
        self.fields.serial_number().as_bytes()
    }

    /// The public key as an uncompressed point.
    pub(super) fn point(&self) -> &[u8] {
        self.fields
            .subject_public_key_info()
            .subject_public_key
            .raw_bytes()
    }

    /// The subject's common name, lossy: it is shown, or compared with ASCII.
    pub(super) fn common_name(&self) -> Option<Cow<'_, str>> {
        const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
        let mut attributes = self.subject().iter();
        let attribute = attributes.find(|attribute| attribute.oid == COMMON_NAME)?;
        Some(String::from_utf8_lossy(attribute.value.value()))
    }

    /// The name and the key of `issuer` issued this certificate.
    pub(super) fn issued_by(
        &self,
        issuer: &Self,
        memo: &SignatureMemo,
    ) -> Result<(), CertificateError> {
        if self.issuer() != issuer.subject() {
            return Err(CertificateError::Issuer);
        }
        memo.verify_der(issuer.point(), &self.content, &self.signature)
            .map_err(|_| CertificateError::Signature)
    }

    /// First and last second at which it is valid, since the Unix epoch.
    pub(super) fn validity_s(&self) -> (u64, u64) {
        let validity = self.fields.validity();
        (
            validity.not_before.to_unix_duration().as_secs(),
            validity.not_after.to_unix_duration().as_secs(),
        )
    }

    /// Both ends included (RFC 5280, section 4.1.2.5).
    pub(super) fn in_date(&self, now_s: u64) -> Result<(), CertificateError> {
        let (not_before_s, not_after_s) = self.validity_s();
        if (not_before_s..=not_after_s).contains(&now_s) {
            return Ok(());
        }
        Err(CertificateError::OutOfDate {
            not_before_s,
            not_after_s,
            now_s,
        })
    }

    /// May issue certificates, with `below` further authorities between it and the end entity.
    pub(super) fn is_authority(&self, below: usize) -> Result<(), CertificateError> {
        let constraints = self.decoded::<BasicConstraints>()?;
        let constraints = constraints
            .filter(|constraints| constraints.ca)
            .ok_or(CertificateError::NotAnAuthority)?;
        let usage = self.decoded::<KeyUsage>()?;
        if !usage.is_some_and(|usage| usage.key_cert_sign()) {
            return Err(CertificateError::NotAnAuthority);
        }
        match constraints.path_len_constraint {
            Some(max) if below > usize::from(max) => Err(CertificateError::PathLength {
                max: max.into(),
                below,
            }),
            _ => Ok(()),
        }
    }

    /// May sign data, and nothing but data.
    pub(super) fn is_signer(&self) -> Result<(), CertificateError> {
        let constraints = self.decoded::<BasicConstraints>()?;
        let authority = constraints.is_some_and(|constraints| constraints.ca);
        let usage = self.decoded::<KeyUsage>()?;
        let signs = usage.is_some_and(|usage| usage.digital_signature() && !usage.key_cert_sign());
        if authority || !signs {
            return Err(CertificateError::NotASigner);
        }
        Ok(())
    }

    /// Whether it is restricted to some purposes.
    pub(super) fn purposes(&self) -> Result<Option<Vec<ObjectIdentifier>>, CertificateError> {
        Ok(self.decoded::<ExtendedKeyUsage>()?.map(|usage| usage.0))
    }
}

fn names_ecdsa_with_sha384(fields: &TbsCertificate) -> bool {
    let AlgorithmIdentifierOwned { oid, parameters } = fields.signature();
    *oid == ECDSA_WITH_SHA384 && parameters.is_none()
}

/// RFC 5758, section 3.2: without parameters.
pub(super) fn is_ecdsa_with_sha384(algorithm: &AlgorithmIdentifierRef<'_>) -> bool {
    algorithm.oid == ECDSA_WITH_SHA384 && algorithm.parameters.is_none()
}

/// A signature's bytes: whole ones.
pub(super) fn signature_bytes<'a>(signature: &BitStringRef<'a>) -> Option<&'a [u8]> {
    signature.as_bytes()
}

/// What is wrong with one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// It is not a certificate in DER.
    #[error("it does not parse")]
    Der(#[source] der::Error),
    /// Not of X.509 version 3.
    #[error("it is not of X.509 version 3")]
    Version,
    /// Signed in another way.
    #[error("it is not signed with ECDSA and SHA-384")]
    SignatureAlgorithm,
    /// The key is of another kind.
    #[error("its key is not an uncompressed P-384 key")]
    Key,
    /// A critical extension that is not known here.
    #[error("its critical extension {0} is unknown")]
    CriticalExtension(ObjectIdentifier),
    /// An extension is there twice.
    #[error("its extension {0} is there twice")]
    ExtensionRepeated(ObjectIdentifier),
    /// Another name issued it.
    #[error("the next certificate's subject is not its issuer")]
    Issuer,
    /// Another key issued it.
    #[error("the next certificate's key did not sign it")]
    Signature,
    /// Not in date.
    #[error(
        "it is valid from {} to {}, which {} is not in",
        rfc_3339(*not_before_s), rfc_3339(*not_after_s), rfc_3339(*now_s)
    )]
    OutOfDate {
        /// Its start, in seconds since the Unix epoch.
        not_before_s: u64,
        /// Its end, in seconds since the Unix epoch.
        not_after_s: u64,
        /// The time of verification.
        now_s: u64,
    },
    /// It stands where an authority is due.
    #[error("it may not issue certificates")]
    NotAnAuthority,
    /// More authorities follow than it permits.
    #[error("{below} authorities stand below it, more than {max}")]
    PathLength {
        /// How many it permits.
        max: usize,
        /// How many there are.
        below: usize,
    },
    /// It stands where a device's or a responder's own certificate is due.
    #[error("it may not sign data, or may issue certificates")]
    NotASigner,
}
