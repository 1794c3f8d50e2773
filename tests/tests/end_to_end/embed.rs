//! Text through a whole pool: vectors whose neighbours make sense, and a receipt that names the model.

use std::path::PathBuf;
use std::process::Command;

use protocol::api::ReasonCode;
use protocol::catalogue::models::ALL_MINILM_L6_V2;
use protocol::task::TaskState;
use serde_json::json;
use tests::sources::workspace_root;

use crate::commands::Person;
use crate::pool::Pool;

const DIMENSIONS: usize = 384;

/// Pairs of sentences that mean much the same.
const PAIRS: [[&str; 2]; 4] = [
    [
        "Cats sleep for most of the day.",
        "A kitten naps on the windowsill all afternoon.",
    ],
    [
        "The central bank raised its interest rate.",
        "Borrowing became more expensive after the monetary committee met.",
    ],
    [
        "How do I reset my password?",
        "I forgot my login and cannot get into my account.",
    ],
    [
        "It rained so hard that the river flooded the valley.",
        "The storm put the fields by the stream under water.",
    ],
];

#[expect(
    clippy::disallowed_methods,
    reason = "a test has no configuration of its own"
)]
fn model(test: &str) -> Option<PathBuf> {
    let model = std::env::var_os("COCOON_MODEL").map(PathBuf::from);
    if model.is_none() {
        eprintln!("SKIPPED {test}: COCOON_MODEL names no folder with the model");
    }
    model
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn text_becomes_vectors_whose_neighbours_make_sense() {
    let Some(model) = model("text_becomes_vectors_whose_neighbours_make_sense") else {
        return;
    };
    let pool = Pool::with_model(1, model).await;
    let texts: Vec<_> = PAIRS
        .as_flattened()
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .collect();
    let parameters = json!({"model": "all-MiniLM-L6-v2"});
    let task = pool.submit("embed", parameters, &texts).await;
    // Beside it a task whose text is none, which `cocoon` would not submit, and one that needs no model.
    let broken = json!({
        "operation": "embed",
        "parameters": {"model": "all-MiniLM-L6-v2"},
        "inputs": [{"data": "d2hvbGU="}, {"data": "/w=="}],
    });
    let broken = serde_json::from_value(broken).unwrap();
    let broken = pool.client().submit(&broken).await.unwrap();
    let digest = pool.submit("sha256_batch", json!({}), &texts).await;
    let finished = pool.wait_state(task.id, TaskState::Succeeded).await;
    let output = pool.output(&finished).await;
    assert_eq!(output.len(), texts.len() * (DIMENSIONS * 4 + 4));
    let words: Vec<[u8; 4]> = output.as_chunks().0.to_vec();
    let (vectors, counts) = words.split_at(texts.len() * DIMENSIONS);
    let vectors: Vec<f32> = vectors
        .iter()
        .map(|word| f32::from_le_bytes(*word))
        .collect();
    let vectors: Vec<_> = vectors.chunks(DIMENSIONS).collect();
    assert_eq!(u32::from_le_bytes(counts[0]), 10);
    for (index, vector) in vectors.iter().enumerate() {
        assert!(
            (cosine(vector, vector) - 1.0).abs() < 1e-5,
            "length of vector {index}"
        );
        let others = (0..vectors.len()).filter(|other| *other != index);
        let nearest = others
            .max_by(|a, b| cosine(vector, vectors[*a]).total_cmp(&cosine(vector, vectors[*b])));
        assert_eq!(nearest, Some(index ^ 1), "the neighbour of text {index}");
    }
    assert_eq!(
        pool.leaf(&finished).await.model_digest,
        Some(ALL_MINILM_L6_V2.digest())
    );
    let failed = pool.wait_state(broken.id, TaskState::DeadLetter).await;
    assert!(
        failed
            .fault
            .unwrap()
            .contains("text 1 cannot be read: the text is not UTF-8")
    );
    let digested = pool.wait_state(digest.id, TaskState::Succeeded).await;
    assert_eq!(pool.leaf(&digested).await.model_digest, None);
    submit_files(&pool, &output);
}

/// The same texts as files, by `cocoon`, which verifies the receipt.
fn submit_files(pool: &Pool, wanted: &[u8]) {
    let mut arguments = vec!["submit", "embed", "--param", "model=all-MiniLM-L6-v2"];
    let names: Vec<_> = (0..PAIRS.len() * 2)
        .map(|index| format!("text-{index}"))
        .collect();
    for (name, text) in names.iter().zip(PAIRS.as_flattened()) {
        std::fs::write(pool.folder.path().join(name), text).unwrap();
        arguments.push(name);
    }
    arguments.extend(["--wait", "--output", "vectors"]);
    Person::developer(pool).prints("cocoon", &arguments);
    let seen = std::fs::read(pool.folder.path().join("vectors")).unwrap();
    assert_eq!(seen.len(), wanted.len());
    let number = |word: &[u8; 4]| f32::from_le_bytes(*word);
    for (seen, wanted) in seen.as_chunks().0.iter().zip(wanted.as_chunks().0) {
        assert!((number(seen) - number(wanted)).abs() < 1e-5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_a_model_is_given_no_text() {
    let pool = Pool::start(1).await;
    let parameters = json!({"model": "all-MiniLM-L6-v2"});
    let task = pool
        .submit("embed", parameters, &[b"nobody reads this".to_vec()])
        .await;
    // A later task of the same worker is done, and this one still waits.
    let digest = pool
        .submit("sha256_batch", json!({}), &[b"x".to_vec()])
        .await;
    pool.wait_state(digest.id, TaskState::Succeeded).await;
    let waiting = pool.client().task(task.id).await.unwrap();
    assert_eq!((waiting.state, waiting.attempts), (TaskState::Queued, 0));
    let explanation = pool.client().explain_task(task.id).await.unwrap();
    assert_eq!(explanation.reasons[0].code, ReasonCode::NotOffered);
}

/// The first block of Python in a document.
fn python_block(document: &str) -> String {
    let text = std::fs::read_to_string(workspace_root().join(document)).unwrap();
    let (_, block) = text.split_once("```python\n").unwrap();
    block.split_once("```").unwrap().0.to_owned()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test has no configuration of its own"
)]
#[tokio::test(flavor = "multi_thread")]
async fn the_python_of_the_readme_gets_its_vectors() {
    let name = "the_python_of_the_readme_gets_its_vectors";
    let Some(model) = model(name) else { return };
    let Some(package) = std::env::var_os("COCOON_OPENAI") else {
        eprintln!("SKIPPED {name}: COCOON_OPENAI names no folder with the package openai");
        return;
    };
    let pool = Pool::with_model(1, model).await;
    let said = Command::new("python3")
        .args(["-c", &python_block("README.md")])
        .env("PYTHONPATH", package)
        .envs(pool.fleet.environment())
        .output()
        .unwrap();
    assert!(said.status.success(), "{said:?}");
    let printed = String::from_utf8(said.stdout).unwrap();
    assert_eq!(printed, "2 vectors of 384 numbers for 13 tokens\n");
}
