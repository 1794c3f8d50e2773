//! Every operation of the catalogue against its CPU definition, within the catalogue's tolerance.

use std::collections::BTreeSet;

use kernels::executor::{Outcome, Work, cuda};
use protocol::catalogue::{OPERATIONS, Tolerance};
use serde_json::{Value, json};

use super::{LIMIT, Machine, alone, defined, noise, run, work};

/// Numbers of about one, of either sign.
fn numbers(seed: u64, count: usize) -> Vec<u8> {
    let mut noise = noise(seed);
    (0..count)
        .flat_map(|_| {
            let sixteen = u16::try_from(noise() & 0xffff).unwrap();
            (f32::from(sixteen) / 16_384.0 - 2.0).to_le_bytes()
        })
        .collect()
}

/// The same as bfloat16.
fn short_numbers(seed: u64, count: usize) -> Vec<u8> {
    let long = numbers(seed, count);
    let upper = |element: &[u8; 4]| [element[2], element[3]];
    long.as_chunks().0.iter().flat_map(upper).collect()
}

fn rows(rows: usize, columns: usize) -> Value {
    json!({"rows": rows, "columns": columns})
}

/// One work of each operation for a matrix of so many rows and columns; products have as many rows in between.
fn works(m: usize, n: usize, k: usize) -> Vec<Work> {
    let x = numbers(1, m * n);
    let with = |name: &str, value: Value| {
        let mut parameters = rows(m, n);
        parameters[name] = value;
        parameters
    };
    let product = json!({"m": m, "n": n, "k": k});
    let mut bytes = noise(3);
    let message =
        |length: usize| -> Vec<u8> { (0..length).map(|_| bytes().to_le_bytes()[0]).collect() };
    let messages: Vec<Vec<u8>> = [0, 1, 55, 56, 63, 64, 65, 128, m * n].map(message).to_vec();
    let messages: Vec<&[u8]> = messages.iter().map(Vec::as_slice).collect();
    let mut works = vec![
        work(
            "gemm",
            product.clone(),
            &[&numbers(4, m * k), &numbers(5, k * n)],
        ),
        work(
            "gemm_bf16",
            product,
            &[&short_numbers(6, m * k), &short_numbers(7, k * n)],
        ),
        work(
            "layer_norm",
            with("epsilon", json!(1e-5)),
            &[&x, &numbers(8, n), &numbers(9, n)],
        ),
        work("saxpy", json!({"alpha": -1.75}), &[&x, &numbers(10, m * n)]),
        work("sha256_batch", json!({}), &messages),
        work("softmax", rows(m, n), &[&x]),
        work("transpose", rows(m, n), &[&x]),
    ];
    for kind in ["sum", "max", "min"] {
        works.push(work("reduce", with("kind", json!(kind)), &[&x]));
    }
    works
}

/// The magnitudes that are added, where an operation adds: the same with every number positive.
fn scale(work: &Work) -> Vec<f32> {
    let body = protocol::task::TaskBody::from_canonical(work.body()).unwrap();
    let mut parameters = body.parameters;
    if let Some(alpha) = parameters.get_mut("alpha") {
        *alpha = json!(alpha.as_f64().unwrap().abs());
    }
    let element_bytes = element_bytes(work);
    let positive = |input: &bytes::Bytes| -> Vec<u8> {
        let mut bytes = input.to_vec();
        for element in bytes.chunks_exact_mut(element_bytes) {
            element[element_bytes - 1] &= 0x7f;
        }
        bytes
    };
    let inputs: Vec<_> = work.inputs().iter().map(positive).collect();
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let positive = super::work(&body.operation, Value::Object(parameters), &inputs);
    floats(&positive, &defined(&positive))
}

fn element_bytes(work: &Work) -> usize {
    match work.call().operation().name {
        "gemm_bf16" => 2,
        _ => 4,
    }
}

fn floats(work: &Work, bytes: &[u8]) -> Vec<f32> {
    let element = |element: &[u8]| match *element {
        [low, high] => f32::from_le_bytes([0, 0, low, high]),
        [a, b, c, d] => f32::from_le_bytes([a, b, c, d]),
        _ => f32::NAN,
    };
    bytes
        .chunks_exact(element_bytes(work))
        .map(element)
        .collect()
}

#[expect(
    clippy::float_cmp,
    reason = "only equal infinities and zeros are equal"
)]
fn compare(work: &Work, outcome: &Outcome) {
    let name = work.call().operation().name;
    let Outcome::Done(output) = outcome else {
        panic!("{name}: {outcome:?}")
    };
    let wanted = defined(work);
    let Tolerance::Within { absolute, relative } = work.call().operation().tolerance else {
        return assert!(*output == wanted, "{name}");
    };
    let adds = matches!(name, "gemm" | "gemm_bf16" | "saxpy") || name == "reduce";
    let (got, wanted) = (floats(work, output), floats(work, &wanted));
    let scale = if adds { scale(work) } else { wanted.clone() };
    for (index, (got, wanted)) in got.iter().zip(&wanted).enumerate() {
        let close = (got - wanted).abs() <= absolute + relative * scale[index].abs();
        let same = got == wanted || (got.is_nan() && wanted.is_nan());
        assert!(
            same || (close && got.is_finite()),
            "{name}: element {index} is {got}, not {wanted}"
        );
    }
}

fn compare_all(settings: &str, works: &[Work]) {
    let machine = Machine::new(settings);
    let (seen, end) = run(&mut machine.spawn(), works, LIMIT);
    end.unwrap();
    for (work, outcome) in works.iter().zip(&seen) {
        compare(work, outcome);
    }
}

