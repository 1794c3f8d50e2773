//! Tests of the memo: it accepts what verification accepts, and forgets rather than grows.

use std::{panic, sync::Arc};

use rcgen::{KeyPair, PKCS_ECDSA_P384_SHA384, PublicKeyData, SigningKey};

use super::*;

const MESSAGE: &[u8] = b"what a certificate says";

/// A key's point, and its signature over [`MESSAGE`].
fn signed() -> (Vec<u8>, Vec<u8>) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    (key.der_bytes().to_vec(), key.sign(MESSAGE).unwrap())
}

impl SignatureMemo {
    pub(in crate::gpu) fn count(&self) -> usize {
        self.verified().len()
    }
}

#[test]
fn a_signature_is_remembered_once_and_a_failure_never() {
    let memo = SignatureMemo::default();
    let (point, signature) = signed();
    let (other_point, other_signature) = signed();
    for _ in 0..2 {
        for (point, message, signature) in [
            (&other_point, MESSAGE, &signature),
            (&point, b"another", &signature),
            (&point, MESSAGE, &other_signature),
        ] {
            let refused = memo.verify_der(point, message, signature);
            assert_eq!(refused, Err(SignatureInvalid));
        }
        assert_eq!(memo.verify_der(&point, MESSAGE, &signature), Ok(()));
        assert_eq!(memo.count(), 1);
    }
}

#[test]
fn what_is_remembered_is_not_verified_again() {
    let memo = SignatureMemo::default();
    memo.remember(id(b"no key", MESSAGE, b"no signature"));
    let known = memo.verify_der(b"no key", MESSAGE, b"no signature");
    assert_eq!(known, Ok(()), "nothing but the memo would accept this");
    let shifted = memo.verify_der(b"no keyw", MESSAGE.get(1..).unwrap(), b"no signature");
    assert_eq!(shifted, Err(SignatureInvalid));
}

#[test]
fn no_byte_passes_from_one_part_to_the_next() {
    let whole = [b"abc".as_slice(), b"", b""];
    for other in [
        [b"ab".as_slice(), b"c", b""],
        [b"ab".as_slice(), b"", b"c"],
        [b"".as_slice(), b"abc", b""],
        [b"".as_slice(), b"", b"abc"],
    ] {
        let [point, message, signature] = other;
        assert_ne!(
            id(point, message, signature),
            id(whole[0], whole[1], whole[2])
        );
    }
}

#[test]
fn a_full_memo_is_emptied() {
    let memo = SignatureMemo::default();
    let number = |number: usize| {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_be_bytes());
        id
    };
    (0..SIGNATURES_MAX).for_each(|at| memo.remember(number(at)));
    assert_eq!(memo.count(), SIGNATURES_MAX);
    memo.remember(number(SIGNATURES_MAX));
    assert_eq!(memo.count(), 1);
    assert!(memo.verified().contains(&number(SIGNATURES_MAX)));
}

#[test]
fn a_panic_elsewhere_does_no_harm() {
    let memo = Arc::new(SignatureMemo::default());
    let held = Arc::clone(&memo);
    let outcome = std::thread::spawn(move || {
        let _verified = held.verified();
        panic::resume_unwind(Box::new("while holding the lock"));
    });
    assert!(outcome.join().is_err());
    assert!(memo.verified.is_poisoned());
    let (point, signature) = signed();
    assert_eq!(memo.verify_der(&point, MESSAGE, &signature), Ok(()));
    assert_eq!(memo.count(), 1);
}
