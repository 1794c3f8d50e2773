//! Works of every operation, in any shape.

use anyhow::{Context, Result};
use kernels::executor::Work;
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

/// One work of each operation that the CUDA executor has.
pub(crate) fn of_every_operation(shape: Shape) -> Result<Vec<Work>> {
    let Shape { m, n, .. } = shape;
    let mut works = vec![
        product("gemm", shape)?,
        product("gemm_bf16", shape)?,
        layer_norm(m, n)?,
        saxpy(m * n)?,
        digests(&[0, 1, 55, 56, 63, 64, 65, 128, m * n])?,
        rows("softmax", m, n)?,
        rows("transpose", m, n)?,
    ];
    for kind in ["sum", "max", "min"] {
        works.push(reduce(kind, m, n)?);
    }
    Ok(works)
}

/// `gemm` or `gemm_bf16`.
pub(crate) fn product(operation: &str, shape: Shape) -> Result<Work> {
    let Shape { m, n, k } = shape;
    let numbers = if operation == "gemm" {
        binary32
    } else {
        bfloat16
    };
    work(
        operation,
        json!({"m": m, "n": n, "k": k}),
        vec![numbers(1, m * k), numbers(2, k * n)],
    )
}

/// An operation on a matrix that has no other parameter.
pub(crate) fn rows(operation: &str, rows: usize, columns: usize) -> Result<Work> {
    let x = binary32(3, rows * columns);
    work(
        operation,
        json!({"rows": rows, "columns": columns}),
        vec![x],
    )
}

pub(crate) fn reduce(kind: &str, rows: usize, columns: usize) -> Result<Work> {
    let parameters = json!({"rows": rows, "columns": columns, "kind": kind});
    work("reduce", parameters, vec![binary32(3, rows * columns)])
}

pub(crate) fn layer_norm(rows: usize, columns: usize) -> Result<Work> {
    let parameters = json!({"rows": rows, "columns": columns, "epsilon": 1e-5});
    let inputs = vec![
        binary32(3, rows * columns),
        binary32(4, columns),
        binary32(5, columns),
    ];
    work("layer_norm", parameters, inputs)
}

pub(crate) fn saxpy(count: usize) -> Result<Work> {
    let inputs = vec![binary32(6, count), binary32(7, count)];
    work("saxpy", json!({"alpha": -1.75}), inputs)
}

/// Digests of messages of these lengths.
pub(crate) fn digests(lengths: &[usize]) -> Result<Work> {
    let messages = lengths.iter().map(|length| bytes(8, *length)).collect();
    work("sha256_batch", json!({}), messages)
}

/// Vectors of so many texts of so many words each.
pub(crate) fn embed(count: usize, words: usize) -> Result<Work> {
    let text = vec!["word"; words].join(" ");
    let texts = vec![text.into_bytes(); count];
    work("embed", json!({"model": "all-MiniLM-L6-v2"}), texts)
}
