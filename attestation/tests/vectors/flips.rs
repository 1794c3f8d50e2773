//! Every byte of a real quote and of its collateral, changed once: never a panic, never another meaning.
//!
//! The meaning of a quote is the [`VerifiedQuote`] that comes of it: what an appraisal sees.

use attestation::{Collateral, Quote, TrustAnchor, VerifiedQuote, Verifier};

use crate::support;

/// Two threads halve the wait; each change costs a full verification at worst.
const THREADS: usize = 2;

/// Unoptimised, the collateral's bytes would take minutes: every `STRIDE`-th is changed. Optimised, as in
/// `cargo ci vectors`, every byte is.
const STRIDE: usize = if cfg!(debug_assertions) { 32 } else { 1 };

#[test]
fn no_flipped_byte_of_a_quote_changes_its_meaning() {
    let Some(directory) = support::directory("no_flipped_byte_of_a_quote_changes_its_meaning")
    else {
        return;
    };
    let (bytes, collateral, now_s) = support::real_quote(&directory);
    let verifier = Verifier::new(TrustAnchor::intel());
    let verify = |bytes: &[u8]| {
        let quote = Quote::parse(bytes).ok()?;
        verifier.verify(&quote, &collateral, now_s).ok()
    };
    let accepted = accepted_changes(&bytes, 1, |byte| byte ^ 0xff, verify);
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

#[test]
fn no_changed_byte_of_collateral_changes_the_meaning() {
    let Some(directory) = support::directory("no_changed_byte_of_collateral_changes_the_meaning")
    else {
        return;
    };
    let (bytes, collateral, now_s) = support::real_quote(&directory);
    let quote = Quote::parse(&bytes).unwrap();
    let json = collateral.to_json().unwrap();
    let verifier = Verifier::new(TrustAnchor::intel());
    let verify = |json: &[u8]| {
        let collateral = Collateral::from_json(json).ok()?;
        verifier.verify(&quote, &collateral, now_s).ok()
    };
    for change in [flip_lowest_bit, neighbour] {
        let accepted = accepted_changes(json.as_bytes(), STRIDE, change, verify);
        println!(
            "{} of {} changed bytes accepted with the same meaning",
            accepted.len(),
            json.len() / STRIDE
        );
        let read: Vec<_> = accepted
            .iter()
            .filter(|&&at| !is_unread(&json, at))
            .collect();
        assert!(read.is_empty(), "bytes that count for nothing: {read:?}");
    }
}

/// Nobody reads the PCK CRL's issuers, whom the quote's own chain names, nor the root at the end of the other chains,
/// since the verifier brings its own.
fn is_unread(json: &str, at: usize) -> bool {
    let before = &json[..at];
    let chains = ["tcb_info_issuer_chain", "qe_identity_issuer_chain"];
    let member = before.rsplit("\",\"").next().unwrap_or_default();
    let is_behind_leaf = member.contains("-----END CERTIFICATE-----");
    member.starts_with("pck_crl_issuer_chain")
        || before.starts_with("{\"pck_crl_issuer_chain") && !before.contains("\",\"")
        || is_behind_leaf && chains.iter().any(|chain| member.starts_with(chain))
}

fn flip_lowest_bit(byte: u8) -> u8 {
    byte ^ 1
}

/// Another byte that may stand where this one does, so that the text still parses: most flips only break the JSON.
fn neighbour(byte: u8) -> u8 {
    match byte {
        b'9' => b'0',
        b'F' | b'Z' => b'A',
        b'f' | b'z' => b'a',
        b'0'..=b'8' | b'a'..=b'y' | b'A'..=b'Y' => byte + 1,
        _ => byte ^ 2,
    }
}

/// Where a change of one byte was accepted; it must be with the very meaning that the unchanged bytes have.
fn accepted_changes(
    bytes: &[u8],
    stride: usize,
    change: fn(u8) -> u8,
    verify: impl Fn(&[u8]) -> Option<VerifiedQuote> + Sync,
) -> Vec<usize> {
    let wanted = verify(bytes).unwrap();
    let changed_by = |thread: usize| -> Vec<usize> {
        let positions = (thread * stride..bytes.len()).step_by(stride * THREADS);
        let accepted = positions.filter(|&at| {
            let mut changed = bytes.to_vec();
            changed[at] = change(changed[at]);
            let verified = verify(&changed);
            assert!(
                verified.is_none() || verified.as_ref() == Some(&wanted),
                "byte {at}"
            );
            verified.is_some()
        });
        accepted.collect()
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || changed_by(thread)))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    })
}
