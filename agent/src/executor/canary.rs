//! The canary: tasks whose outputs are known, one of each operation (of `embed` where there is a model) and one that is too
//! large to share memory with others. For a child that takes the place of one that was lost, or that starts after too many
//! did not.

use bytes::Bytes;
use kernels::executor::{ExecutorChild, Outcome, Work};
use protocol::catalogue::models::ALL_MINILM_L6_V2;
use protocol::task::{InputDescriptor, TaskBody};
use serde_json::{Value, json};
use std::time::Duration;

use crate::config::chain;

/// A healthy child answers within milliseconds; a device's first use of a library takes seconds.
const LIMIT: Duration = Duration::from_secs(30);
/// A GPU does the same works in a way of its own the first, the second and each further time: it launches kernel by kernel,
/// records a graph, replays it.
const TIMES: usize = 3;
/// Two rows of so many binary32 are 17 MiB, in and out: more than a GPU's executor computes together.
const LARGE_COLUMNS: u32 = 17 << 17;
/// SHA-256 of `abc` (FIPS 180-4, appendix B.1 of its first edition).
const ABC_DIGEST: [u8; 32] = [
    0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
    0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad,
];
const TEXT: &[u8] = b"A canary sings.";
/// Of the text, with the two that mark its ends.
const TEXT_TOKENS: u32 = 6;
/// The first of all-MiniLM-L6-v2's numbers for the text, by the CPU definition.
const TEXT_NUMBERS: [f32; 8] = [
    0.053_100, 0.028_629, 0.017_861, 0.049_437, -0.065_084, 0.006_315, 0.030_331, -0.100_824,
];
/// The catalogue's, for `embed`.
const TOLERANCE: f32 = 2e-3;

/// A work and what is known of its output.
struct Known {
    operation: &'static str,
    work: Work,
    output: Expected,
}

impl Known {
    /// Says what is wrong, if it is.
    fn is_right(&self, outcome: Outcome) -> bool {
        let said = match outcome {
            Outcome::Done(output) if self.output.fits(&output) => return true,
            Outcome::Done(_) => "another output than the known one".to_owned(),
            Outcome::TaskFault(message)
            | Outcome::NotHere(message)
            | Outcome::ExecutorFault(message)
            | Outcome::Lost(message) => message,
            Outcome::NotRun => "not begun".to_owned(),
        };
        tracing::error!(operation = self.operation, said, "a canary failed");
        false
    }
}

enum Expected {
    Exactly(Vec<u8>),
    Embedding,
}

impl Expected {
    fn fits(&self, output: &[u8]) -> bool {
        match self {
            Self::Exactly(wanted) => output == wanted,
            Self::Embedding => is_embedding(output),
        }
    }
}

/// Whether the child gives every known output.
pub(super) fn passes(child: &mut ExecutorChild) -> bool {
    let has_model = child.identity().model_digest == Some(ALL_MINILM_L6_V2.digest());
    let (Some(small), Some(large)) = (small(has_model), large()) else {
        return false;
    };
    (0..TIMES).all(|_| computes(child, &small)) && computes(child, &[large])
}

fn computes(child: &mut ExecutorChild, known: &[Known]) -> bool {
    let works: Vec<_> = known.iter().map(|known| known.work.clone()).collect();
    let mut right = vec![false; works.len()];
    let ended = child.run(&works, LIMIT, &mut |index, outcome| {
        if let (Some(right), Some(known)) = (right.get_mut(index), known.get(index)) {
            *right = known.is_right(outcome);
        }
    });
    if let Err(error) = &ended {
        tracing::error!(error = chain(error), "a canary's executor child is lost");
    }
    ended.is_ok() && right.iter().all(|right| *right)
}

/// Numbers are small integers, so that every way to add them is exact.
fn small(has_model: bool) -> Option<Vec<Known>> {
    let count = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let product = json!({"m": 2, "n": 2, "k": 3});
    let matrix = json!({"rows": 2, "columns": 3});
    let reduction = json!({"rows": 2, "columns": 3, "kind": "sum"});
    let exactly = |operation, parameters, inputs, output| {
        let output = Expected::Exactly(output);
        known(operation, parameters, inputs, output)
    };
    let mut works = vec![
        exactly(
            "sha256_batch",
            json!({}),
            vec![b"abc".to_vec()],
            ABC_DIGEST.to_vec(),
        )?,
        exactly(
            "saxpy",
            json!({"alpha": 2.0}),
            vec![long(&count), long(&count)],
            long(&[3.0, 6.0, 9.0, 12.0, 15.0, 18.0]),
        )?,
        exactly(
            "softmax",
            json!({"rows": 2, "columns": 2}),
            vec![long(&[1.0, 1.0, 5.0, 5.0])],
            long(&[0.5, 0.5, 0.5, 0.5]),
        )?,
        // Mean 0 and variance 1 already.
        exactly(
            "layer_norm",
            json!({"rows": 1, "columns": 4, "epsilon": 1e-12}),
            vec![
                long(&[-1.0, 1.0, 1.0, -1.0]),
                long(&[1.0, 2.0, 3.0, 4.0]),
                long(&[0.0, 0.0, 1.0, 1.0]),
            ],
            long(&[-1.0, 2.0, 4.0, -3.0]),
        )?,
        exactly("reduce", reduction, vec![long(&count)], long(&[6.0, 15.0]))?,
        exactly(
            "transpose",
            matrix,
            vec![long(&count)],
            long(&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0]),
        )?,
        exactly(
            "gemm",
            product.clone(),
            vec![long(&count), long(&count)],
            long(&[22.0, 28.0, 49.0, 64.0]),
        )?,
        exactly(
            "gemm_bf16",
            product,
            vec![short(&count), short(&count)],
            short(&[22.0, 28.0, 49.0, 64.0]),
        )?,
    ];
    if has_model {
        let model = json!({"model": ALL_MINILM_L6_V2.name});
        let inputs = vec![TEXT.to_vec()];
        works.push(known("embed", model, inputs, Expected::Embedding)?);
    }
    Some(works)
}

