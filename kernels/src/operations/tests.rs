//! Each operation against values written by hand, and the table against the catalogue.

use protocol::catalogue::OPERATIONS;
use serde_json::{Value, json};

use super::*;

const INF: f32 = f32::INFINITY;
const NAN: f32 = f32::NAN;

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    element::elements(bytes)
        .iter()
        .map(element::value)
        .collect()
}

fn call(name: &str, parameters: Value, inputs: &[&[u8]]) -> Call {
    let sizes: Vec<_> = inputs
        .iter()
        .map(|input| u64::try_from(input.len()).unwrap())
        .collect();
    let parameters = serde_json::from_value(parameters).unwrap();
    Call::parse(name, 1, &parameters, &sizes).unwrap()
}

fn run_bytes(name: &str, parameters: Value, inputs: &[&[u8]]) -> Vec<u8> {
    let call = call(name, parameters, inputs);
    // Not zero, so that a byte left unwritten shows.
    let mut output = vec![0xa5; usize::try_from(call.output_bytes()).unwrap()];
    run(&call, inputs, &mut output).unwrap();
    output
}

fn run_numbers(name: &str, parameters: Value, inputs: &[&[f32]]) -> Vec<f32> {
    let inputs: Vec<_> = inputs.iter().map(|input| bytes(input)).collect();
    let inputs: Vec<_> = inputs.iter().map(Vec::as_slice).collect();
    numbers(&run_bytes(name, parameters, &inputs))
}

/// Bit for bit, except that any NaN equals any other.
fn assert_same(seen: &[f32], wanted: &[f32]) {
    let bits = |numbers: &[f32]| -> Vec<_> {
        let canonical = |x: &f32| if x.is_nan() { NAN } else { *x };
        numbers.iter().map(|x| canonical(x).to_bits()).collect()
    };
    assert_eq!(bits(seen), bits(wanted), "{seen:?} is not {wanted:?}");
}

#[test]
fn the_table_is_the_catalogue() {
    let implemented: Vec<_> = DEFINITIONS
        .iter()
        .map(|(name, version, _)| (*name, *version))
        .collect();
    let catalogue: Vec<_> = OPERATIONS
        .iter()
        .map(|operation| (operation.name, operation.version))
        .collect();
    assert_eq!(implemented, catalogue);
}

/// Every operation has its CUDA source, and no source is without an operation.
#[test]
fn the_cuda_sources_are_the_catalogue() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/cuda");
    let mut sources: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter_map(|name| name.strip_suffix(".cu").map(str::to_owned))
        .collect();
    sources.sort();
    // A model runs on the CPU alone so far.
    let without_model = OPERATIONS
        .iter()
        .filter(|operation| operation.model().is_none());
    let catalogue: Vec<_> = without_model.map(|operation| operation.name).collect();
    assert_eq!(sources, catalogue);
}

#[test]
fn gemm_of_two_by_three_and_three_by_two() {
    let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let b = [7.0, 8.0, 9.0, 10.0, 11.0, 12.0];
    let product = run_numbers("gemm", json!({"m": 2, "n": 2, "k": 3}), &[&a, &b]);
    assert_same(&product, &[58.0, 64.0, 139.0, 154.0]);
}

#[test]
fn gemm_skips_nothing_and_cancels_exactly() {
    let parameters = json!({"m": 1, "n": 1, "k": 3});
    let gemm = |a: [f32; 3], b: [f32; 3]| run_numbers("gemm", parameters.clone(), &[&a, &b]);
    assert_same(&gemm([0.0, 1.0, 1.0], [INF, 1.0, 1.0]), &[NAN]);
    assert_same(&gemm([1.0, 1.0, 1.0], [INF, 1.0, -3.0]), &[INF]);
    assert_same(&gemm([1e20, 1.0, -1e20], [1.0; 3]), &[0.0]);
    assert_same(&gemm([1e8, 1.0, -1e8], [1.0; 3]), &[1.0]);
}

#[test]
fn layer_norm_of_a_small_row() {
    let parameters = json!({"rows": 2, "columns": 2, "epsilon": 1.0});
    let x = [1.0, 1.0, -3.0_f32.sqrt(), 3.0_f32.sqrt()];
    let normal = run_numbers("layer_norm", parameters, &[&x, &[2.0, 4.0], &[0.5, -0.5]]);
    let half = 3.0_f32.sqrt() / 2.0;
    assert_same(&normal[..2], &[0.5, -0.5]);
    assert!((normal[2] - (0.5 - 2.0 * half)).abs() < 1e-6);
    assert!((normal[3] - (4.0 * half - 0.5)).abs() < 1e-6);
}

#[test]
fn layer_norm_of_an_infinity_is_nan() {
    let parameters = json!({"rows": 1, "columns": 2, "epsilon": 1e-5});
    let normal = run_numbers(
        "layer_norm",
        parameters,
        &[&[INF, 1.0], &[1.0; 2], &[0.0; 2]],
    );
    assert_same(&normal, &[NAN, NAN]);
}