#[test]
fn every_operation_gives_what_its_definition_gives() {
    let _turn = alone();
    let mut names = BTreeSet::new();
    for (m, n, k) in [
        (1, 1, 1),
        (1, 33, 2),
        (3, 5, 7),
        (17, 31, 64),
        (33, 512, 9),
        (5, 513, 130),
        (2, 1_031, 3),
        (1, 9_000, 2),
        (300, 4, 5),
    ] {
        let works = works(m, n, k);
        compare_all("", &works);
        names.extend(works.iter().map(|work| work.call().operation().name));
    }
    let offered = OPERATIONS
        .iter()
        .filter(|operation| cuda::is_supported(operation.name, operation.version))
        // What computes with a model has tests of its own.
        .filter(|operation| operation.model().is_none());
    assert!(
        names
            .into_iter()
            .eq(offered.map(|operation| operation.name))
    );
}

/// Nothing runs before it is waited for: a wait that is missing shows as an output that is not there.
#[test]
fn outputs_are_waited_for() {
    let _turn = alone();
    let mut works = works(17, 31, 64);
    works.extend(super::lots::large());
    works.extend(self::works(3, 5, 7));
    compare_all("FAKE_CUDA_LAZY=1", &works);
}

#[test]
fn special_values_follow_the_definition() {
    let _turn = alone();
    let special = [
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        0.0,
        -0.0,
        1e-40,
        f32::MAX,
        -f32::MIN_POSITIVE,
    ];
    let bytes =
        |numbers: &[f32]| -> Vec<u8> { numbers.iter().flat_map(|x| x.to_le_bytes()).collect() };
    // Each value with two plain ones, and a row of plain ones.
    let mut table: Vec<f32> = special.iter().flat_map(|x| [1.0, *x, 0.5]).collect();
    table.extend([1.0, 2.0, 3.0]);
    let (x, row_count) = (bytes(&table), table.len() / 3);
    let shape = |name: &str, value: Value| {
        let mut parameters = rows(row_count, 3);
        parameters[name] = value;
        parameters
    };
    let reduced = ["max", "min"].map(|kind| work("reduce", shape("kind", json!(kind)), &[&x]));
    let mut works = vec![
        work("softmax", rows(row_count, 3), &[&x]),
        work("saxpy", json!({"alpha": 2}), &[&x, &x]),
        work("transpose", rows(row_count, 3), &[&x]),
    ];
    works.extend(reduced);
    compare_all("", &works);
}

/// Rows so long that a thread takes them part by part: which part has the first number, a NaN, an infinity, or another mean.
#[test]
fn long_rows_follow_the_definition_whichever_part_is_special() {
    const INFINITE: f32 = f32::INFINITY;
    let _turn = alone();
    for columns in [16_400_usize, 16_403] {
        let plain = floats_of(&numbers(1, columns));
        let with = |at: usize, value: f32| {
            let mut row = plain.clone();
            row[at] = value;
            row
        };
        let mut first_part_is_nothing = plain.clone();
        first_part_is_nothing[..8_200].fill(-INFINITE);
        let mut but_one_is_nothing = vec![-INFINITE; columns];
        but_one_is_nothing[7] = f32::NAN;
        let rising = (0..columns).map(|at| f32::from(u16::try_from(at).unwrap()) / 100.0);
        let far = plain.iter().map(|x| 1e6 + x);
        let steps = (0..columns).map(|at| if at < 8_200 { 1e3 } else { -1e3 });
        let largest = (0..columns).map(|at| if at % 2 == 0 { f32::MAX } else { f32::MIN });
        let rows_of_both = [
            plain.clone(),
            with(3, f32::NAN),
            with(columns - 1, f32::NAN),
            with(8_500, INFINITE),
            rising.collect(),
            far.collect(),
            steps.collect(),
            largest.collect(),
        ];
        let rows_of_softmax = [
            with(8_500, -INFINITE),
            first_part_is_nothing,
            but_one_is_nothing,
            vec![-INFINITE; columns],
        ];
        let bytes = |rows: &[Vec<f32>]| -> Vec<u8> {
            rows.iter()
                .flatten()
                .flat_map(|x| x.to_le_bytes())
                .collect()
        };
        let mut normalised = rows(rows_of_both.len(), columns);
        normalised["epsilon"] = json!(1e-5);
        let table = bytes(&rows_of_both);
        let (gain, bias) = (numbers(2, columns), numbers(3, columns));
        compare_all(
            "",
            &[
                work("layer_norm", normalised, &[&table, &gain, &bias]),
                work("softmax", rows(rows_of_both.len(), columns), &[&table]),
                work(
                    "softmax",
                    rows(rows_of_softmax.len(), columns),
                    &[&bytes(&rows_of_softmax)],
                ),
            ],
        );
    }
}

/// With each step of a row that rises slowly the sum so far is scaled by almost 1; rounded each time, it would drift.
#[test]
fn a_row_that_rises_slowly_keeps_its_sum() {
    const THREADS: usize = 512;
    const STEPS: usize = 4_096;
    let _turn = alone();
    let step = |at: usize| f32::from(u16::try_from(at / THREADS).unwrap());
    let rising = (0..THREADS * STEPS).map(|at| 0.25 + step(at) * f32::EPSILON / 4.0);
    // As likely as all the others together, which else would be too small to tell.
    let row: Vec<u8> = rising
        .chain([14.8])
        .flat_map(|x: f32| x.to_le_bytes())
        .collect();
    compare_all("", &[work("softmax", rows(1, row.len() / 4), &[&row])]);
}

fn floats_of(bytes: &[u8]) -> Vec<f32> {
    let elements = bytes.as_chunks().0.iter();
    elements
        .map(|element| f32::from_le_bytes(*element))
        .collect()
}
