//! Tests of OCSP responses: forged here, and made by OpenSSL where it is installed.

mod openssl;

use der::{
    DateTime,
    asn1::{AnyRef, BitStringRef, Null, OctetString, OctetStringRef},
};
use proptest::prelude::*;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P384_SHA384, SigningKey, date_time_ymd,
};
use x509_cert::spki::AlgorithmIdentifierRef;

use super::{structure::*, *};
use crate::gpu::forge::{NOW_S, Pki};

const ECDSA_WITH_SHA384: AlgorithmIdentifierRef<'_> = AlgorithmIdentifierRef {
    oid: ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3"),
    parameters: None,
};

/// What a response says, and who signs it.
pub(in crate::gpu) struct Forged<'a> {
    pki: &'a Pki,
    /// The certificate that it is about, issued by the one at the next position.
    subject: usize,
    hash: ObjectIdentifier,
    status: CertificateStatus,
    this_update_s: u64,
    next_update_s: Option<u64>,
    extensions: Option<Vec<Extension>>,
    count: usize,
    signer: &'a KeyPair,
    /// The signer's certificate, and whether it is enclosed.
    responder: Vec<u8>,
    enclosed: bool,
    algorithm: AlgorithmIdentifierRef<'a>,
}

impl<'a> Forged<'a> {
    /// Of the boot ROM's certificate, signed by its issuer, good for a day.
    pub(in crate::gpu) fn new(pki: &'a Pki) -> Self {
        Self {
            pki,
            subject: 1,
            hash: SHA384,
            status: CertificateStatus::Good(Null),
            this_update_s: NOW_S - 60,
            next_update_s: Some(NOW_S + 86_400),
            extensions: None,
            count: 1,
            signer: &pki.keys[2],
            responder: pki.certificates[2].clone(),
            enclosed: false,
            algorithm: ECDSA_WITH_SHA384,
        }
    }

    /// The same, signed by a responder with a certificate of its own.
    fn delegated(pki: &'a Pki, delegate: &'a Delegate) -> Self {
        Self {
            signer: &delegate.key,
            responder: delegate.certificate.clone(),
            enclosed: true,
            ..Self::new(pki)
        }
    }

    pub(in crate::gpu) fn bytes(self) -> Vec<u8> {
        let subject = Certificate::parse(&self.pki.certificates[self.subject]).unwrap();
        let issuer = Certificate::parse(&self.pki.certificates[self.subject + 1]).unwrap();
        let hash = match self.hash {
            SHA1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            SHA256 => &digest::SHA256,
            _ => &digest::SHA384,
        };
        let name_hash = digest::digest(hash, &subject.issuer().to_der().unwrap());
        let key_hash = digest::digest(hash, issuer.point());
        let responder = Certificate::parse(&self.responder).unwrap();
        let sha1 = &digest::SHA1_FOR_LEGACY_USE_ONLY;
        let responder_key = digest::digest(sha1, responder.point());
        let single = SingleResponse {
            certificate: CertificateId {
                hash_algorithm: AlgorithmIdentifierRef {
                    oid: self.hash,
                    parameters: Some(AnyRef::NULL),
                },
                issuer_name_hash: octets(name_hash.as_ref()),
                issuer_key_hash: octets(key_hash.as_ref()),
                serial_number: x509_cert::serial_number::SerialNumber::new(subject.serial())
                    .unwrap(),
            },
            status: self.status,
            this_update: time(self.this_update_s),
            next_update: self.next_update_s.map(time),
            extensions: self.extensions,
        };
        let single = single.to_der().unwrap();
        let data = ResponseData {
            version: x509_cert::Version::V1,
            responder: ResponderId::ByKey(octets(responder_key.as_ref())),
            produced_at: time(self.this_update_s),
            responses: (0..self.count)
                .map(|_| SingleResponse::from_der(&single).unwrap())
                .collect(),
            extensions: None,
        };
        let content = data.to_der().unwrap();
        let signature = self.signer.sign(&content).unwrap();
        let enclosed = AnyRef::from_der(&self.responder).unwrap();
        let basic = BasicResponse {
            content: AnyRef::from_der(&content).unwrap(),
            algorithm: self.algorithm,
            signature: BitStringRef::from_bytes(&signature).unwrap(),
            certificates: self.enclosed.then(|| vec![enclosed]),
        };
        envelope(
            ResponseStatus::Successful,
            BASIC_RESPONSE,
            &basic.to_der().unwrap(),
        )
    }
}