#[test]
fn reduce_knows_zeros_infinities_and_nan() {
    let x = [
        [-0.0, 0.0, -0.0],
        [1.0, -2.0, 3.5],
        [INF, 1.0, -INF],
        [NAN, 1.0, INF],
    ];
    let x = x.as_flattened();
    let reduce = |kind| {
        run_numbers(
            "reduce",
            json!({"rows": 4, "columns": 3, "kind": kind}),
            &[x],
        )
    };
    assert_same(&reduce("sum"), &[0.0, 2.5, NAN, NAN]);
    assert_same(&reduce("max"), &[0.0, 3.5, INF, NAN]);
    assert_same(&reduce("min"), &[-0.0, -2.0, -INF, NAN]);
}

#[test]
fn reduce_sums_beyond_the_digits_of_binary32() {
    let mut x = vec![1.0; 16_777_217];
    x[0] = 16_777_216.0;
    let parameters = json!({"rows": 1, "columns": x.len(), "kind": "sum"});
    assert_same(&run_numbers("reduce", parameters, &[&x]), &[33_554_432.0]);
}

/// 1 + 2^-12 squared needs 25 digits; only a fused operation keeps the last one.
#[test]
fn saxpy_rounds_once() {
    let x = 1.0 + 2.0_f32.powi(-12);
    let seen = run_numbers(
        "saxpy",
        json!({"alpha": x}),
        &[&[x], &[-(1.0 + 2.0_f32.powi(-11))]],
    );
    assert_same(&seen, &[2.0_f32.powi(-24)]);
}

#[test]
fn saxpy_follows_ieee_754() {
    let x = [1.0, INF, 0.0, 1e-45, f32::MAX];
    let y = [-2.0, -INF, -0.0, 0.0, f32::MAX];
    let seen = run_numbers("saxpy", json!({"alpha": 2.0}), &[&x, &y]);
    assert_same(&seen, &[0.0, NAN, 0.0, 3e-45, INF]);
}

/// FIPS 180-4, the one-block and the two-block example, and the empty message.
#[test]
fn sha256_batch_of_the_standard_examples() {
    let two_blocks = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    let digests = run_bytes("sha256_batch", json!({}), &[b"abc", two_blocks, b""]);
    let wanted = concat!(
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    );
    assert_eq!(hex::encode(digests), wanted);
}

#[test]
fn softmax_of_equal_of_distant_and_of_undefined_rows() {
    let x = [
        [7.0, 7.0, 7.0, 7.0],
        [0.0, 1000.0, -1000.0, -INF],
        [INF, 0.0, 0.0, 0.0],
        [-INF; 4],
        [0.0, NAN, 0.0, 0.0],
    ];
    let parameters = json!({"rows": 5, "columns": 4});
    let seen = run_numbers("softmax", parameters, &[x.as_flattened()]);
    assert_same(&seen[..8], &[0.25, 0.25, 0.25, 0.25, 0.0, 1.0, 0.0, 0.0]);
    assert_same(&seen[8..], &[NAN; 12]);
}

#[test]
fn transpose_moves_bytes_as_they_are() {
    let x: Vec<u8> = (0..24).collect();
    let seen = run_bytes("transpose", json!({"rows": 2, "columns": 3}), &[&x]);
    let wanted = [
        [0, 1, 2, 3],
        [12, 13, 14, 15],
        [4, 5, 6, 7],
        [16, 17, 18, 19],
        [8, 9, 10, 11],
        [20, 21, 22, 23],
    ];
    assert_eq!(seen, wanted.as_flattened());
}

#[test]
fn transpose_twice_is_nothing_across_bands() {
    let x: Vec<u8> = (0..=250).cycle().take(131 * 67 * 4).collect();
    let once = run_bytes("transpose", json!({"rows": 131, "columns": 67}), &[&x]);
    let twice = run_bytes("transpose", json!({"rows": 67, "columns": 131}), &[&once]);
    assert!(twice == x && once != x);
}

#[test]
fn sizes_that_are_not_the_calls_are_refused() {
    let two = [0; 8];
    let call = call("saxpy", json!({"alpha": 1}), &[&two, &two]);
    let refused = [
        (
            run(&call, &[&two], &mut [0; 8]),
            OperationError::InputCount { wanted: 2, seen: 1 },
        ),
        (
            run(&call, &[&two, &two[..4]], &mut [0; 8]),
            OperationError::InputBytes {
                index: 1,
                wanted: 8,
                seen: 4,
            },
        ),
        (
            run(&call, &[&two, &two], &mut [0; 4]),
            OperationError::OutputBytes { wanted: 8, seen: 4 },
        ),
    ];
    for (seen, wanted) in refused {
        assert_eq!(seen, Err(wanted));
    }
}
