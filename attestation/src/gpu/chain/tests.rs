//! Tests of the chain: one broken thing at a time.

use proptest::prelude::*;
use rcgen::{
    BasicConstraints, CustomExtension, DnType, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, date_time_ymd,
};

use super::*;
use crate::gpu::forge::{self, NOW_S, Pki};

fn verify(pki: &Pki) -> Result<VerifiedChain, ChainError> {
    let memo = SignatureMemo::default();
    verify_twice(&pki.certificates, &pki.anchor(), &memo)
}

/// Without and with what `memo` remembers, and after it: the outcome is one.
fn verify_twice(
    chain: &[Vec<u8>],
    anchor: &GpuTrustAnchor,
    memo: &SignatureMemo,
) -> Result<VerifiedChain, ChainError> {
    let fresh = SignatureMemo::default();
    let [cold, warm, again] =
        [&fresh, memo, memo].map(|memo| VerifiedChain::verify(chain, anchor, memo, NOW_S));
    assert_eq!(format!("{cold:?}"), format!("{warm:?}"));
    assert_eq!(format!("{cold:?}"), format!("{again:?}"));
    warm
}

/// A memo that has seen the chain hold.
fn warm(pki: &Pki) -> SignatureMemo {
    let memo = SignatureMemo::default();
    verify_twice(&pki.certificates, &pki.anchor(), &memo).unwrap();
    memo
}

/// Refused for a fault of one certificate.
fn fault(pki: &Pki) -> (usize, CertificateError) {
    match verify(pki).unwrap_err() {
        ChainError::Certificate { position, source } => (position, source),
        other => panic!("{other}"),
    }
}

/// The chain with the parameters at one position changed.
fn with(wanted: usize, change: impl Fn(&mut rcgen::CertificateParams)) -> Pki {
    Pki::with(|position, params| {
        if position == wanted {
            change(params);
        }
    })
}