fn envelope(status: ResponseStatus, kind: ObjectIdentifier, response: &[u8]) -> Vec<u8> {
    let bytes = ResponseBytes {
        kind,
        response: octets(response),
    };
    let envelope = OcspResponse {
        status,
        bytes: Some(bytes),
    };
    envelope.to_der().unwrap()
}

fn octets(bytes: &[u8]) -> &OctetStringRef {
    OctetStringRef::new(bytes).unwrap()
}

fn time(at_s: u64) -> GeneralizedTime {
    let duration = std::time::Duration::from_secs(at_s);
    GeneralizedTime::from_date_time(DateTime::from_unix_duration(duration).unwrap())
}

/// A responder that the provisioner certified, as NVIDIA's are.
struct Delegate {
    key: KeyPair,
    certificate: Vec<u8>,
}

impl Delegate {
    fn of(pki: &Pki, issuer: usize, change: impl Fn(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "FORGED OCSP Responder L3");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
        params.is_ca = IsCa::ExplicitNoCa;
        params.not_before = date_time_ymd(2022, 12, 5);
        params.not_after = date_time_ymd(2040, 1, 1);
        change(&mut params);
        let certificate = Certificate::parse(&pki.certificates[issuer]).unwrap();
        let mut above = CertificateParams::default();
        above.distinguished_name = rcgen::DistinguishedName::new();
        let name = certificate.common_name().unwrap().into_owned();
        above.distinguished_name.push(DnType::CommonName, name);
        let issuer = Issuer::from_params(&above, &pki.keys[issuer]);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        Self {
            certificate: certificate.der().to_vec(),
            key,
        }
    }
}

/// The place of the certificate that the response is about, and its standing.
fn judge(pki: &Pki, bytes: &[u8]) -> Result<(usize, OcspStanding), OcspError> {
    judge_twice(pki, bytes, &SignatureMemo::default())
}

/// Without and with what `memo` remembers, and after it: the outcome is one.
fn judge_twice(
    pki: &Pki,
    bytes: &[u8],
    memo: &SignatureMemo,
) -> Result<(usize, OcspStanding), OcspError> {
    let fresh = SignatureMemo::default();
    let [cold, warm, again] = [&fresh, memo, memo].map(|memo| judge_with(pki, bytes, memo));
    assert_eq!(cold, warm);
    assert_eq!(cold, again);
    warm
}

fn judge_with(
    pki: &Pki,
    bytes: &[u8],
    memo: &SignatureMemo,
) -> Result<(usize, OcspStanding), OcspError> {
    let certificates: Vec<_> = pki
        .certificates
        .iter()
        .map(|der| Certificate::parse(der).unwrap())
        .collect();
    let response = Response::parse(bytes)?;
    let pairs = certificates.iter().zip(&certificates[1..]);
    let subject = response.subject(pairs)?;
    let standing = response.verify(&certificates[subject + 1], memo, NOW_S)?;
    Ok((subject, standing))
}

fn good_until(next_update_s: u64) -> OcspStanding {
    good(NOW_S - 60, next_update_s)
}

fn good(this_update_s: u64, next_update_s: u64) -> OcspStanding {
    OcspStanding::Good {
        this_update_s,
        next_update_s,
    }
}

#[test]
fn the_issuer_may_sign() {
    let pki = Pki::new();
    let standing = judge(&pki, &Forged::new(&pki).bytes());
    assert_eq!(standing, Ok((1, good_until(NOW_S + 86_400))));
}

#[test]
fn a_certified_responder_may_sign() {
    let pki = Pki::new();
    let delegate = Delegate::of(&pki, 2, |_| {});
    let standing = judge(&pki, &Forged::delegated(&pki, &delegate).bytes());
    assert_eq!(standing, Ok((1, good_until(NOW_S + 86_400))));
}

