//! Every byte of a real quote, of its collateral and of a real GPU's evidence, changed once: never a panic, never another
//! meaning.
//!
//! The meaning is the value that verification answers with (`VerifiedQuote`, `VerifiedGpu`): what an appraisal sees.

use attestation::{Collateral, Quote, TrustAnchor, Verifier, gpu::DeviceReport};

use crate::{
    nvidia::{PAIRS, pair, verify},
    support,
};

/// Two threads halve the wait; each change costs a full verification at worst.
const THREADS: usize = 2;

/// Unoptimised, longer files would take minutes: every `STRIDE`-th byte is changed. Optimised, as in `cargo ci vectors`,
/// every byte is.
pub(crate) const STRIDE: usize = if cfg!(debug_assertions) { 32 } else { 1 };

#[test]
fn no_flipped_byte_of_a_quote_changes_its_meaning() {
    let Some(directory) = support::directory("no_flipped_byte_of_a_quote_changes_its_meaning")
    else {
        return;
    };
    let (bytes, collateral, now_s) = support::real_quote(&directory);
    let verifier = Verifier::new(TrustAnchor::intel());
    let meaning = |bytes: &[u8]| {
        let quote = Quote::parse(bytes).ok()?;
        verifier.verify(&quote, &collateral, now_s).ok()
    };
    let accepted = accepted_changes(&bytes, 1, flip_all_bits, meaning);
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
    let meaning = |json: &[u8]| {
        let collateral = Collateral::from_json(json).ok()?;
        verifier.verify(&quote, &collateral, now_s).ok()
    };
    for change in [flip_lowest_bit, neighbour] {
        let accepted = accepted_changes(json.as_bytes(), STRIDE, change, meaning);
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

fn flip_all_bits(byte: u8) -> u8 {
    !byte
}

pub(crate) fn flip_lowest_bit(byte: u8) -> u8 {
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

#[test]
fn no_changed_byte_of_gpu_evidence_changes_its_meaning() {
    let Some(directory) = support::directory("no_changed_byte_of_gpu_evidence_changes_its_meaning")
    else {
        return;
    };
    let device = pair(&directory.join("nvidia/evidence"), &PAIRS[3]);
    let with_report = |bytes: &[u8]| DeviceReport {
        report: bytes.to_vec(),
        ..device.clone()
    };
    for change in [flip_lowest_bit, flip_all_bits] {
        let accepted = accepted_changes(&device.report, STRIDE, change, |bytes| {
            verify(&with_report(bytes)).ok()
        });
        assert!(accepted.is_empty(), "bytes of a report: {accepted:?}");
    }
    for (place, certificate) in device.certificates.iter().enumerate() {
        let accepted = accepted_changes(certificate, STRIDE, flip_all_bits, |bytes| {
            let mut changed = device.clone();
            changed.certificates[place] = bytes.to_vec();
            verify(&changed).ok()
        });
        assert!(accepted.is_empty(), "certificate {place}: {accepted:?}");
    }
}

/// Where a change of one byte was accepted; it must be with the very meaning that the unchanged bytes have.
pub(crate) fn accepted_changes<M: PartialEq + Sync>(
    bytes: &[u8],
    stride: usize,
    change: fn(u8) -> u8,
    meaning: impl Fn(&[u8]) -> Option<M> + Sync,
) -> Vec<usize> {
    let wanted = meaning(bytes);
    assert!(wanted.is_some(), "the unchanged bytes are refused");
    let changed_by = |thread: usize| -> Vec<usize> {
        let positions = (thread * stride..bytes.len()).step_by(stride * THREADS);
        let accepted = positions.filter(|&at| {
            let mut changed = bytes.to_vec();
            changed[at] = change(changed[at]);
            let meaning = meaning(&changed);
            assert!(meaning.is_none() || meaning == wanted, "byte {at}");
            meaning.is_some()
        });
        accepted.collect()
    };
    std::thread::scope(|scope| {
        let changed_by = &changed_by;
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| scope.spawn(move || changed_by(thread)))
            .collect();
        let joined = threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        joined.collect()
    })
}
