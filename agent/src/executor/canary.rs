//! The canary: tasks whose outputs are known, for an executor that lost too many children. One of each way to compute: a
//! reduction over lanes, a transposition through shared memory, integers, and both kinds of matrix product.

use bytes::Bytes;
use kernels::executor::{ExecutorChild, Outcome, Work};
use protocol::task::{InputDescriptor, TaskBody};
use serde_json::{Value, json};
use std::time::Duration;

/// A healthy child answers within milliseconds; a device's first use of a library takes seconds.
const LIMIT: Duration = Duration::from_secs(30);
/// SHA-256 of `abc` (FIPS 180-4, appendix B.1 of its first edition).
const ABC_DIGEST: [u8; 32] = [
    0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
    0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
];

/// Whether the child gives every known output.
pub(super) fn passes(child: &mut ExecutorChild) -> bool {
    let (works, wanted): (Vec<_>, Vec<_>) = tasks().into_iter().flatten().unzip();
    let mut right = vec![false; works.len()];
    let ended = child.run(&works, LIMIT, &mut |index, outcome| {
        if let (Some(right), Some(wanted)) = (right.get_mut(index), wanted.get(index)) {
            *right = matches!(&outcome, Outcome::Done(output) if output == wanted);
        }
    });
    ended.is_ok() && right.len() == TASKS && right.iter().all(|right| *right)
}

const TASKS: usize = 5;

/// Works with their outputs. Numbers are small integers, so that every way to add them is exact.
fn tasks() -> [Option<(Work, Vec<u8>)>; TASKS] {
    let count = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let short = |numbers: &[f32]| -> Vec<u8> {
        let upper = |number: &f32| {
            let [_, _, low, high] = number.to_le_bytes();
            [low, high]
        };
        numbers.iter().flat_map(upper).collect()
    };
    let product = json!({"m": 2, "n": 2, "k": 3});
    let matrix = json!({"rows": 2, "columns": 3});
    let reduction = json!({"rows": 2, "columns": 3, "kind": "sum"});
    [
        task(
            "sha256_batch",
            json!({}),
            &[b"abc".to_vec()],
            ABC_DIGEST.to_vec(),
        ),
        task("reduce", reduction, &[long(&count)], long(&[6.0, 15.0])),
        task(
            "transpose",
            matrix,
            &[long(&count)],
            long(&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]),
        ),
        task(
            "gemm",
            product.clone(),
            &[long(&count), long(&count)],
            long(&[22.0, 28.0, 49.0, 64.0]),
        ),
        task(
            "gemm_bf16",
            product,
            &[short(&count), short(&count)],
            short(&[22.0, 28.0, 49.0, 64.0]),
        ),
    ]
}

fn long(numbers: &[f32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

fn task(
    operation: &str,
    parameters: Value,
    inputs: &[Vec<u8>],
    output: Vec<u8>,
) -> Option<(Work, Vec<u8>)> {
    let Value::Object(parameters) = parameters else {
        return None;
    };
    let body = TaskBody {
        operation: operation.to_owned(),
        version: 1,
        parameters,
        inputs: inputs
            .iter()
            .map(|input| InputDescriptor::of(input))
            .collect(),
    };
    let inputs = inputs.iter().cloned().map(Bytes::from).collect();
    let work = Work::parse(body.canonical().ok()?.into(), inputs).ok()?;
    Some((work, output))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The CPU definitions are the oracle.
    #[test]
    fn the_known_outputs_are_those_of_the_definitions() {
        for task in tasks() {
            let (work, wanted) = task.expect("a task that the catalogue accepts");
            let inputs: Vec<&[u8]> = work.inputs().iter().map(AsRef::as_ref).collect();
            let mut output = vec![0; wanted.len()];
            kernels::operations::run(work.call(), &inputs, &mut output).unwrap();
            assert_eq!(output, wanted, "{}", work.call().operation().name);
        }
    }
}