#[test]
fn certificates_are_named_by_three_hashes() {
    let pki = Pki::new();
    for hash in [SHA1, SHA256, SHA384] {
        let forged = Forged {
            hash,
            ..Forged::new(&pki)
        };
        assert!(judge(&pki, &forged.bytes()).is_ok(), "{hash}");
    }
    let sha512 = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
    let forged = Forged {
        hash: sha512,
        ..Forged::new(&pki)
    };
    assert_eq!(
        judge(&pki, &forged.bytes()),
        Err(OcspError::HashAlgorithm(sha512))
    );
}

#[test]
fn a_revoked_certificate_is_refused_and_an_unknown_one_stands_so() {
    let pki = Pki::new();
    for reason in [None, Some(Reason::CertificateHold)] {
        let revoked = Revoked {
            at: time(NOW_S - 1000),
            reason,
        };
        let forged = Forged {
            status: CertificateStatus::Revoked(revoked),
            ..Forged::new(&pki)
        };
        let refused = OcspError::Revoked {
            revoked_at_s: NOW_S - 1000,
            this_update_s: NOW_S - 60,
        };
        assert_eq!(judge(&pki, &forged.bytes()), Err(refused));
    }
    let forged = Forged {
        status: CertificateStatus::Unknown(Null),
        ..Forged::new(&pki)
    };
    assert_eq!(judge(&pki, &forged.bytes()), Ok((1, OcspStanding::Unknown)));
}

#[test]
fn dates_are_read() {
    let pki = Pki::new();
    let at = |this_update_s, next_update_s| {
        let forged = Forged {
            this_update_s,
            next_update_s,
            ..Forged::new(&pki)
        };
        judge(&pki, &forged.bytes())
    };
    let soon_s = NOW_S + OCSP_CLOCK_SKEW_S;
    assert!(
        at(soon_s, Some(soon_s + 10)).is_ok(),
        "the clocks may differ"
    );
    assert!(matches!(
        at(soon_s + 1, Some(soon_s + 10)),
        Err(OcspError::NotYetGood { .. })
    ));
    assert_eq!(at(NOW_S, None), Err(OcspError::NoNextUpdate));
    let past = at(NOW_S - 100, Some(NOW_S - 50));
    let good = good(NOW_S - 100, NOW_S - 50);
    assert_eq!(past, Ok((1, good)), "for policy to judge");
}

#[test]
fn other_certificates_are_foreign() {
    let (pki, other) = (Pki::new(), Pki::new());
    let foreign = judge(&other, &Forged::new(&pki).bytes());
    assert_eq!(foreign, Err(OcspError::Foreign));
}

#[test]
fn one_response_is_about_one_certificate() {
    let pki = Pki::new();
    for count in [0, 2] {
        let forged = Forged {
            count,
            ..Forged::new(&pki)
        };
        assert_eq!(judge(&pki, &forged.bytes()), Err(OcspError::Count(count)));
    }
}

#[test]
fn the_signature_is_the_responders() {
    let pki = Pki::new();
    let forged = Forged {
        signer: &pki.keys[3],
        ..Forged::new(&pki)
    };
    assert_eq!(judge(&pki, &forged.bytes()), Err(OcspError::Signature));
    let sha256 = AlgorithmIdentifierRef {
        oid: ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"),
        parameters: None,
    };
    let forged = Forged {
        algorithm: sha256,
        ..Forged::new(&pki)
    };
    assert_eq!(
        judge(&pki, &forged.bytes()),
        Err(OcspError::SignatureAlgorithm)
    );
}

