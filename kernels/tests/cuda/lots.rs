//! Lots: many works at once, works larger than a slot, lots that come again, and what stays behind on the device.

use kernels::executor::{Outcome, Work};
use serde_json::json;

use super::{LIMIT, Machine, alone, defined, digest, digested, noise, run, work};

const MEBIBYTE: usize = 1024 * 1024;
pub(crate) fn matrix(seed: u64, rows: usize, columns: usize) -> Work {
    let mut noise = noise(seed);
    let elements = rows * columns;
    let bytes: Vec<u8> = (0..elements.div_ceil(2))
        .flat_map(|_| noise().to_le_bytes())
        .collect();
    let shape = json!({"rows": rows, "columns": columns});
    work("transpose", shape, &[&bytes[..elements * 4]])
}

/// Works of which a slot holds eight, so that there are more lots of them than slots.
pub(crate) fn several_lots() -> Vec<Work> {
    (0..24).map(|seed| matrix(seed, 512, 500 + 7)).collect()
}

/// Works that no slot holds: one whose input and output are larger than a slot each, and one with many inputs.
pub(crate) fn large() -> Vec<Work> {
    let messages: Vec<Vec<u8>> = (0..9_u8).map(|byte| vec![byte; 2 * MEBIBYTE + 1]).collect();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    vec![
        matrix(1, 4_500, 1_000),
        work("sha256_batch", json!({}), &messages),
    ]
}

#[test]
fn works_larger_than_a_slot_come_through_between_small_ones() {
    let _turn = alone();
    let machine = Machine::new("");
    let mut child = machine.spawn();
    for _ in 0..2 {
        let mut works = vec![digest(b"abc")];
        works.extend(large());
        works.push(digest(b"def"));
        works.push(matrix(2, 3_000, 1_000));
        let (seen, end) = run(&mut child, &works, LIMIT);
        end.unwrap();
        for (work, outcome) in works.iter().zip(seen) {
            assert!(outcome == Outcome::Done(defined(work)));
        }
    }
}

#[test]
fn a_run_of_several_lots_gives_every_work_its_own_output() {
    let _turn = alone();
    let machine = Machine::new("");
    let mut child = machine.spawn();
    let works = several_lots();
    let (seen, end) = run(&mut child, &works, LIMIT);
    end.unwrap();
    for (work, outcome) in works.iter().zip(seen) {
        assert!(outcome == Outcome::Done(defined(work)));
    }
}

/// The CPU does so, within the executor: between lots, alone, and where the kernel cannot run at all.
#[test]
fn long_messages_are_digested_beside_the_device() {
    let _turn = alone();
    let machine = Machine::new("");
    let mut child = machine.spawn();
    let (long, short) = (vec![7; 4 * MEBIBYTE + 1], vec![8; 4 * MEBIBYTE]);
    let works = [
        digest(b"abc"),
        work("sha256_batch", json!({}), &[b"between", &long, b""]),
        digest(&short),
        digest(&long),
    ];
    let (seen, end) = run(&mut child, &works, LIMIT);
    end.unwrap();
    for (work, outcome) in works.iter().zip(seen) {
        assert_eq!(outcome, Outcome::Done(defined(work)));
    }
    machine.set("FAKE_CUDA_FAULT=sha256_batch");
    let (seen, end) = run(&mut child, &works[3..], LIMIT);
    end.unwrap();
    assert_eq!(seen, [digested(&long)]);
}

/// The first time a lot runs step by step, the second time it is recorded, from then on it is replayed: with other bytes,
/// and among lots of other shapes.
#[test]
fn lots_that_come_again_are_computed_anew() {
    let _turn = alone();
    let machine = Machine::new("");
    let mut child = machine.spawn();
    for round in 0..12_u64 {
        let message = round.to_le_bytes();
        let product = json!({"m": 2, "n": 2, "k": 1});
        let (a, b) = ([round; 1], [round * 3; 1]);
        let number = |x: [u64; 1]| [x[0].to_le_bytes()[0], 0, 0, 0x3f];
        let (a, b) = ([number(a); 2].concat(), [number(b); 2].concat());
        let mut works = vec![
            digest(&message),
            matrix(round, 5, 3),
            work("gemm", product, &[&a, &b]),
        ];
        if round % 3 == 2 {
            works.push(digest(b"another shape"));
        }
        let (seen, end) = run(&mut child, &works, LIMIT);
        end.unwrap();
        for (work, outcome) in works.iter().zip(seen) {
            assert_eq!(outcome, Outcome::Done(defined(work)), "round {round}");
        }
    }
}

#[test]
fn as_many_works_as_a_run_can_have_share_their_launches() {
    let _turn = alone();
    let machine = Machine::new("");
    let mut child = machine.spawn();
    let messages: Vec<_> = (0..2_000_u64).map(u64::to_le_bytes).collect();
    let works: Vec<_> = messages.iter().map(|message| digest(message)).collect();
    let (seen, end) = run(&mut child, &works, LIMIT);
    end.unwrap();
    for (message, outcome) in messages.iter().zip(seen) {
        assert_eq!(outcome, digested(message));
    }
}