#[test]
fn a_chain_leads_to_its_root() {
    let chain = verify(&Pki::new()).unwrap();
    assert_eq!(chain.architecture, Architecture::Hopper);
    assert_eq!(chain.chip, "GH100");
    assert_eq!(chain.firmware_id, Some(forge::FIRMWARE_ID));
    assert_eq!(chain.device().serial(), [0x41, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(chain.pairs().count(), 4);
}

#[test]
fn no_certificate_is_missing_or_too_many() {
    let pki = Pki::new();
    let memo = warm(&pki);
    for position in 0..CHAIN_CERTIFICATES_COUNT {
        let mut fewer = pki.certificates.clone();
        fewer.remove(position);
        let refused = verify_twice(&fewer, &pki.anchor(), &memo).unwrap_err();
        assert_eq!(refused, ChainError::Count(4));
    }
    let mut more = pki.certificates.clone();
    more.push(pki.certificates[4].clone());
    let refused = verify_twice(&more, &pki.anchor(), &memo).unwrap_err();
    assert_eq!(refused, ChainError::Count(6));
}

#[test]
fn the_root_is_the_pinned_one() {
    let pki = Pki::new();
    let refused = verify_twice(&pki.certificates, &Pki::new().anchor(), &warm(&pki));
    assert_eq!(refused.unwrap_err(), ChainError::Root);
}

#[test]
fn each_certificate_is_issued_by_the_next() {
    let (one, other) = (Pki::new(), Pki::new());
    let memo = warm(&one);
    for position in 0..4 {
        let mut mixed = one.certificates.clone();
        mixed[position].clone_from(&other.certificates[position]);
        let refused = verify_twice(&mixed, &one.anchor(), &memo).unwrap_err();
        // The names are the same, so a foreign key is all that is wrong.
        let signature = CertificateError::Signature;
        assert!(
            matches!(refused, ChainError::Certificate { source, .. } if source == signature),
            "{position}: {refused}"
        );
    }
    let mut swapped = one.certificates.clone();
    swapped.swap(1, 2);
    let refused = verify_twice(&swapped, &one.anchor(), &memo).unwrap_err();
    let issuer = ChainError::Certificate {
        position: 2,
        source: CertificateError::Issuer,
    };
    assert_eq!(refused, issuer);
}

#[test]
fn every_certificate_is_in_date() {
    for position in 0..CHAIN_CERTIFICATES_COUNT {
        for (from, to) in [(2022, 2024), (2030, 2040)] {
            let pki = with(position, |params| {
                params.not_before = date_time_ymd(from, 1, 1);
                params.not_after = date_time_ymd(to, 1, 1);
            });
            let (at, source) = fault(&pki);
            assert_eq!(at, position);
            assert!(matches!(source, CertificateError::OutOfDate { .. }));
        }
    }
}

#[test]
fn both_ends_of_a_validity_are_in_date() {
    let pki = Pki::new();
    let certificate = Certificate::parse(&pki.certificates[0]).unwrap();
    // 2022-03-01 and 2040-01-01.
    let (from_s, to_s) = (1_646_092_800, 2_208_988_800);
    for in_date in [from_s, to_s] {
        assert_eq!(certificate.in_date(in_date), Ok(()));
    }
    for out in [from_s - 1, to_s + 1] {
        assert!(certificate.in_date(out).is_err());
    }
}

#[test]
fn only_authorities_issue() {
    for position in 1..4 {
        let none = with(position, |params| params.is_ca = IsCa::ExplicitNoCa);
        assert_eq!(fault(&none), (position, CertificateError::NotAnAuthority));
        let absent = with(position, |params| params.is_ca = IsCa::NoCa);
        assert_eq!(fault(&absent), (position, CertificateError::NotAnAuthority));
        let usage = with(position, |params| {
            params.key_usages = vec![KeyUsagePurpose::CrlSign];
        });
        assert_eq!(fault(&usage), (position, CertificateError::NotAnAuthority));
        let unlimited = with(position, |params| params.key_usages.clear());
        assert_eq!(
            fault(&unlimited),
            (position, CertificateError::NotAnAuthority)
        );
    }
}

#[test]
fn a_path_is_no_longer_than_permitted() {
    let constrain = |max| {
        move |params: &mut rcgen::CertificateParams| {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(max));
        }
    };
    for (position, enough) in [(1, 0), (2, 1), (3, 2)] {
        assert!(verify(&with(position, constrain(enough))).is_ok());
    }
    let short = with(3, constrain(1));
    let refused = CertificateError::PathLength { max: 1, below: 2 };
    assert_eq!(fault(&short), (3, refused));
}

#[test]
fn the_leaf_signs_data_and_nothing_else() {
    let usages = [
        vec![],
        vec![KeyUsagePurpose::KeyCertSign],
        vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
        ],
    ];
    for usage in usages {
        let pki = with(0, |params| params.key_usages.clone_from(&usage));
        assert_eq!(fault(&pki), (0, CertificateError::NotASigner), "{usage:?}");
    }
    let authority = with(0, |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    assert_eq!(fault(&authority), (0, CertificateError::NotASigner));
}

#[test]
fn unknown_critical_extensions_are_refused() {
    let extension = |critical| {
        let mut extension = CustomExtension::from_oid_content(&[1, 2, 3], vec![5, 0]);
        extension.set_criticality(critical);
        extension
    };
    let harmless = with(2, |params| params.custom_extensions.push(extension(false)));
    assert!(verify(&harmless).is_ok());
    let critical = with(2, |params| params.custom_extensions.push(extension(true)));
    let (position, source) = fault(&critical);
    assert_eq!(position, 2);
    assert!(matches!(source, CertificateError::CriticalExtension(_)));
    let twice = with(2, |params| {
        params.custom_extensions = vec![extension(false), extension(false)];
    });
    let (_, source) = fault(&twice);
    assert!(matches!(source, CertificateError::ExtensionRepeated(_)));
}

/// All keys P-384 but one.
fn with_p256(wanted: usize) -> Pki {
    let keys = (0..CHAIN_CERTIFICATES_COUNT).map(|position| {
        let algorithm = if position == wanted {
            &PKCS_ECDSA_P256_SHA256
        } else {
            &PKCS_ECDSA_P384_SHA384
        };
        KeyPair::generate_for(algorithm).unwrap()
    });
    Pki::of_keys(keys.collect(), |_, _| {})
}

#[test]
fn keys_and_signatures_are_p384() {
    assert_eq!(fault(&with_p256(0)), (0, CertificateError::Key));
    // The boot ROM's key signed the leaf, with SHA-256.
    let (position, source) = fault(&with_p256(1));
    assert_eq!(
        (position, source),
        (0, CertificateError::SignatureAlgorithm)
    );
}

#[test]
fn only_version_3_is_read() {
    let mut leaf = Pki::new().certificates[0].clone();
    let version_3 = [0xa0, 3, 2, 1, 2];
    let at = leaf.windows(5).position(|window| window == version_3);
    leaf[at.unwrap() + 4] = 1;
    let refused = Certificate::parse(&leaf).unwrap_err();
    assert_eq!(refused, CertificateError::Version);
}

#[test]
fn certificates_are_der_and_nothing_follows() {
    let mut pki = Pki::new();
    pki.certificates[1].push(0);
    let (position, source) = fault(&pki);
    assert_eq!(position, 1);
    assert!(matches!(source, CertificateError::Der(_)));
}

#[test]
fn chips_are_known_and_agree() {
    let renamed = |name: &'static str, product: &'static str| {
        Pki::with(move |position, params| match position {
            0 => params.subject_alt_names = vec![forge::device_info(product)],
            1 => {
                params.distinguished_name = rcgen::DistinguishedName::new();
                params.distinguished_name.push(DnType::CommonName, name);
            }
            _ => {}
        })
    };
    let nv_switch = verify(&renamed("LS_10 A01 FSP BROM", "NVIDIA:LS_10:1")).unwrap();
    assert_eq!(nv_switch.architecture, Architecture::Ls10);
    assert_eq!(nv_switch.chip, "LS10");
    let unknown = verify(&renamed("GA100 A01 GSP BROM", "NVIDIA:GA100:1")).unwrap_err();
    assert_eq!(unknown, ChainError::Chip("GA100".into()));
    let differing = verify(&renamed("GH100 A01 GSP BROM", "NVIDIA:GB100:1")).unwrap_err();
    assert!(matches!(differing, ChainError::Product { .. }));
    let malformed = verify(&renamed("GH100 A01 GSP BROM", "GH100")).unwrap_err();
    assert!(matches!(malformed, ChainError::DeviceInfo(_)));
}

#[test]
fn the_firmware_id_parses() {
    let pki = with(0, |params| {
        let id = forge::COMPOSITE_DEVICE_ID;
        params.custom_extensions = vec![CustomExtension::from_oid_content(id, vec![4, 0])];
    });
    let refused = verify(&pki).unwrap_err();
    assert!(matches!(refused, ChainError::FirmwareId(_)));
}

#[test]
fn no_flipped_byte_is_accepted() {
    let pki = Pki::new();
    let (anchor, memo) = (pki.anchor(), warm(&pki));
    for position in 0..2 {
        for at in 0..pki.certificates[position].len() {
            let mut flipped = pki.certificates.clone();
            flipped[position][at] ^= 1;
            let outcome = verify_twice(&flipped, &anchor, &memo);
            assert!(outcome.is_err(), "certificate {position}, byte {at}");
        }
    }
}

/// A worker that brings certificates of its own making leaves nothing behind.
#[test]
fn nothing_is_remembered_that_the_root_does_not_vouch_for() {
    let (genuine, forged) = (Pki::new(), Pki::new());
    let memo = SignatureMemo::default();
    let mut chain = forged.certificates.clone();
    chain[4].clone_from(&genuine.certificates[4]);
    assert!(verify_twice(&chain, &genuine.anchor(), &memo).is_err());
    assert_eq!(memo.count(), 0);
    chain[3].clone_from(&genuine.certificates[3]);
    assert!(verify_twice(&chain, &genuine.anchor(), &memo).is_err());
    assert_eq!(memo.count(), 1, "the root's own word on the chip family");
}

proptest! {
    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Certificate::parse(&bytes);
    }
}
