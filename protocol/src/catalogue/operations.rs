//! The entries. Arrays of numbers are little-endian IEEE 754 binary32, row by row, unless an entry says bfloat16: the upper
//! half of a binary32.

use super::models::{ALL_MINILM_L6_V2, EMBEDDING_DIMENSIONS};
use super::{Inputs, Operation, Parameter, ParameterKind, TaskFault, Tolerance, Values};
use crate::limits::{BLOB_BYTES_MAX, EMBED_TEXT_BYTES_MAX, INPUTS_COUNT_MAX};

const F32_BYTES: u64 = 4;
const BF16_BYTES: u64 = 2;
const U32_BYTES: u64 = 4;
const SHA256_BYTES: u64 = 32;

/// One side of a matrix; products are bounded by `BLOB_BYTES_MAX` beside it.
const SIDE_MAX: u64 = BLOB_BYTES_MAX / F32_BYTES;

const fn side(name: &'static str, summary: &'static str) -> Parameter {
    Parameter {
        name,
        kind: ParameterKind::Count {
            min: 1,
            max: SIDE_MAX,
        },
        summary,
    }
}

const ROWS: Parameter = side("rows", "rows of the matrix");
const COLUMNS: Parameter = side("columns", "columns of the matrix");

/// Every operation of this version of the pool.
pub static OPERATIONS: &[Operation] = &[
    Operation {
        name: "embed",
        version: 1,
        summary: "A vector of length 1 for the meaning of each text, by a language model",
        parameters: &[Parameter {
            name: "model",
            kind: ParameterKind::Choice(&[ALL_MINILM_L6_V2.name]),
            summary: "the model; texts beyond its 256 tokens are cut",
        }],
        inputs: Inputs::Many {
            name: "text in UTF-8, at most 65536 bytes",
            min: 1,
            max: INPUTS_COUNT_MAX,
        },
        output: "384 binary32 for each text, then its token count (uint32) for each",
        // On a GPU the operands of matrix products are binary16, with 11 bits: after six layers components of some 0.05
        // differ by a few 1e-4. Token counts are exact.
        tolerance: Tolerance::Within {
            absolute: 2e-3,
            relative: 0.0,
        },
        layout: embed,
    },
    Operation {
        name: "gemm",
        version: 1,
        summary: "Product of an m × k and a k × n matrix",
        parameters: &[
            side("m", "rows of a and of the output"),
            side("n", "columns of b and of the output"),
            side("k", "columns of a, rows of b"),
        ],
        inputs: Inputs::Named(&["a", "b"]),
        output: "m × n binary32",
        tolerance: Tolerance::Within {
            absolute: 1e-6,
            relative: 1e-5,
        },
        layout: gemm,
    },
    Operation {
        name: "gemm_bf16",
        version: 1,
        summary: "Product of two matrices of bfloat16, m × k and k × n, summed in binary32",
        parameters: &[
            side("m", "rows of a and of the output"),
            side("n", "columns of b and of the output"),
            side("k", "columns of a, rows of b"),
        ],
        inputs: Inputs::Named(&["a", "b"]),
        output: "m × n bfloat16",
        // One unit in the last place of bfloat16, which has eight bits: where two sums lie on either side of the middle
        // between two numbers, they round apart.
        tolerance: Tolerance::Within {
            absolute: 1e-6,
            relative: 7.812_5e-3,
        },
        layout: gemm_bf16,
    },
    Operation {
        name: "layer_norm",
        version: 1,
        summary: "Each row shifted to mean 0 and scaled to variance 1, then times gain plus bias",
        parameters: &[
            ROWS,
            COLUMNS,
            Parameter {
                name: "epsilon",
                kind: ParameterKind::Real {
                    min: 1e-12,
                    max: 1.0,
                },
                summary: "added to the variance under the root",
            },
        ],
        inputs: Inputs::Named(&["x", "gain", "bias"]),
        output: "rows × columns binary32",
        tolerance: Tolerance::Within {
            absolute: 1e-5,
            relative: 1e-5,
        },
        layout: layer_norm,
    },
    Operation {
        name: "reduce",
        version: 1,
        summary: "One number for each row: its sum, largest or smallest element",
        parameters: &[
            ROWS,
            COLUMNS,
            Parameter {
                name: "kind",
                kind: ParameterKind::Choice(&["sum", "max", "min"]),
                summary: "what to compute",
            },
        ],
        inputs: Inputs::Named(&["x"]),
        output: "rows binary32",
        tolerance: Tolerance::Within {
            absolute: 1e-6,
            relative: 1e-5,
        },
        layout: reduce,
    },
    Operation {
        name: "saxpy",
        version: 1,
        summary: "alpha × x + y, element by element",
        parameters: &[Parameter {
            name: "alpha",
            kind: ParameterKind::Real {
                min: f32::MIN,
                max: f32::MAX,
            },
            summary: "factor of x",
        }],
        inputs: Inputs::Named(&["x", "y"]),
        output: "as many binary32 as x",
        tolerance: Tolerance::Within {
            absolute: 1e-6,
            relative: 1e-6,
        },
        layout: saxpy,
    },
    Operation {
        name: "sha256_batch",
        version: 1,
        summary: "The SHA-256 digest of each input",
        parameters: &[],
        inputs: Inputs::Many {
            name: "message",
            min: 1,
            max: INPUTS_COUNT_MAX,
        },
        output: "32 bytes for each input, in order",
        tolerance: Tolerance::Exact,
        layout: sha256_batch,
    },
    Operation {
        name: "softmax",
        version: 1,
        summary: "Each row as probabilities: exp(x − max) over its sum",
        parameters: &[ROWS, COLUMNS],
        inputs: Inputs::Named(&["x"]),
        output: "rows × columns binary32",
        tolerance: Tolerance::Within {
            absolute: 1e-6,
            relative: 1e-5,
        },
        layout: same_matrix,
    },
    Operation {
        name: "transpose",
        version: 1,
        summary: "Rows become columns; the four bytes of an element are moved as they are",
        parameters: &[ROWS, COLUMNS],
        inputs: Inputs::Named(&["x"]),
        output: "columns × rows binary32",
        tolerance: Tolerance::Exact,
        layout: same_matrix,
    },
];

