//! Every byte of a real quote, flipped once: never a panic, never another meaning.

use attestation::{Quote, TrustAnchor, VerifiedQuote, Verifier};

use crate::support;

/// Two threads halve the wait; each flip costs a full verification at worst.
const THREADS: usize = 2;

#[test]
fn no_flipped_byte_changes_what_is_accepted() {
    let Some(directory) = support::directory("no_flipped_byte_changes_what_is_accepted") else {
        return;
    };
    let (bytes, collateral, now_s) = support::real_quote(&directory);
    let verifier = Verifier::new(TrustAnchor::intel());
    let verify = |bytes: &[u8]| -> Option<VerifiedQuote> {
        verifier
            .verify(&Quote::parse(bytes).ok()?, &collateral, now_s)
            .ok()
    };
    let wanted = verify(&bytes).unwrap();
    let flip = |first: usize| -> Vec<usize> {
        let mut accepted = Vec::new();
        for at in (first..bytes.len()).step_by(THREADS) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0xff;
            if let Some(verified) = verify(&flipped) {
                assert_eq!(verified, wanted, "byte {at}");
                accepted.push(at);
            }
        }
        accepted
    };
    let accepted: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|first| scope.spawn(move || flip(first)))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    println!(
        "{} of {} flips accepted with the same meaning: {accepted:?}",
        accepted.len(),
        bytes.len()
    );
    assert!(
        accepted.iter().all(|&at| at >= 48 + 584),
        "a byte of header or body is not covered: {accepted:?}"
    );
}
