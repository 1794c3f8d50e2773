//! The CPU definitions against answers computed by numpy and hashlib (`known-answers/generate.py`), and by candle for
//! `embed`, within the catalogue's tolerance.

#![expect(
    clippy::float_cmp,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do, and only equal infinities are equal"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use kernels::embed::Model;
use kernels::operations::embed;
use protocol::catalogue::models::ALL_MINILM_L6_V2;
use protocol::catalogue::{Call, OPERATIONS, Operation, Tolerance};
use serde::Deserialize;
use serde_json::{Map, Value};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/known-answers");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    operation: String,
    version: u32,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    parameters: Map<String, Value>,
    inputs: Vec<Bytes>,
    output: Bytes,
    /// The sum of the magnitudes that were added, where that is not the output's own magnitude.
    scale: Option<Bytes>,
}

#[derive(Deserialize)]
struct Bytes(#[serde(with = "hex")] Vec<u8>);

#[test]
fn the_definitions_give_the_known_answers() {
    let mut seen = BTreeSet::new();
    let without_model = || {
        OPERATIONS
            .iter()
            .filter(|operation| operation.model().is_none())
    };
    for operation in without_model() {
        let text = fs::read_to_string(format!("{FOLDER}/{}.json", operation.name)).unwrap();
        let document: Document = serde_json::from_str(&text).unwrap();
        assert_eq!(document.operation, operation.name);
        assert_eq!(document.version, operation.version);
        for case in &document.cases {
            compare(&document, case, operation.tolerance);
        }
        seen.insert((operation.name, document.cases.len() > 1));
    }
    assert!(seen.len() == without_model().count() && seen.iter().all(|(_, several)| *several));
}

fn compare(document: &Document, case: &Case, tolerance: Tolerance) {
    let title = format!("{}, {}", document.operation, case.name);
    let inputs: Vec<_> = case.inputs.iter().map(|input| input.0.as_slice()).collect();
    let sizes: Vec<_> = inputs
        .iter()
        .map(|input| u64::try_from(input.len()).unwrap())
        .collect();
    let call = Call::parse(
        &document.operation,
        document.version,
        &case.parameters,
        &sizes,
    );
    let call = call.unwrap_or_else(|fault| panic!("{title}: {fault}"));
    let mut output = vec![0xa5; usize::try_from(call.output_bytes()).unwrap()];
    kernels::operations::run(&call, &inputs, &mut output).unwrap();
    match tolerance {
        Tolerance::Exact => assert_eq!(output, case.output.0, "{title}"),
        Tolerance::Within { absolute, relative } => {
            let numbers_of = |bytes: &[u8]| match document.operation.as_str() {
                "gemm_bf16" => short_numbers(bytes),
                _ => numbers(bytes),
            };
            let wanted = numbers_of(&case.output.0);
            let scale = case
                .scale
                .as_ref()
                .map_or(wanted.clone(), |scale| numbers(&scale.0));
            assert_eq!(output.len(), case.output.0.len(), "{title}");
            for (index, got) in numbers_of(&output).into_iter().enumerate() {
                let (wanted, scale) = (wanted[index], scale[index].abs());
                let close = (got - wanted).abs() <= absolute + relative * scale;
                let same = got == wanted || (got.is_nan() && wanted.is_nan());
                // An infinite scale would make anything close.
                let close = close && got.is_finite() && wanted.is_finite();
                assert!(
                    same || close,
                    "{title}: element {index} is {got}, not {wanted}"
                );
            }
        }
    }
}

/// What candle computes for some sixty texts (`kernels/reference`), with the same model.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Embeddings {
    model: String,
    digest: String,
    answers: Vec<Embedding>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Embedding {
    text: String,
    tokens: u32,
    vector: Bytes,
}

/// Two implementations in binary32 differ in the sixth digit.
const COSINE_MIN: f64 = 0.9999;

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no configuration of its own"
)]
fn the_model_gives_the_vectors_of_candle() {
    let text = fs::read_to_string(format!("{FOLDER}/embed.json")).unwrap();
    let known: Embeddings = serde_json::from_str(&text).unwrap();
    assert_eq!(known.model, ALL_MINILM_L6_V2.name);
    assert_eq!(known.digest, ALL_MINILM_L6_V2.digest().to_string());
    assert!(known.answers.len() >= 60);
    let Some(folder) = std::env::var_os("COCOON_MODEL") else {
        println!("SKIPPED: COCOON_MODEL names no folder with the model");
        return;
    };
    let model = Model::open(Path::new(&folder)).unwrap();
    let operation = Operation::find("embed", 1).unwrap();
    let Tolerance::Within { absolute, .. } = operation.tolerance else {
        panic!("vectors are not exact")
    };
    let texts: Vec<_> = known
        .answers
        .iter()
        .map(|answer| answer.text.as_bytes())
        .collect();
    let mut output = vec![0; texts.len() * 385 * 4];
    embed::run(&model, &texts, &mut output).unwrap();
    let (vectors, counts) = output.split_at(texts.len() * 384 * 4);
    let seen = vectors.chunks_exact(384 * 4).zip(counts.as_chunks().0);
    for ((vector, count), answer) in seen.zip(&known.answers) {
        assert_eq!(
            u32::from_le_bytes(*count),
            answer.tokens,
            "{:?}",
            answer.text
        );
        let (got, wanted) = (numbers(vector), numbers(&answer.vector.0));
        let cosine = dot(&got, &wanted) / (dot(&got, &got) * dot(&wanted, &wanted)).sqrt();
        assert!(cosine >= COSINE_MIN, "{cosine} for {:?}", answer.text);
        let mut pairs = got.iter().zip(&wanted);
        assert!(
            pairs.all(|(got, wanted)| (got - wanted).abs() <= absolute),
            "{:?}",
            answer.text
        );
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(a, b)| f64::from(*a) * f64::from(*b))
        .sum()
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    let (elements, rest) = bytes.as_chunks();
    assert!(rest.is_empty());
    elements
        .iter()
        .map(|element| f32::from_le_bytes(*element))
        .collect()
}

/// Numbers of bfloat16: the upper halves of binary32.
fn short_numbers(bytes: &[u8]) -> Vec<f32> {
    let (elements, rest) = bytes.as_chunks();
    assert!(rest.is_empty());
    elements
        .iter()
        .map(|element| f32::from_bits(u32::from(u16::from_le_bytes(*element)) << 16))
        .collect()
}