fn embed(_: &Values, inputs: &[u64]) -> Result<u64, TaskFault> {
    for (index, &seen) in inputs.iter().enumerate() {
        if seen > EMBED_TEXT_BYTES_MAX {
            return Err(TaskFault::TextTooLarge {
                index,
                seen,
                max: EMBED_TEXT_BYTES_MAX,
            });
        }
    }
    let text_bytes = u128::from(EMBEDDING_DIMENSIONS * F32_BYTES + U32_BYTES);
    let count = u64::try_from(inputs.len()).unwrap_or(u64::MAX);
    bounded(u128::from(count) * text_bytes)
}

fn gemm(values: &Values, inputs: &[u64]) -> Result<u64, TaskFault> {
    let (m, n, k) = (values.count("m"), values.count("n"), values.count("k"));
    expect_bytes(inputs, 0, "a", matrix_bytes(m, k)?)?;
    expect_bytes(inputs, 1, "b", matrix_bytes(k, n)?)?;
    matrix_bytes(m, n)
}

fn gemm_bf16(values: &Values, inputs: &[u64]) -> Result<u64, TaskFault> {
    let (m, n, k) = (values.count("m"), values.count("n"), values.count("k"));
    expect_bytes(inputs, 0, "a", array_bytes(m, k, BF16_BYTES)?)?;
    expect_bytes(inputs, 1, "b", array_bytes(k, n, BF16_BYTES)?)?;
    array_bytes(m, n, BF16_BYTES)
}

fn layer_norm(values: &Values, inputs: &[u64]) -> Result<u64, TaskFault> {
    let row = matrix_bytes(1, values.count("columns"))?;
    expect_bytes(inputs, 1, "gain", row)?;
    expect_bytes(inputs, 2, "bias", row)?;
    same_matrix(values, inputs)
}

fn reduce(values: &Values, inputs: &[u64]) -> Result<u64, TaskFault> {
    same_matrix(values, inputs)?;
    matrix_bytes(values.count("rows"), 1)
}

fn same_matrix(values: &Values, inputs: &[u64]) -> Result<u64, TaskFault> {
    let bytes = matrix_bytes(values.count("rows"), values.count("columns"))?;
    expect_bytes(inputs, 0, "x", bytes)?;
    Ok(bytes)
}

fn saxpy(_: &Values, inputs: &[u64]) -> Result<u64, TaskFault> {
    let bytes = size(inputs, 0);
    if bytes == 0 || !bytes.is_multiple_of(F32_BYTES) {
        let wanted = format!("a multiple of {F32_BYTES} bytes and at least one element");
        return Err(TaskFault::InputBytes {
            index: 0,
            name: "x",
            wanted,
            seen: bytes,
        });
    }
    expect_bytes(inputs, 1, "y", bytes)?;
    Ok(bytes)
}

fn sha256_batch(_: &Values, inputs: &[u64]) -> Result<u64, TaskFault> {
    let count = u64::try_from(inputs.len()).unwrap_or(u64::MAX);
    bounded(u128::from(count) * u128::from(SHA256_BYTES))
}

fn matrix_bytes(rows: u64, columns: u64) -> Result<u64, TaskFault> {
    array_bytes(rows, columns, F32_BYTES)
}

fn array_bytes(rows: u64, columns: u64, element_bytes: u64) -> Result<u64, TaskFault> {
    // Two factors of at most 2^28 and one of at most 4: no product of them leaves 128 bits.
    bounded(u128::from(rows) * u128::from(columns) * u128::from(element_bytes))
}

fn bounded(bytes: u128) -> Result<u64, TaskFault> {
    u64::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes <= BLOB_BYTES_MAX)
        .ok_or(TaskFault::OutputBytes {
            seen: bytes,
            max: BLOB_BYTES_MAX,
        })
}

fn expect_bytes(
    inputs: &[u64],
    index: usize,
    name: &'static str,
    wanted: u64,
) -> Result<(), TaskFault> {
    let seen = size(inputs, index);
    if seen == wanted {
        return Ok(());
    }
    Err(TaskFault::InputBytes {
        index,
        name,
        wanted: format!("{wanted} bytes"),
        seen,
    })
}

/// The count of inputs was compared before any layout runs.
fn size(inputs: &[u64], index: usize) -> u64 {
    inputs.get(index).copied().unwrap_or(0)
}
