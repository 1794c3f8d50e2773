//! The manifest against the fatbin, the sources and the catalogue.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use protocol::catalogue::OPERATIONS;

use super::*;

/// What cuBLASLt computes.
const WITHOUT_SOURCE: &[&str] = &["gemm", "gemm_bf16"];

const CODE: [&str; 4] = ["sm_100", "sm_120", "sm_80", "sm_90a"];

/// Every file of `cuda/` by name, with its text.
fn sources() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("cuda");
    let mut sources: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read_to_string(entry.path()).unwrap())
        })
        .collect();
    sources.sort();
    sources
}

#[test]
fn the_manifest_is_the_fatbins() {
    let parsed = Manifest::parse(MANIFEST_JSON).unwrap();
    assert_eq!(manifest(), &parsed);
    assert_eq!(parsed.fatbin_sha256, Some(fatbin_digest()));
    assert_eq!(fatbin_digest(), Sha256Digest::of(MODULE_FATBIN));
}

/// Also where no compiler is at hand, a source that was changed alone shows.
#[test]
fn the_fatbin_was_compiled_from_these_sources() {
    let mut digested = Vec::new();
    for (name, text) in sources() {
        digested.extend_from_slice(format!("{name}\n{}\n{text}", text.len()).as_bytes());
    }
    assert_eq!(
        manifest().sources_sha256,
        Some(Sha256Digest::of(&digested)),
        "`cargo ci kernels --write` compiles the sources of kernels/cuda"
    );
}

#[test]
fn the_kernels_of_the_manifest_are_those_of_the_sources() {
    let sources = sources();
    let declared: BTreeSet<_> = sources
        .iter()
        .flat_map(|(_, text)| text.split("extern \"C\" __global__ void ").skip(1))
        .map(|rest| {
            rest.split_once(") ")
                .filter(|_| rest.starts_with("__launch_bounds__("))
                .map_or(rest, |(_, rest)| rest)
        })
        .map(|rest| rest.split('(').next().unwrap())
        .collect();
    let listed: BTreeSet<_> = manifest()
        .kernels
        .iter()
        .map(|kernel| kernel.name.as_str())
        .collect();
    assert_eq!(listed, declared);
    assert_eq!(manifest().kernels.len(), listed.len());
}

#[test]
fn every_operation_has_its_source() {
    let names: BTreeSet<_> = sources().into_iter().map(|(name, _)| name).collect();
    for operation in OPERATIONS {
        let is_ours = !WITHOUT_SOURCE.contains(&operation.name);
        let source = format!("{}.cu", operation.name);
        assert_eq!(names.contains(&source), is_ours, "{source}");
    }
}

#[test]
fn no_kernel_spills_on_any_architecture() {
    for kernel in &manifest().kernels {
        let architectures: Vec<_> = kernel.architectures.keys().collect();
        assert_eq!(architectures, CODE, "{}", kernel.name);
        for (architecture, used) in &kernel.architectures {
            assert_eq!(
                (used.spill_stores_bytes, used.spill_loads_bytes),
                (0, 0),
                "{} on {architecture}",
                kernel.name
            );
            assert!(used.registers > 0);
        }
    }
}

/// A multiprocessor has 65,536 registers and gives a block 48 KiB of shared memory unasked, on every architecture.
#[test]
fn the_largest_block_of_each_kernel_fits() {
    for kernel in &manifest().kernels {
        assert!((32..=1024).contains(&kernel.block_threads_max));
        for used in kernel.architectures.values() {
            assert!(used.registers * kernel.block_threads_max <= 65_536);
            assert!(used.shared_bytes <= 48 * 1024);
        }
    }
}

#[test]
fn a_kernel_is_found_by_name_with_its_parameters() {
    let saxpy = manifest().kernel("saxpy").unwrap();
    let seen: Vec<_> = saxpy
        .parameters
        .iter()
        .map(|one| (one.name.as_str(), one.kind, one.bytes))
        .collect();
    let wanted = [
        ("alpha", ParameterKind::F32, 4),
        ("x", ParameterKind::Pointer, 8),
        ("y", ParameterKind::Pointer, 8),
        ("out", ParameterKind::Pointer, 8),
        ("count", ParameterKind::U64, 8),
    ];
    assert_eq!(seen, wanted);
    assert_eq!(manifest().kernel("gemm"), None);
}

#[test]
fn the_fatbin_is_one_and_aligned() {
    assert_eq!(&MODULE_FATBIN[..4], 0xba55_ed50_u32.to_le_bytes());
    assert!(MODULE_FATBIN.as_ptr().addr().is_multiple_of(16));
    let bytes = u64::from_le_bytes(MODULE_FATBIN[8..16].try_into().unwrap());
    assert_eq!(usize::try_from(bytes).unwrap() + 16, MODULE_FATBIN.len());
}
