//! Which difference is told, and that a spill is seen.

use super::*;

fn manifest() -> Manifest {
    let kernel = |name: &str| Kernel {
        name: name.to_owned(),
        parameters: vec![Parameter::new("x".to_owned(), Kind::Pointer)],
        block_threads_max: 256,
        architectures: ["sm_80", "sm_90a"]
            .map(|architecture| (architecture.to_owned(), Resources::default()))
            .into(),
    };
    let image = |target: &str| Image {
        target: target.to_owned(),
        bytes: 1,
        sha256: digest(target.as_bytes()),
    };
    Manifest {
        fatbin_sha256: digest(b"fatbin"),
        sources_sha256: digest(b"sources"),
        compiler: "13.0".to_owned(),
        arguments: vec!["-O3".to_owned()],
        images: ["sm_80", "compute_80", "sm_90"].map(image).into(),
        kernels: ["saxpy", "softmax"].map(kernel).into(),
    }
}

#[test]
fn what_is_written_is_read() {
    let manifest = manifest();
    let json = manifest.to_json().unwrap();
    assert_eq!(Manifest::parse(&json).unwrap(), manifest);
    assert_eq!(
        manifest.differences(&Manifest::parse(&json).unwrap()),
        [""; 0]
    );
}

#[test]
fn each_difference_is_named() {
    type Change = fn(&mut Manifest);
    let changes: [(Change, &str); 7] = [
        (|m| m.sources_sha256.clear(), "the sources have changed"),
        (
            |m| m.compiler.push_str(".1"),
            "the compiler was 13.0, is 13.0.1",
        ),
        (
            |m| m.arguments.clear(),
            "the compiler's arguments have changed",
        ),
        (|m| m.images[1].bytes = 2, "the code for compute_80"),
        (
            |m| m.kernels[0].name = "zaxpy".to_owned(),
            "kernel saxpy: is no longer there",
        ),
        (
            |m| m.kernels[1].block_threads_max = 1,
            "kernel softmax: has other parameters or bounds",
        ),
        (
            |m| {
                m.kernels[1].architectures.insert(
                    "sm_80".to_owned(),
                    Resources {
                        registers: 9,
                        ..Resources::default()
                    },
                );
            },
            "kernel softmax: takes other resources on sm_80",
        ),
    ];
    for (change, wanted) in changes {
        let mut built = manifest();
        change(&mut built);
        assert_eq!(manifest().differences(&built)[0], wanted);
    }
}

#[test]
fn a_spill_is_named_by_kernel_and_architecture() {
    let mut spilling = manifest();
    assert_eq!(spilling.spills(), [""; 0]);
    let softmax = &mut spilling.kernels[1].architectures;
    softmax.get_mut("sm_90a").unwrap().spill_loads_bytes = 4;
    assert_eq!(
        spilling.spills(),
        ["softmax on sm_90a: 0 bytes stored, 4 loaded"]
    );
}

#[test]
fn a_kernel_that_an_architecture_lacks_is_seen() {
    let mut incomplete = manifest();
    incomplete.ensure_complete().unwrap();
    incomplete.kernels[0].architectures.remove("sm_80");
    assert!(incomplete.ensure_complete().is_err());
}

#[test]
fn a_signature_that_was_compiled_otherwise_is_refused() {
    let kernel = |parameters: &[&str]| {
        let signature = Signature {
            name: "f".to_owned(),
            parameters: vec![Parameter::new("count".to_owned(), Kind::U64)],
        };
        let entry = Entry {
            name: "f".to_owned(),
            parameters: parameters.iter().map(ToString::to_string).collect(),
            block_threads_max: 32,
        };
        Kernel::new(signature, &entry, BTreeMap::new())
    };
    kernel(&["u64"]).unwrap();
    for other in [&["u32"][..], &["u64", "u64"], &[]] {
        assert!(kernel(other).is_err(), "{other:?}");
    }
}
