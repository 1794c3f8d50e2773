//! BERT written out in binary64, token by token, from the tensors as they lie in the file.

use std::f64::consts::SQRT_2;

use super::{HIDDEN, Tensor};

const HEADS: usize = 3;
const LAYERS: usize = 2;

type Row = Vec<f64>;

struct Definition<'a>(&'a [Tensor]);

impl Definition<'_> {
    fn rows(&self, name: &str) -> Vec<Row> {
        let tensor = self.0.iter().find(|tensor| tensor.name == name).unwrap();
        let numbers = tensor.bytes.as_chunks().0.iter();
        let numbers: Vec<_> = numbers.map(|x| f64::from(f32::from_le_bytes(*x))).collect();
        numbers
            .chunks(*tensor.shape.last().unwrap())
            .map(<[f64]>::to_vec)
            .collect()
    }

    fn dense(&self, name: &str, input: &Row) -> Row {
        let bias = self.rows(&format!("{name}.bias")).remove(0);
        let weight = self.rows(&format!("{name}.weight"));
        let outputs = weight.iter().zip(bias);
        outputs.map(|(row, bias)| dot(row, input) + bias).collect()
    }

    fn norm(&self, name: &str, input: &Row) -> Row {
        let count = f64::from(u32::try_from(input.len()).unwrap());
        let mean = input.iter().sum::<f64>() / count;
        let variance = input.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        let gain = self.rows(&format!("{name}.weight")).remove(0);
        let bias = self.rows(&format!("{name}.bias")).remove(0);
        let numbers = input.iter().zip(gain).zip(bias);
        numbers
            .map(|((x, gain), bias)| (x - mean) / (variance + 1e-12).sqrt() * gain + bias)
            .collect()
    }

    fn attention(&self, layer: usize, input: &[Row]) -> Vec<Row> {
        let part = |part: &str| -> Vec<Row> {
            let name = format!("encoder.layer.{layer}.attention.self.{part}");
            input.iter().map(|row| self.dense(&name, row)).collect()
        };
        let (queries, keys, values) = (part("query"), part("key"), part("value"));
        let width = HIDDEN / HEADS;
        let attend = |query: &Row| {
            let mut context = vec![0.0; HIDDEN];
            for first in (0..HIDDEN).step_by(width) {
                let columns = first..first + width;
                let scale = f64::from(u32::try_from(width).unwrap()).sqrt();
                let scores = keys
                    .iter()
                    .map(|key| dot(&query[columns.clone()], &key[columns.clone()]));
                let powers: Vec<_> = scores.map(|score| (score / scale).exp()).collect();
                let sum: f64 = powers.iter().sum();
                for (power, value) in powers.iter().zip(&values) {
                    for column in columns.clone() {
                        context[column] += power / sum * value[column];
                    }
                }
            }
            context
        };
        queries.iter().map(attend).collect()
    }

    fn layer(&self, layer: usize, input: Vec<Row>) -> Vec<Row> {
        let name = |part: &str| format!("encoder.layer.{layer}.{part}");
        let context = self.attention(layer, &input);
        let rows = input.into_iter().zip(context).map(|(input, context)| {
            let output = self.dense(&name("attention.output.dense"), &context);
            let attended = self.norm(&name("attention.output.LayerNorm"), &sum(&input, &output));
            let mut inner = self.dense(&name("intermediate.dense"), &attended);
            for x in &mut inner {
                *x = 0.5 * *x * (1.0 + erf(*x / SQRT_2));
            }
            let output = self.dense(&name("output.dense"), &inner);
            self.norm(&name("output.LayerNorm"), &sum(&attended, &output))
        });
        rows.collect()
    }
}

pub(super) fn embed(tensors: &[Tensor], tokens: &[u32]) -> Row {
    let definition = Definition(tensors);
    let table = |name: &str| definition.rows(&format!("embeddings.{name}_embeddings.weight"));
    let (words, positions, types) = (table("word"), table("position"), table("token_type"));
    let embedded = tokens.iter().zip(positions).map(|(token, position)| {
        let word = &words[usize::try_from(*token).unwrap()];
        definition.norm(
            "embeddings.LayerNorm",
            &sum(&sum(word, &position), &types[0]),
        )
    });
    let mut rows: Vec<Row> = embedded.collect();
    for layer in 0..LAYERS {
        rows = definition.layer(layer, rows);
    }
    let total = rows
        .iter()
        .skip(1)
        .fold(rows[0].clone(), |total, row| sum(&total, row));
    let length = dot(&total, &total).sqrt();
    total.iter().map(|x| x / length).collect()
}

fn sum(a: &Row, b: &Row) -> Row {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The series of Abramowitz and Stegun 7.1.6, whose terms are all positive.
fn erf(x: f64) -> f64 {
    let (mut term, mut total, mut n) = (x, 0.0, 0.0);
    while term.abs() > 1e-18 {
        total += term;
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
    }
    2.0 / std::f64::consts::PI.sqrt() * (-x * x).exp() * total
}