#[test]
fn a_responder_is_enclosed_certified_and_for_ocsp() {
    let pki = Pki::new();
    let delegate = Delegate::of(&pki, 2, |_| {});
    let absent = Forged {
        enclosed: false,
        ..Forged::delegated(&pki, &delegate)
    };
    assert_eq!(
        judge(&pki, &absent.bytes()),
        Err(OcspError::ResponderMissing)
    );
    let by_another = Delegate::of(&pki, 3, |_| {});
    let refused = judge(&pki, &Forged::delegated(&pki, &by_another).bytes());
    assert_eq!(refused, Err(OcspError::Responder(CertificateError::Issuer)));
    let expired = Delegate::of(&pki, 2, |params| {
        params.not_after = date_time_ymd(2024, 1, 1);
    });
    let refused = judge(&pki, &Forged::delegated(&pki, &expired).bytes());
    assert!(matches!(
        refused,
        Err(OcspError::Responder(CertificateError::OutOfDate { .. }))
    ));
    for purposes in [vec![], vec![ExtendedKeyUsagePurpose::CodeSigning]] {
        let other = Delegate::of(&pki, 2, |params| {
            params.extended_key_usages.clone_from(&purposes);
        });
        let refused = judge(&pki, &Forged::delegated(&pki, &other).bytes());
        assert_eq!(refused, Err(OcspError::ResponderPurpose));
    }
}

/// Only the signature is remembered: an answer ages, and a responder's certificate ends.
#[test]
fn what_is_remembered_is_dated_anew() {
    let pki = Pki::new();
    let delegate = Delegate::of(&pki, 2, |_| {});
    let bytes = Forged::delegated(&pki, &delegate).bytes();
    let memo = SignatureMemo::default();
    assert!(judge_twice(&pki, &bytes, &memo).is_ok());
    let issuer = Certificate::parse(&pki.certificates[2]).unwrap();
    let at = |now_s| {
        let response = Response::parse(&bytes).unwrap();
        response.verify(&issuer, &memo, now_s)
    };
    let early = at(NOW_S - OCSP_CLOCK_SKEW_S - 100);
    assert!(matches!(early, Err(OcspError::NotYetGood { .. })));
    // After 2040-01-01.
    let late = at(2_208_988_801);
    assert!(matches!(
        late,
        Err(OcspError::Responder(CertificateError::OutOfDate { .. }))
    ));
}

/// The device's own key is certified by the same issuer; it must not answer for itself.
#[test]
fn a_device_is_no_responder() {
    let pki = Pki::new();
    let forged = Forged {
        signer: &pki.keys[1],
        responder: pki.certificates[1].clone(),
        enclosed: true,
        ..Forged::new(&pki)
    };
    let refused = OcspError::Responder(CertificateError::NotASigner);
    assert_eq!(judge(&pki, &forged.bytes()), Err(refused));
}

#[test]
fn critical_extensions_are_refused() {
    let pki = Pki::new();
    let id = ObjectIdentifier::new_unwrap("1.2.3");
    for critical in [false, true] {
        let extension = Extension {
            extn_id: id,
            critical,
            extn_value: OctetString::new([5, 0]).unwrap(),
        };
        let forged = Forged {
            extensions: Some(vec![extension]),
            ..Forged::new(&pki)
        };
        let outcome = judge(&pki, &forged.bytes());
        assert_eq!(
            outcome.err(),
            critical.then_some(OcspError::CriticalExtension(id))
        );
    }
}

#[test]
fn what_is_no_answer_is_refused() {
    let pki = Pki::new();
    let later = envelope(ResponseStatus::TryLater, BASIC_RESPONSE, &[]);
    assert_eq!(judge(&pki, &later), Err(OcspError::NoAnswer));
    let other = envelope(ResponseStatus::Successful, SHA1, &[]);
    assert_eq!(judge(&pki, &other), Err(OcspError::NoAnswer));
    assert!(matches!(judge(&pki, b""), Err(OcspError::Der(_))));
    let trailing = [Forged::new(&pki).bytes(), vec![0]].concat();
    assert!(matches!(judge(&pki, &trailing), Err(OcspError::Der(_))));
}

#[test]
fn no_flipped_byte_is_accepted() {
    let pki = Pki::new();
    let delegate = Delegate::of(&pki, 2, |_| {});
    let bytes = Forged::delegated(&pki, &delegate).bytes();
    let memo = SignatureMemo::default();
    assert!(judge_twice(&pki, &bytes, &memo).is_ok());
    assert_eq!(
        memo.count(),
        2,
        "the responder's certificate and its response"
    );
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        let outcome = judge_twice(&pki, &flipped, &memo);
        assert!(outcome.is_err(), "byte {at}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(response) = Response::parse(&bytes) {
            let _ = response.subject(std::iter::empty());
        }
    }
}
