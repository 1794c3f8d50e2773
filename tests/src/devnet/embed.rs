//! The devnet's texts: those of the known answers, with the vectors that candle gives for them.

use anyhow::{Context, Result};
use client::task::{Input, PreparedTask};
use serde::Deserialize;
use serde_json::json;

use super::work::{Expected, Work};
use crate::sources::workspace_root;

/// Texts of one task.
const GROUP: usize = 8;
const DIMENSIONS: usize = 384;
/// Cosine of the angle to the reference: that of two implementations in binary32 is nearer to 1.
const COSINE_MIN: f64 = 0.9999;

/// `kernels/tests/known-answers/embed.json`.
#[derive(Deserialize)]
struct KnownAnswers {
    model: String,
    answers: Vec<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    text: String,
    tokens: u32,
    #[serde(with = "hex")]
    vector: Vec<u8>,
}

/// The vectors and token counts of one task's texts.
#[derive(Debug)]
pub(crate) struct Embeddings {
    vectors: Vec<Vec<f64>>,
    tokens: Vec<u32>,
}

impl Embeddings {
    /// Whether an output has these counts, and vectors in these directions.
    pub(super) fn are(&self, output: &[u8]) -> bool {
        let (vectors, counts) =
            output.split_at(output.len().min(self.tokens.len() * DIMENSIONS * 4));
        let tokens: Vec<_> = self
            .tokens
            .iter()
            .flat_map(|count| count.to_le_bytes())
            .collect();
        let seen: Vec<_> = vectors.chunks(DIMENSIONS * 4).map(numbers).collect();
        let mut pairs = seen.iter().zip(&self.vectors);
        counts == tokens
            && seen.len() == self.vectors.len()
            && pairs.all(|(seen, wanted)| cosine(seen, wanted) >= COSINE_MIN)
    }
}

fn numbers(bytes: &[u8]) -> Vec<f64> {
    let elements = bytes.as_chunks().0.iter();
    elements
        .map(|element| f64::from(f32::from_le_bytes(*element)))
        .collect()
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

/// A task for each few texts.
pub(super) fn plan() -> Result<Vec<Work>> {
    let path = workspace_root().join("kernels/tests/known-answers/embed.json");
    let text = std::fs::read_to_string(&path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let known: KnownAnswers = serde_json::from_str(&text).context("the known answers")?;
    let groups = known.answers.chunks(GROUP);
    groups.map(|group| task(&known.model, group)).collect()
}

fn task(model: &str, answers: &[Answer]) -> Result<Work> {
    let parameters = serde_json::from_value(json!({"model": model}));
    let inputs = answers
        .iter()
        .map(|answer| Input::from_bytes("text", answer.text.clone()));
    let parameters = parameters.context("parameters are a JSON object")?;
    Ok(Work {
        task: PreparedTask::new("embed", None, parameters, inputs.collect())?,
        expected: Expected::Embeddings(Embeddings {
            vectors: answers
                .iter()
                .map(|answer| numbers(&answer.vector))
                .collect(),
            tokens: answers.iter().map(|answer| answer.tokens).collect(),
        }),
    })
}
