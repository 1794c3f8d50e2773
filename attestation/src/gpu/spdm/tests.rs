//! Tests of the exchange: what is read, and each refusal by name.

use proptest::prelude::*;

use super::*;
use crate::gpu::forge;

/// Where things stand in the exchange that [`forge::exchange`] makes.
const RESPONSE_AT: usize = 37;
const RECORD_AT: usize = RESPONSE_AT + 8;

fn bytes() -> Vec<u8> {
    let unsigned = forge::exchange(&[(1, &[7; 48]), (36, &[9; 48])], b"opaque");
    [unsigned, vec![4; SIGNATURE_BYTES]].concat()
}

/// The exchange with one byte replaced.
fn with(at: usize, byte: u8) -> Result<u8, SpdmError> {
    let mut bytes = bytes();
    assert_ne!(bytes[at], byte);
    bytes[at] = byte;
    Exchange::parse(&bytes).map(|_| 0)
}

#[test]
fn an_exchange_is_read() {
    let bytes = bytes();
    let exchange = Exchange::parse(&bytes).unwrap();
    assert_eq!(*exchange.nonce, forge::NONCE);
    assert_eq!(
        exchange.measurements,
        BTreeMap::from([(1, &[7; 48][..]), (36, &[9; 48][..])])
    );
    assert_eq!(exchange.opaque, b"opaque");
    assert_eq!(exchange.signed, &bytes[..bytes.len() - SIGNATURE_BYTES]);
    assert_eq!(*exchange.signature, [4; SIGNATURE_BYTES]);
}

#[test]
fn every_prefix_is_cut_short() {
    let bytes = bytes();
    for length in 0..bytes.len() {
        let outcome = Exchange::parse(&bytes[..length]);
        assert!(outcome.is_err(), "{length}");
    }
    assert!(matches!(
        Exchange::parse(&bytes[..SIGNATURE_BYTES + 10]),
        Err(SpdmError::CutShort(_))
    ));
}

#[test]
fn other_messages_are_refused() {
    for at in [0, 1, RESPONSE_AT, RESPONSE_AT + 1] {
        assert!(
            matches!(with(at, 0x12), Err(SpdmError::Message { .. })),
            "{at}"
        );
    }
}

#[test]
fn a_request_for_less_is_refused() {
    // Not signed; one measurement alone.
    for (at, byte) in [(2, 0), (3, 5)] {
        assert!(matches!(with(at, byte), Err(SpdmError::Request { .. })));
    }
}

#[test]
fn an_answer_from_another_slot_is_refused() {
    let refused = SpdmError::Slot {
        requested: 0,
        answered: 2,
    };
    assert_eq!(with(RESPONSE_AT + 3, 2), Err(refused));
}

#[test]
fn blocks_are_sound() {
    assert_eq!(with(RECORD_AT, 0), Err(SpdmError::IndexZero));
    assert_eq!(with(RECORD_AT, 36), Err(SpdmError::IndexRepeated(36)));
    let specification = SpdmError::Specification {
        index: 1,
        specification: 2,
    };
    assert_eq!(with(RECORD_AT + 1, 2), Err(specification));
    let length = SpdmError::BlockLength {
        index: 1,
        length: 51,
        value_length: 47,
    };
    assert_eq!(with(RECORD_AT + 5, 47), Err(length));
}

#[test]
fn counts_agree_with_lengths() {
    // One block fewer than the record has.
    assert_eq!(
        with(RESPONSE_AT + 4, 1),
        Err(SpdmError::RecordTrailingBytes)
    );
    // One more.
    assert!(matches!(
        with(RESPONSE_AT + 4, 3),
        Err(SpdmError::CutShort(_))
    ));
    let empty = [forge::exchange(&[], b""), vec![0; SIGNATURE_BYTES]].concat();
    assert!(matches!(
        Exchange::parse(&empty),
        Err(SpdmError::NoMeasurements)
    ));
    let longer = [bytes(), vec![0]].concat();
    assert!(matches!(
        Exchange::parse(&longer),
        Err(SpdmError::TrailingBytes)
    ));
}

proptest! {
    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Exchange::parse(&bytes);
    }

    #[test]
    fn no_mutation_panics(at in any::<prop::sample::Index>(), byte: u8, cut in any::<prop::sample::Index>()) {
        let mut bytes = bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Exchange::parse(&bytes);
        bytes.truncate(cut.index(bytes.len()));
        let _ = Exchange::parse(&bytes);
    }
}
