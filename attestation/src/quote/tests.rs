//! Tests of the parser on quotes built by hand: each refusal by name. Real quotes: `tests/vectors.rs`.

use proptest::prelude::*;

use super::*;
use crate::ErrorCode;

/// A version 4 quote of zeros around what the structure demands; its certification data is of type 5 and empty.
fn quote_v4() -> Vec<u8> {
    let mut bytes = header(4, KEY_TYPE_ECDSA_P256, TEE_TYPE_TDX);
    bytes.extend([0; 584]);
    bytes.extend(signature_v4());
    bytes
}

fn quote_v5(body_type: u16, body_bytes: u32) -> Vec<u8> {
    let mut bytes = header(5, KEY_TYPE_ECDSA_P256, TEE_TYPE_TDX);
    bytes.extend(body_type.to_le_bytes());
    bytes.extend(body_bytes.to_le_bytes());
    bytes.extend(vec![0; usize::try_from(body_bytes).unwrap()]);
    bytes.extend(signature_v4());
    bytes
}

fn header(version: u16, key_type: u16, tee: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(version.to_le_bytes());
    bytes.extend(key_type.to_le_bytes());
    bytes.extend(tee.to_le_bytes());
    bytes.extend([0; 4]);
    bytes.extend(INTEL_QE_VENDOR_ID);
    bytes.extend([0; 20]);
    bytes
}

fn signature_v4() -> Vec<u8> {
    let mut report = vec![0; 384 + 64];
    report.extend(0_u16.to_le_bytes());
    report.extend(5_u16.to_le_bytes());
    report.extend(0_u32.to_le_bytes());
    let mut data = vec![0; 128];
    data.extend(6_u16.to_le_bytes());
    data.extend(u32::try_from(report.len()).unwrap().to_le_bytes());
    data.extend(report);
    let mut bytes = u32::try_from(data.len()).unwrap().to_le_bytes().to_vec();
    bytes.extend(data);
    bytes
}

#[test]
fn each_layout_parses() {
    for (bytes, layout) in [
        (quote_v4(), "TD 1.0"),
        (quote_v5(2, 584), "TD 1.0"),
        (quote_v5(3, 648), "TD 1.5"),
        (quote_v5(4, 885), "TD 1.5 extended"),
    ] {
        let quote = Quote::parse(&bytes).unwrap();
        assert_eq!(quote.td().unwrap().layout(), layout);
        assert_eq!((quote.bytes(), quote.padding_bytes()), (&bytes[..], 0));
    }
}

#[test]
fn the_header_is_refused_by_name() {
    let parse = |version, key_type, tee| Quote::parse(&header(version, key_type, tee)).unwrap_err();
    assert_eq!(parse(2, 2, 0x81), QuoteError::Version(2));
    assert_eq!(parse(6, 2, 0x81), QuoteError::Version(6));
    assert_eq!(parse(4, 3, 0x81), QuoteError::KeyType(3));
    assert_eq!(parse(4, 2, 0x82), QuoteError::Tee(0x82));
    assert_eq!(
        parse(4, 2, 0x00),
        QuoteError::TeeOfVersion { tee: 0, version: 4 }
    );
    assert_eq!(
        parse(3, 2, 0x81),
        QuoteError::TeeOfVersion {
            tee: 0x81,
            version: 3
        }
    );
    let mut vendor = quote_v4();
    vendor[12] ^= 1;
    let error = Quote::parse(&vendor).unwrap_err();
    assert_eq!(error, QuoteError::Vendor);
    assert_eq!(error.code(), ErrorCode::QuotingEnclaveUnknown);
}

#[test]
fn the_structure_is_refused_by_name() {
    assert_eq!(Quote::parse(b"").unwrap_err(), QuoteError::TooShort(0));
    assert_eq!(
        Quote::parse(&vec![0; QUOTE_BYTES_MAX + 1]).unwrap_err(),
        QuoteError::TooLong(QUOTE_BYTES_MAX + 1)
    );
    let bytes = quote_v4();
    for length in HEADER_BYTES..bytes.len() {
        assert!(
            matches!(
                Quote::parse(&bytes[..length]),
                Err(QuoteError::Structure(_))
            ),
            "{length}"
        );
    }
    assert!(
        matches!(
            Quote::parse(&quote_v5(3, 584)),
            Err(QuoteError::Structure(_))
        ),
        "body of another size"
    );
    assert!(
        matches!(
            Quote::parse(&quote_v5(9, 584)),
            Err(QuoteError::Structure(_))
        ),
        "unknown body"
    );
    assert_eq!(
        Quote::parse(&quote_v5(1, 384)).unwrap_err(),
        QuoteError::BodyOfAnotherTee
    );
}

#[test]
fn only_zeros_may_follow() {
    let mut padded = quote_v4();
    let length = padded.len();
    padded.extend([0; 70]);
    let quote = Quote::parse(&padded).unwrap();
    assert_eq!((quote.bytes().len(), quote.padding_bytes()), (length, 70));
    padded.push(1);
    assert_eq!(
        Quote::parse(&padded).unwrap_err(),
        QuoteError::TrailingBytes
    );
}

#[test]
fn a_missing_pck_certificate_is_said() {
    let quote = Quote::parse(&quote_v4()).unwrap();
    assert!(matches!(
        quote.pck_certificate(),
        Err(QuoteError::PckCertificate(_))
    ));
}

proptest! {
    #[test]
    fn parsing_never_panics(at in any::<prop::sample::Index>(), byte: u8, cut in 0_usize..2000) {
        let mut bytes = quote_v5(3, 648);
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(cut);
        let _ = Quote::parse(&bytes);
    }
}
