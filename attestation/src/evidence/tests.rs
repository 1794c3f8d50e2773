//! Tests of the CMW collection: one encoding, and each refusal by name.

use proptest::prelude::*;

use super::*;

fn evidence() -> Evidence {
    Evidence {
        quote: vec![4, 0],
        claims: vec![0xa0],
        event_log: Some(vec![1]),
        device_evidence: None,
    }
}

fn member(label: &str, media_type: &str, content: &[u8], indicator: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes);
    encoder
        .str(label)
        .unwrap()
        .array(3)
        .unwrap()
        .str(media_type)
        .unwrap();
    encoder.bytes(content).unwrap().u64(indicator).unwrap();
    bytes
}

fn collection(members: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes)
        .map(u64::try_from(members.len()).unwrap())
        .unwrap();
    bytes.extend(members.concat());
    bytes
}

fn good(member_kind: EvidenceMember) -> Vec<u8> {
    member(
        member_kind.label(),
        member_kind.media_type(),
        &[1],
        INDICATOR_EVIDENCE,
    )
}

#[test]
fn the_encoding_is_the_one_of_the_rfc() {
    let bytes = evidence().encode().unwrap();
    assert_eq!(bytes[0], 0xa3, "a map of three");
    assert_eq!(&bytes[1..7], b"\x65quote");
    assert_eq!(bytes[7], 0x83, "a record of three");
    assert_eq!(Evidence::decode(&bytes).unwrap(), evidence());
}

#[test]
fn another_order_trailing_bytes_and_duplicates_are_refused() {
    let (quote, claims) = (good(EvidenceMember::Quote), good(EvidenceMember::Claims));
    for bytes in [
        collection(&[claims.clone(), quote.clone()]),
        [collection(&[quote.clone(), claims.clone()]), vec![0]].concat(),
        collection(&[quote.clone(), claims.clone(), claims]),
    ] {
        assert!(
            matches!(
                Evidence::decode(&bytes),
                Err(EvidenceError::NotDeterministic)
            ),
            "{}",
            hex::encode(bytes)
        );
    }
    assert!(
        matches!(
            Evidence::decode(&[0xbf, 0xff]),
            Err(EvidenceError::NotDeterministic)
        ),
        "indefinite length"
    );
}

#[test]
fn malformed_members_are_refused_by_name() {
    let decode = |members: &[Vec<u8>]| Evidence::decode(&collection(members)).unwrap_err();
    let kind = EvidenceMember::Quote;
    let claims = good(EvidenceMember::Claims);
    assert!(matches!(
        decode(std::slice::from_ref(&claims)),
        EvidenceError::Missing(EvidenceMember::Quote)
    ));
    assert!(matches!(
        decode(&[good(kind)]),
        EvidenceError::Missing(EvidenceMember::Claims)
    ));
    assert!(matches!(
        decode(&[member("qoute", "", &[1], 4)]),
        EvidenceError::UnknownMember
    ));
    assert!(matches!(
        decode(&[member("quote", "text/plain", &[1], 4)]),
        EvidenceError::MediaType(_)
    ));
    assert!(matches!(
        decode(&[member("quote", kind.media_type(), &[1], 8)]),
        EvidenceError::Indicator(_)
    ));
    let empty = decode(&[member("quote", kind.media_type(), &[], 4)]);
    assert!(matches!(
        empty,
        EvidenceError::MemberLength { length: 0, .. }
    ));
    let long = decode(&[member(
        "quote",
        kind.media_type(),
        &vec![0; QUOTE_BYTES_MAX + 1],
        4,
    )]);
    assert!(matches!(long, EvidenceError::MemberLength { .. }));
    assert!(matches!(
        decode(&vec![claims; 5]),
        EvidenceError::TooManyMembers(5)
    ));
    assert!(matches!(
        decode(&[b"\x65quote\x80".to_vec()]),
        EvidenceError::Record(_)
    ));
    assert!(matches!(Evidence::decode(b""), Err(EvidenceError::Cbor(_))));
    assert!(matches!(
        Evidence::decode(&vec![0; EVIDENCE_BYTES_MAX + 1]),
        Err(EvidenceError::TooLong(_))
    ));
}

#[test]
fn encoding_refuses_what_decoding_would() {
    let empty_quote = Evidence {
        quote: Vec::new(),
        ..evidence()
    };
    assert!(matches!(
        empty_quote.encode(),
        Err(EvidenceError::MemberLength { length: 0, .. })
    ));
}

proptest! {
    #[test]
    fn decoding_never_panics_and_has_one_preimage(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(read) = Evidence::decode(&bytes) {
            prop_assert_eq!(read.encode().unwrap(), bytes);
        }
    }

    #[test]
    fn a_flipped_byte_is_refused_or_is_other_evidence(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut bytes = evidence().encode().unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(read) = Evidence::decode(&bytes) {
            prop_assert_ne!(read, evidence());
        }
    }
}
