//! Lots: many works at once, works larger than a slot, lots that come again, and what stays behind on the device.

use std::os::unix::fs::FileExt;

use kernels::executor::{Outcome, Work};
use serde_json::json;

use super::{LIMIT, Machine, alone, defined, digest, digested, noise, run, work};

const MEBIBYTE: usize = 1024 * 1024;
/// What the executor allocates of the device, once: two slots of 16 MiB with 32 MiB for cuBLASLt each.
const DEVICE_BYTES: u64 = 96 * 1024 * 1024;

fn matrix(seed: u64, rows: usize, columns: usize) -> Work {
    let mut noise = noise(seed);
    let elements = rows * columns;
    let bytes: Vec<u8> = (0..elements.div_ceil(2))
        .flat_map(|_| noise().to_le_bytes())
        .collect();
    let shape = json!({"rows": rows, "columns": columns});
    work("transpose", shape, &[&bytes[..elements * 4]])
}

/// Works that no slot holds: one whose input and output are larger than a slot each, and one with many inputs.
pub(crate) fn large() -> Vec<Work> {
    let messages: Vec<Vec<u8>> = (0..5_u8).map(|byte| vec![byte; 4 * MEBIBYTE + 1]).collect();
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
    let works: Vec<_> = (0..24).map(|seed| matrix(seed, 512, 500 + 7)).collect();
    let (seen, end) = run(&mut child, &works, LIMIT);
    end.unwrap();
    for (work, outcome) in works.iter().zip(seen) {
        assert!(outcome == Outcome::Done(defined(work)));
    }
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

/// In the fake the device's memory is memory of the child: whatever a task left there can be seen.
#[test]
fn nothing_of_a_task_stays_in_the_devices_memory() {
    let _turn = alone();
    let machine = Machine::new("");
    let mut child = machine.spawn();
    let memory = std::fs::File::open(format!("/proc/{}/mem", child.process_id())).unwrap();
    let start = device_memory(child.process_id());
    let mut bytes = vec![0xa5; usize::try_from(DEVICE_BYTES).unwrap()];
    let product = json!({"m": 20, "n": 30, "k": 40});
    let ones = 1.0_f32.to_le_bytes().repeat(40 * 30);
    for _ in 0..3 {
        let works = [
            digest(b"a secret"),
            matrix(3, 100, 70),
            work("gemm", product.clone(), &[&ones[..20 * 40 * 4], &ones]),
        ];
        let (_, end) = run(&mut child, &works, LIMIT);
        end.unwrap();
        memory.read_exact_at(&mut bytes, start).unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0));
    }
}

/// Where the executor's allocation begins: the fake maps it alone, between pages that nobody may touch.
fn device_memory(process_id: u32) -> u64 {
    let maps = std::fs::read_to_string(format!("/proc/{process_id}/maps")).unwrap();
    let range = |line: &str| {
        let (start, rest) = line.split_once('-')?;
        let (end, _) = rest.split_once(' ')?;
        let parse = |text| u64::from_str_radix(text, 16).ok();
        Some((parse(start)?, parse(end)?))
    };
    let found = maps.lines().filter_map(range);
    let mut found = found.filter(|(start, end)| end - start == DEVICE_BYTES);
    let (start, _) = found.next().expect("the device's memory");
    start
}
