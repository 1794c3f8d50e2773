//! The catalogue accepts what fits and names what does not.

use serde_json::{Map, Value, json};

use super::{Call, OPERATIONS, Operation, TaskFault};
use crate::problem::{Problem, ProblemCode};

fn parse(name: &str, parameters: Value, input_bytes: &[u64]) -> Result<Call, TaskFault> {
    let parameters: Map<String, Value> = serde_json::from_value(parameters).unwrap();
    Call::parse(name, 1, &parameters, input_bytes)
}

#[test]
fn what_fits_has_a_known_output_size() {
    let fits = [
        (
            "embed",
            json!({"model": "all-MiniLM-L6-v2"}),
            vec![0, 65_536],
            2 * (384 * 4 + 4),
        ),
        ("gemm", json!({"m": 2, "n": 5, "k": 3}), vec![24, 60], 40),
        (
            "gemm_bf16",
            json!({"m": 2, "n": 5, "k": 3}),
            vec![12, 30],
            20,
        ),
        (
            "layer_norm",
            json!({"rows": 4, "columns": 8, "epsilon": 1e-5}),
            vec![128, 32, 32],
            128,
        ),
        (
            "reduce",
            json!({"rows": 4, "columns": 8, "kind": "max"}),
            vec![128],
            16,
        ),
        ("saxpy", json!({"alpha": -2}), vec![12, 12], 12),
        ("sha256_batch", json!({}), vec![0, 1, 7_000_000], 96),
        ("softmax", json!({"rows": 4, "columns": 8}), vec![128], 128),
        (
            "transpose",
            json!({"rows": 4, "columns": 8}),
            vec![128],
            128,
        ),
    ];
    assert_eq!(fits.len(), OPERATIONS.len());
    for (name, parameters, inputs, output_bytes) in fits {
        assert_eq!(
            parse(name, parameters, &inputs).unwrap().output_bytes(),
            output_bytes,
            "{name}"
        );
    }
}

#[test]
fn what_does_not_fit_names_the_field() {
    let refused = [
        ("gemv", json!({}), vec![], "operation"),
        (
            "softmax",
            json!({"rows": 4}),
            vec![128],
            "parameters.columns",
        ),
        (
            "softmax",
            json!({"rows": 4, "columns": 8, "axis": 1}),
            vec![128],
            "parameters.axis",
        ),
        (
            "softmax",
            json!({"rows": 0, "columns": 8}),
            vec![0],
            "parameters.rows",
        ),
        (
            "softmax",
            json!({"rows": -1, "columns": 8}),
            vec![0],
            "parameters.rows",
        ),
        (
            "softmax",
            json!({"rows": 1.5, "columns": 8}),
            vec![0],
            "parameters.rows",
        ),
        (
            "softmax",
            json!({"rows": "4", "columns": 8}),
            vec![0],
            "parameters.rows",
        ),
        (
            "softmax",
            json!({"rows": 4, "columns": 8}),
            vec![124],
            "inputs[0]",
        ),
        (
            "softmax",
            json!({"rows": 4, "columns": 8}),
            vec![128, 128],
            "inputs",
        ),
        (
            "softmax",
            json!({"rows": 100_000, "columns": 100_000}),
            vec![128],
            "parameters",
        ),
    ];
    assert_refused(&refused);
}

#[test]
fn what_does_not_fit_another_operation_names_the_field_too() {
    let refused = [
        (
            "reduce",
            json!({"rows": 4, "columns": 8, "kind": "mean"}),
            vec![128],
            "parameters.kind",
        ),
        (
            "saxpy",
            json!({"alpha": 1e300}),
            vec![12, 12],
            "parameters.alpha",
        ),
        ("saxpy", json!({"alpha": 1}), vec![13, 13], "inputs[0]"),
        ("saxpy", json!({"alpha": 1}), vec![0, 0], "inputs[0]"),
        ("saxpy", json!({"alpha": 1}), vec![12, 16], "inputs[1]"),
        (
            "layer_norm",
            json!({"rows": 4, "columns": 8, "epsilon": 0}),
            vec![128, 32, 32],
            "parameters.epsilon",
        ),
        (
            "layer_norm",
            json!({"rows": 4, "columns": 8, "epsilon": 1e-5}),
            vec![128, 32, 28],
            "inputs[2]",
        ),
        (
            "gemm_bf16",
            json!({"m": 2, "n": 5, "k": 3}),
            vec![24, 60],
            "inputs[0]",
        ),
        ("embed", json!({}), vec![1], "parameters.model"),
        (
            "embed",
            json!({"model": "all-mpnet-base-v2"}),
            vec![1],
            "parameters.model",
        ),
        (
            "embed",
            json!({"model": "all-MiniLM-L6-v2"}),
            vec![1, 65_537],
            "inputs[1]",
        ),
        (
            "embed",
            json!({"model": "all-MiniLM-L6-v2"}),
            vec![1; 257],
            "inputs",
        ),
        ("sha256_batch", json!({}), vec![], "inputs"),
        ("sha256_batch", json!({}), vec![1; 257], "inputs"),
        (
            "sha256_batch",
            json!({}),
            vec![1, 2_000_000_000],
            "inputs[1]",
        ),
        (
            "sha256_batch",
            json!({"padding": "x".repeat(20_000)}),
            vec![1],
            "parameters",
        ),
    ];
    assert_refused(&refused);
}

/// An operation, its parameters, the sizes of its inputs, and the field that the refusal names.
type Refused = (&'static str, Value, Vec<u64>, &'static str);

fn assert_refused(refused: &[Refused]) {
    for (name, parameters, inputs, field) in refused {
        let fault = parse(name, parameters.clone(), inputs).unwrap_err();
        assert_eq!(fault.field(), *field, "{name} {parameters}: {fault}");
    }
}

#[test]
fn a_limit_is_a_413_that_names_it() {
    let fault = parse("sha256_batch", json!({}), &[2_000_000_000]).unwrap_err();
    let problem = Problem::from(fault);
    assert_eq!(
        (problem.code, problem.status),
        (ProblemCode::LimitExceeded, 413)
    );
    assert_eq!(problem.limit.as_deref(), Some("BLOB_BYTES_MAX"));
    let fault = parse("embed", json!({"model": "all-MiniLM-L6-v2"}), &[65_537]).unwrap_err();
    let problem = Problem::from(fault);
    assert_eq!(problem.limit.as_deref(), Some("EMBED_TEXT_BYTES_MAX"));
}

#[test]
fn names_are_sorted_and_versions_found() {
    let names: Vec<_> = OPERATIONS.iter().map(|operation| operation.name).collect();
    assert!(names.is_sorted());
    assert_eq!(Operation::newest_version("gemm"), Some(1));
    let fault = Operation::find("gemm", 9).unwrap_err();
    assert_eq!(
        fault,
        TaskFault::UnknownVersion {
            name: "gemm".to_owned(),
            version: 9,
            newest: 1
        }
    );
}