fn large() -> Option<Known> {
    // A prime below 2^16, so that no two tiles are alike.
    let number = |column: u32| u16::try_from(column % 65_521).map_or(0.0, f32::from);
    let upper = || (0..LARGE_COLUMNS).map(number);
    let lower = || upper().map(|number| number + 0.5);
    let bytes =
        |numbers: &mut dyn Iterator<Item = f32>| numbers.flat_map(f32::to_le_bytes).collect();
    let input = bytes(&mut upper().chain(lower()));
    let output = bytes(
        &mut upper()
            .zip(lower())
            .flat_map(|(upper, lower)| [upper, lower]),
    );
    let matrix = json!({"rows": 2, "columns": LARGE_COLUMNS});
    known("transpose", matrix, vec![input], Expected::Exactly(output))
}

/// One text's embedding: as long as 1, with the known beginning, then the number of tokens.
fn is_embedding(output: &[u8]) -> bool {
    let Some((numbers, tokens)) = output.split_last_chunk::<4>() else {
        return false;
    };
    let (numbers, rest) = numbers.as_chunks::<4>();
    let numbers: Vec<_> = numbers
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    let length = numbers.iter().map(|number| number * number).sum::<f32>();
    let is_close = |(number, wanted): (&f32, &f32)| (number - wanted).abs() < TOLERANCE;
    rest.is_empty()
        && numbers.len() > TEXT_NUMBERS.len()
        && numbers.iter().zip(&TEXT_NUMBERS).all(is_close)
        && (length - 1.0).abs() < TOLERANCE
        && *tokens == TEXT_TOKENS.to_le_bytes()
}

fn long(numbers: &[f32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

/// As bfloat16: the upper halves, which is exact for small integers.
fn short(numbers: &[f32]) -> Vec<u8> {
    let upper = |number: &f32| {
        let [_, _, low, high] = number.to_le_bytes();
        [low, high]
    };
    numbers.iter().flat_map(upper).collect()
}

fn known(
    operation: &'static str,
    parameters: Value,
    inputs: Vec<Vec<u8>>,
    output: Expected,
) -> Option<Known> {
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
    let inputs = inputs.into_iter().map(Bytes::from).collect();
    let work = Work::parse(body.canonical().ok()?.into(), inputs).ok()?;
    Some(Known {
        operation,
        work,
        output,
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use kernels::embed::Model;
    use kernels::executor::{CpuExecutor, Executor, PlacedWork};
    use protocol::Sha256Digest;
    use protocol::catalogue::Tolerance;

    fn output(executor: &mut CpuExecutor, known: &Known) -> Vec<u8> {
        let bytes = known.work.call().output_bytes();
        let mut output = vec![0; usize::try_from(bytes).unwrap()];
        let placed = PlacedWork {
            call: known.work.call().clone(),
            inputs: known.work.inputs().iter().map(AsRef::as_ref).collect(),
            output: &mut output,
        };
        executor.run(&mut [placed], &mut |_, outcome| outcome.unwrap());
        output
    }

    /// The CPU definitions are the oracle.
    #[test]
    fn the_known_outputs_are_those_of_the_definitions() {
        let mut executor = CpuExecutor::new(Sha256Digest::of(b""));
        let works = small(false).expect("tasks that the catalogue accepts");
        for known in works.into_iter().chain(large()) {
            let name = known.work.call().operation().name;
            let mut output = output(&mut executor, &known);
            assert!(known.output.fits(&output), "{name}");
            output[0] ^= 1;
            assert!(!known.output.fits(&output), "{name}");
        }
        let bytes = large().unwrap().work.call().output_bytes();
        assert!(bytes > 16 << 20, "{bytes}");
    }

    #[test]
    fn every_operation_has_its_canary() {
        let works = small(true).unwrap();
        for operation in protocol::catalogue::OPERATIONS {
            let has = works.iter().any(|known| known.operation == operation.name);
            assert!(has, "{}", operation.name);
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test asks where the model lies"
    )]
    #[test]
    fn the_known_text_has_the_embedding_of_the_model() {
        let Some(model) = std::env::var_os("COCOON_MODEL").map(PathBuf::from) else {
            println!("SKIPPED: COCOON_MODEL names no folder");
            return;
        };
        let executor = CpuExecutor::new(Sha256Digest::of(b""));
        let mut executor = executor.with_model(Model::open(&model).unwrap());
        let known = small(true).unwrap().pop().unwrap();
        let tolerance = Tolerance::Within {
            absolute: TOLERANCE,
            relative: 0.0,
        };
        assert_eq!(known.work.call().operation().tolerance, tolerance);
        let mut output = output(&mut executor, &known);
        assert!(
            known.output.fits(&output),
            "{:?} … {:?}",
            &output[..32],
            output.last_chunk::<4>()
        );
        let end = output.len() - 4;
        for changed in [3, 1_003, end] {
            output[changed] ^= 0x40;
            assert!(!known.output.fits(&output), "byte {changed}");
            output[changed] ^= 0x40;
        }
        assert!(!known.output.fits(&output[4..]));
        assert!(!known.output.fits(b""));
    }
}
