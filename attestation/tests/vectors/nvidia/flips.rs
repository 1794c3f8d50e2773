//! Every byte of a real GPU's evidence, flipped once: none is accepted, by a verifier that knows the certificates as little as
//! by one that does not.

use attestation::gpu::{DeviceReport, GpuTrustAnchor, GpuVerifier};

use super::{NOW_S, PAIRS, pair};
use crate::support::directory;

/// Two threads halve the wait; each flip costs a full verification at worst.
const THREADS: usize = 2;

/// Report and certificates as one row of bytes.
fn byte(device: &mut DeviceReport, mut at: usize) -> Option<&mut u8> {
    let parts = std::iter::once(&mut device.report).chain(&mut device.certificates);
    for part in parts {
        if at < part.len() {
            return part.get_mut(at);
        }
        at -= part.len();
    }
    None
}

#[test]
fn no_flipped_byte_is_accepted() {
    let Some(directory) = directory("flips of GPU evidence") else {
        return;
    };
    let device = pair(&directory.join("nvidia/evidence"), &PAIRS[6]);
    let verifier = GpuVerifier::new(GpuTrustAnchor::nvidia());
    assert!(verifier.verify(&device, None, NOW_S).is_ok());
    let flip = |first: usize| {
        let mut count = 0;
        for at in (first..).step_by(THREADS) {
            let mut flipped = device.clone();
            let Some(byte) = byte(&mut flipped, at) else {
                return count;
            };
            *byte ^= 0xff;
            let outcome = verifier.verify(&flipped, None, NOW_S);
            let cold = GpuVerifier::new(GpuTrustAnchor::nvidia()).verify(&flipped, None, NOW_S);
            assert!(outcome.is_err(), "byte {at}");
            assert_eq!(format!("{outcome:?}"), format!("{cold:?}"), "byte {at}");
            count += 1;
        }
        count
    };
    let flips: usize = std::thread::scope(|scope| {
        let threads = [0, 1].map(|first| scope.spawn(move || flip(first)));
        threads.map(|thread| thread.join().unwrap()).iter().sum()
    });
    println!("{flips} flips, none accepted");
    let certificates: usize = device.certificates.iter().map(Vec::len).sum();
    assert_eq!(flips, device.report.len() + certificates);
}
