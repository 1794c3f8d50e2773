//! What stays behind of a task: in the fake, the device's memory and the memory that it copies from and to are memory of the
//! child, so whatever was left there can be seen.

use std::os::unix::fs::FileExt;

use kernels::executor::{ExecutorChild, Work};
use serde_json::json;

use super::lots::{large, matrix};
use super::{LIMIT, Machine, alone, digest, embed, run, work};

const MEBIBYTE: u64 = 1024 * 1024;
const PAGE_BYTES: u64 = 4096;
/// Two slots of 16 MiB with 32 MiB for cuBLASLt each, and a slot's memory in this process, in and out.
const SLOTS_BYTES: u64 = 96 * MEBIBYTE;
const STAGING_BYTES: u64 = 16 * MEBIBYTE;
/// The same for texts: 8,192 tokens, 1,024 texts.
const TEXTS_BYTES: u64 = 221_389_312;
const TEXTS_UPLOAD_BYTES: u64 = 69_636;
const TEXTS_DOWNLOAD_BYTES: u64 = 1_024 * 384 * 4;

/// Where allocations of this size begin: the fake maps each alone, between pages that nobody may touch.
fn allocations(process_id: u32, bytes: u64) -> Vec<u64> {
    let maps = std::fs::read_to_string(format!("/proc/{process_id}/maps")).unwrap();
    let range = |line: &str| {
        let (start, rest) = line.split_once('-')?;
        let (end, rest) = rest.split_once(' ')?;
        let parse = |text| u64::from_str_radix(text, 16).ok();
        Some((parse(start)?, parse(end)?, rest.starts_with("---p")))
    };
    let ranges: Vec<_> = maps.lines().filter_map(range).collect();
    let is_guarded = |three: &&[(u64, u64, bool)]| match three {
        [before, own, behind] => {
            let joined = before.1 == own.0 && own.1 == behind.0;
            joined && before.2 && !own.2 && behind.2
        }
        _ => false,
    };
    let found = ranges.windows(3).filter(is_guarded).map(|three| three[1]);
    found
        .filter(|(start, end, _)| end - start == bytes.next_multiple_of(PAGE_BYTES))
        .map(|(start, ..)| start)
        .collect()
}

/// Whatever was allocated in this size, so many times, is zero.
fn assert_zero(child: &ExecutorChild, bytes: u64, count: usize) {
    let process_id = child.process_id();
    let memory = std::fs::File::open(format!("/proc/{process_id}/mem")).unwrap();
    let found = allocations(process_id, bytes);
    assert_eq!(found.len(), count, "allocations of {bytes} bytes");
    let mut seen = vec![0xa5; usize::try_from(bytes).unwrap()];
    for start in found {
        memory.read_exact_at(&mut seen, start).unwrap();
        let left = seen.iter().position(|byte| *byte != 0);
        assert_eq!(left, None, "in {bytes} bytes");
    }
}

fn run_all(child: &mut ExecutorChild, works: &[Work]) {
    let (_, end) = run(child, works, LIMIT);
    end.unwrap();
}

fn assert_slots_are_zero(child: &ExecutorChild) {
    assert_zero(child, SLOTS_BYTES, 1);
    assert_zero(child, STAGING_BYTES, 4);
}

#[test]
fn nothing_of_a_task_stays_in_memory_that_the_device_reads_or_writes() {
    let _turn = alone();
    let machine = Machine::new("");
    let mut child = machine.spawn();
    // Of the device as well: before the first task it holds what another process left.
    assert_slots_are_zero(&child);
    let product = json!({"m": 20, "n": 30, "k": 40});
    let ones = 1.0_f32.to_le_bytes().repeat(40 * 30);
    // Begun step by step, recorded, replayed.
    for _ in 0..3 {
        let works = [
            digest(b"a secret"),
            matrix(3, 100, 70),
            work("gemm", product.clone(), &[&ones[..20 * 40 * 4], &ones]),
        ];
        run_all(&mut child, &works);
        assert_slots_are_zero(&child);
    }
}

#[test]
fn nothing_of_a_large_task_stays_either() {
    let _turn = alone();
    let machine = Machine::new("");
    let mut child = machine.spawn();
    run_all(&mut child, &large());
    assert_slots_are_zero(&child);
    // Input and output of the largest, each from a multiple of 256 on.
    let array_bytes: u64 = 4_500 * 1_000 * 4;
    assert_zero(&child, 2 * array_bytes.next_multiple_of(256), 1);
}

#[test]
fn nothing_of_a_text_stays_either() {
    let Some(folder) = embed::folder() else {
        return;
    };
    let _turn = alone();
    let machine = Machine::new("");
    let mut child = embed::spawn(&machine, &folder);
    for animal in ["cat", "dog", "fox"] {
        let sentence = format!("The {animal} hides.");
        run_all(
            &mut child,
            &[embed::texts(&[sentence.as_bytes(), b"a secret"])],
        );
        assert_slots_are_zero(&child);
        assert_zero(&child, TEXTS_BYTES, 1);
        assert_zero(&child, TEXTS_UPLOAD_BYTES, 2);
        assert_zero(&child, TEXTS_DOWNLOAD_BYTES, 2);
    }
}
