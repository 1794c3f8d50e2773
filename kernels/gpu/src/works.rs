//! Works of every operation, in any shape.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use kernels::executor::Work;
use protocol::catalogue::OPERATIONS;
use protocol::task::{InputDescriptor, TaskBody};
use serde_json::{Value, json};

use crate::numbers::{bfloat16, binary32, bytes};

/// Matrices of `m` rows and `n` columns; products have `k` in between.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
}

/// Where it does not matter which numbers they are.
pub(crate) const SEED: u64 = 1;

/// One work.
pub(crate) fn work(operation: &str, parameters: Value, inputs: Vec<Vec<u8>>) -> Result<Work> {
    let body = TaskBody {
        operation: operation.to_owned(),
        version: 1,
        parameters: serde_json::from_value(parameters).context("parameters")?,
        inputs: inputs
            .iter()
            .map(|input| InputDescriptor::of(input))
            .collect(),
    };
    let body = body.canonical().context("the body has a canonical form")?;
    let inputs = inputs.into_iter().map(Into::into).collect();
    Work::parse(body.into(), inputs).with_context(|| format!("{operation} fits the catalogue"))
}

/// One work of each operation that needs no model; other numbers with another seed.
pub(crate) fn of_every_operation(shape: Shape, seed: u64) -> Result<Vec<Work>> {
    let Shape { m, n, .. } = shape;
    let mut works = vec![
        product("gemm", shape, seed)?,
        product("gemm_bf16", shape, seed)?,
        layer_norm(m, n, seed)?,
        saxpy(m * n, seed)?,
        digests(&[0, 1, 55, 56, 63, 64, 65, 128, m * n], seed)?,
        rows("softmax", m, n, seed)?,
        rows("transpose", m, n, seed)?,
    ];
    for kind in ["sum", "max", "min"] {
        works.push(reduce(kind, m, n, seed)?);
    }
    let names: BTreeSet<_> = works
        .iter()
        .map(|work| work.call().operation().name)
        .collect();
    let catalogue = OPERATIONS
        .iter()
        .filter(|operation| operation.model().is_none());
    let missing: Vec<_> = catalogue
        .map(|operation| operation.name)
        .filter(|name| !names.contains(name))
        .collect();
    ensure!(missing.is_empty(), "no work of {missing:?}");
    Ok(works)
}

/// `gemm` or `gemm_bf16`.
pub(crate) fn product(operation: &str, shape: Shape, seed: u64) -> Result<Work> {
    let Shape { m, n, k } = shape;
    let numbers = if operation == "gemm" {
        binary32
    } else {
        bfloat16
    };
    work(
        operation,
        json!({"m": m, "n": n, "k": k}),
        vec![numbers(seed, m * k), numbers(!seed, k * n)],
    )
}

/// An operation on a matrix that has no other parameter.
pub(crate) fn rows(operation: &str, rows: usize, columns: usize, seed: u64) -> Result<Work> {
    let x = binary32(seed, rows * columns);
    work(
        operation,
        json!({"rows": rows, "columns": columns}),
        vec![x],
    )
}

pub(crate) fn reduce(kind: &str, rows: usize, columns: usize, seed: u64) -> Result<Work> {
    let parameters = json!({"rows": rows, "columns": columns, "kind": kind});
    work("reduce", parameters, vec![binary32(seed, rows * columns)])
}

pub(crate) fn layer_norm(rows: usize, columns: usize, seed: u64) -> Result<Work> {
    let parameters = json!({"rows": rows, "columns": columns, "epsilon": 1e-5});
    let inputs = vec![
        binary32(seed, rows * columns),
        binary32(!seed, columns),
        binary32(seed, columns),
    ];
    work("layer_norm", parameters, inputs)
}

pub(crate) fn saxpy(count: usize, seed: u64) -> Result<Work> {
    let inputs = vec![binary32(seed, count), binary32(!seed, count)];
    work("saxpy", json!({"alpha": -1.75}), inputs)
}

/// Digests of messages of these lengths.
pub(crate) fn digests(lengths: &[usize], seed: u64) -> Result<Work> {
    let messages = lengths.iter().map(|length| bytes(seed, *length)).collect();
    work("sha256_batch", json!({}), messages)
}

/// Words that the tokeniser knows as one token each; the peer's script has the same.
const WORDS: [&str; 10] = [
    "river", "stone", "market", "winter", "paper", "engine", "garden", "letter", "window", "music",
];

/// Vectors of so many texts of so many words each, no two alike.
pub(crate) fn embed(count: usize, words: usize) -> Result<Work> {
    embed_texts((0..count).map(|text| text_of(text, words)))
}

/// Vectors of these texts.
pub(crate) fn embed_texts(texts: impl Iterator<Item = String>) -> Result<Work> {
    let texts = texts.map(String::into_bytes).collect();
    work("embed", json!({"model": "all-MiniLM-L6-v2"}), texts)
}

/// The text of this number; its words depend on the number too.
pub(crate) fn text_of(number: usize, words: usize) -> String {
    let chosen = (0..words).filter_map(|word| WORDS.get((number * 7 + word * 3) % WORDS.len()));
    chosen.copied().collect::<Vec<_>>().join(" ")
}
