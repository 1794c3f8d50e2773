//! Every operation has its step, and every step covers its arrays.

use std::collections::BTreeSet;

use protocol::catalogue::OPERATIONS;
use serde_json::{Value, json};

use super::*;
use crate::module::manifest;

/// An H200's.
const PROCESSORS: u32 = 132;

fn call(name: &str, parameters: Value, sizes: &[u64]) -> Call {
    let parameters = serde_json::from_value(parameters).unwrap();
    Call::parse(name, 1, &parameters, sizes).unwrap()
}

fn launched(call: &Call) -> Launch {
    let places = Places {
        inputs: &[0x1000, 0x2000, 0x3000][..call.input_bytes().len()],
        output: 0x4000,
    };
    match step(call, &places, PROCESSORS) {
        Some(Step::Launch(launch)) => launch,
        other => panic!("{other:?}"),
    }
}

fn softmax(rows: u64, columns: u64) -> Launch {
    let parameters = json!({"rows": rows, "columns": columns});
    launched(&call("softmax", parameters, &[rows * columns * 4]))
}

#[test]
fn every_operation_has_a_step_or_is_not_offered() {
    let rows = json!({"rows": 2, "columns": 3});
    let with = |name: &str, value: Value| {
        let mut parameters = rows.clone();
        parameters[name] = value;
        parameters
    };
    // Of the model, see the encoder's own tests.
    let of_model = KERNELS.iter().filter(|name| name.starts_with("embed_"));
    let mut kernels: BTreeSet<_> = of_model.copied().collect();
    kernels.insert("sha256_batch");
    let launches = [
        call("layer_norm", with("epsilon", json!(1e-5)), &[24, 12, 12]),
        call("reduce", with("kind", json!("max")), &[24]),
        call("reduce", with("kind", json!("min")), &[24]),
        call("reduce", with("kind", json!("sum")), &[24]),
        call("saxpy", json!({"alpha": 2}), &[8, 8]),
        call("softmax", rows.clone(), &[24]),
        call("transpose", rows.clone(), &[24]),
    ];
    for call in &launches {
        let launch = launched(call);
        let kernel = manifest().kernel(launch.kernel).unwrap();
        assert!(launch.agrees_with(kernel), "{launch:?} {kernel:?}");
        kernels.insert(launch.kernel);
    }
    assert!(kernels.into_iter().eq(KERNELS));
    let supported: Vec<_> = OPERATIONS
        .iter()
        .filter(|operation| is_supported(operation.name, operation.version))
        .map(|operation| operation.name)
        .collect();
    let mut names: Vec<_> = launches.iter().map(|call| call.operation().name).collect();
    names.extend(["embed", "gemm", "gemm_bf16", "sha256_batch"]);
    names.sort_unstable();
    names.dedup();
    assert_eq!(supported, names);
    assert!(!is_supported("gemm", 2));
}

#[test]
fn arguments_come_in_the_kernels_order() {
    let norm = launched(&call(
        "layer_norm",
        json!({"rows": 2, "columns": 3, "epsilon": 0.5}),
        &[24, 12, 12],
    ));
    let wanted = [
        Argument::Address(0x1000),
        Argument::Address(0x2000),
        Argument::Address(0x3000),
        Argument::Address(0x4000),
        Argument::Count(2),
        Argument::Count(3),
        Argument::Real(0.5_f32.to_bits()),
    ];
    assert_eq!(norm.arguments, wanted);
    let saxpy = launched(&call("saxpy", json!({"alpha": 2}), &[8, 8]));
    assert_eq!(saxpy.arguments[0], Argument::Real(2.0_f32.to_bits()));
    assert_eq!(saxpy.arguments[4], Argument::Count(2));
}

#[test]
fn products_are_of_the_shape_that_the_task_says() {
    let call = call("gemm_bf16", json!({"m": 2, "n": 5, "k": 3}), &[12, 30]);
    let places = Places {
        inputs: &[0x1000, 0x2000],
        output: 0x4000,
    };
    let product = Product {
        shape: Shape {
            number: Number::Bfloat16,
            m: 2,
            n: 5,
            k: 3,
        },
        a: 0x1000,
        b: 0x2000,
        output: 0x4000,
    };
    assert_eq!(
        step(&call, &places, PROCESSORS),
        Some(Step::Product(product))
    );
}

#[test]
fn grids_cover_what_there_is_and_no_more_than_runs_at_once() {
    let shape = |launch: Launch| (launch.grid[0], launch.block);
    assert_eq!(shape(softmax(1, 1)), (1, [256, 1]));
    assert_eq!(shape(softmax(9, 512)), (2, [256, 1]));
    assert_eq!(shape(softmax(9, 513)), (9, [64, 1]));
    assert_eq!(shape(softmax(9, 1024)), (9, [64, 1]));
    assert_eq!(shape(softmax(9, 100_000)), (9, [512, 1]));
    assert_eq!(shape(softmax(1_000_000, 8)), (132 * 8, [256, 1]));
    assert_eq!(shape(softmax(10_000, 10_000)), (132 * 4, [512, 1]));
    let tiles = launched(&call(
        "transpose",
        json!({"rows": 65, "columns": 128}),
        &[65 * 128 * 4],
    ));
    assert_eq!(shape(tiles), (4, [32, 8]));
    let Step::Launch(digests) = digests([0; 4], 65, PROCESSORS) else {
        panic!()
    };
    assert_eq!(shape(digests), (2, [64, 1]));
}

#[test]
fn what_the_manifest_does_not_say_is_not_launched() {
    let good = softmax(2, 3);
    let kernel = manifest().kernel("softmax").unwrap();
    let Step::Launch(digests) = digests([0; 4], 1, PROCESSORS) else {
        panic!()
    };
    assert!(digests.agrees_with(manifest().kernel("sha256_batch").unwrap()));
    let changes: [fn(&mut Launch); 5] = [
        |launch| launch.kernel = "transpose",
        |launch| launch.block = [1024, 1],
        |launch| launch.arguments.truncate(3),
        |launch| launch.arguments[0] = Argument::Count(0),
        |launch| launch.arguments[3] = Argument::Real(0),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut launch = good.clone();
        change(&mut launch);
        assert!(
            good.agrees_with(kernel) && !launch.agrees_with(kernel),
            "{index}"
        );
    }
}
