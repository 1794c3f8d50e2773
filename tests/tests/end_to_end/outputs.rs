//! Outputs that come out of a whole pool equal an independent reference: `sha256sum` for digests, numpy for numbers.

use std::process::Command;

use protocol::catalogue::{Operation, Tolerance};
use protocol::task::TaskState;
use serde_json::{Value, json};

use crate::pool::Pool;

#[tokio::test(flavor = "multi_thread")]
async fn digests_are_those_of_sha256sum() {
    let pool = Pool::start(1).await;
    // Empty, small, around a block, and too large to travel inline.
    let contents: Vec<Vec<u8>> = [0, 1, 55, 56, 64, 65_536, 65_537, 1_000_003]
        .iter()
        .map(|&length: &u32| {
            (0..length)
                .map(|position| position.to_le_bytes()[0])
                .collect()
        })
        .collect();
    let task = pool.submit("sha256_batch", json!({}), &contents).await;
    let finished = pool.wait_state(task.id, TaskState::Succeeded).await;
    let output = pool.output(&finished).await;
    let leaf = pool.leaf(&finished).await;
    for (index, content) in contents.iter().enumerate() {
        let digest = hex::encode(&output[index * 32..][..32]);
        assert_eq!(digest, sha256sum(&pool, content), "input {index}");
        assert_eq!(
            leaf.inputs[index].to_string(),
            digest,
            "the receipt names another input"
        );
    }
}

/// One request: queued, leased, computed, signed and confirmed by the time of its answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_task_is_one_request() {
    let pool = Pool::start(1).await;
    let task = tests::load::task(7);
    let finished = pool.client().submit_and_wait(&task).await.unwrap();
    assert_eq!(finished.state, TaskState::Succeeded, "{finished:?}");
    assert_eq!(pool.client().task(finished.id).await.unwrap(), finished);
    assert_eq!(pool.output(&finished).await.len(), 32);
}

fn sha256sum(pool: &Pool, content: &[u8]) -> String {
    let path = pool.folder.path().join("content");
    std::fs::write(&path, content).unwrap();
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

fn bytes(numbers: &[f32]) -> Vec<u8> {
    numbers
        .iter()
        .flat_map(|number| number.to_le_bytes())
        .collect()
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks(4)
        .map(|chunk| f32::from_le_bytes(chunk.try_into().unwrap()))
        .collect()
}

/// An operation with parameters and inputs, and what numpy gives.
type Case = (&'static str, Value, Vec<Vec<f32>>, Vec<f32>);

/// The references were printed by numpy in binary64 and rounded once; `kernels/tests/known-answers` has many more.
fn cases() -> Vec<Case> {
    let x: [f32; 6] = [0.5, -1.25, 3.0, 2.0, 0.0, -0.75];
    vec![
        (
            "saxpy",
            json!({"alpha": -2.5}),
            vec![x.to_vec(), vec![1.0; 6]],
            vec![-0.25, 4.125, -6.5, -4.0, 1.0, 2.875],
        ),
        (
            "reduce",
            json!({"rows": 2, "columns": 3, "kind": "sum"}),
            vec![x.to_vec()],
            vec![2.25, 1.25],
        ),
        (
            "reduce",
            json!({"rows": 2, "columns": 3, "kind": "max"}),
            vec![x.to_vec()],
            vec![3.0, 2.0],
        ),
        (
            "reduce",
            json!({"rows": 2, "columns": 3, "kind": "min"}),
            vec![x.to_vec()],
            vec![-1.25, -0.75],
        ),
        (
            "transpose",
            json!({"rows": 2, "columns": 3}),
            vec![x.to_vec()],
            vec![0.5, 2.0, -1.25, 0.0, 3.0, -0.75],
        ),
        (
            "softmax",
            json!({"rows": 2, "columns": 3}),
            vec![x.to_vec()],
            vec![
                0.074_871_21,
                0.013_010_666,
                0.912_118_14,
                0.833_845_4,
                0.112_848_7,
                0.053_305_95,
            ],
        ),
        (
            "layer_norm",
            json!({"rows": 2, "columns": 3, "epsilon": 1e-5}),
            vec![x.to_vec(), vec![1.0, 2.0, 0.5], vec![0.0, -1.0, 0.25]],
            vec![
                -0.143_345_31,
                -3.293_525,
                0.895_053_86,
                1.364_115_5,
                -1.717_955_5,
                -0.252_568_84,
            ],
        ),
        (
            "gemm",
            json!({"m": 2, "n": 2, "k": 3}),
            vec![x.to_vec(), vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]],
            vec![11.75, 14.0, -1.75, -0.5],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_are_those_of_numpy() {
    let pool = Pool::start(1).await;
    for (operation, parameters, inputs, expected) in cases() {
        let inputs: Vec<_> = inputs.iter().map(|input| bytes(input)).collect();
        let task = pool.submit(operation, parameters, &inputs).await;
        let finished = pool.wait_state(task.id, TaskState::Succeeded).await;
        let seen = numbers(&pool.output(&finished).await);
        assert_eq!(seen.len(), expected.len(), "{operation}");
        for (seen, wanted) in seen.iter().zip(&expected) {
            let tolerance = match Operation::find(operation, 1).unwrap().tolerance {
                Tolerance::Exact => 0.0,
                Tolerance::Within { absolute, relative } => absolute + relative * f32::abs(*wanted),
            };
            assert!(
                (seen - wanted).abs() <= tolerance,
                "{operation}: {seen}, numpy {wanted}"
            );
        }
    }
}
