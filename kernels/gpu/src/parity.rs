//! Every operation against its CPU definition, within the catalogue's tolerance, through the executor child: each shape
//! three times, because a child begins a lot of works differently when it comes again (recorded, then replayed), and works
//! that no slot holds. `embed` needs a model.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use half::bf16;
use kernels::embed::Model;
use kernels::executor::{ExecutorChild, Outcome, Work};
use kernels::operations;
use protocol::catalogue::Tolerance;
use protocol::task::TaskBody;

use crate::child::{LIMIT, spawn};
use crate::device::Device;
use crate::works::{Shape, embed, of_every_operation};

/// Even, odd, narrower than a warp, wider than a tile, and large enough for every multiprocessor to take part.
const SHAPES: &[Shape] = &[
    Shape { m: 1, n: 1, k: 1 },
    Shape { m: 3, n: 5, k: 7 },
    Shape {
        m: 33,
        n: 65,
        k: 31,
    },
    Shape {
        m: 64,
        n: 256,
        k: 128,
    },
    Shape {
        m: 2,
        n: 10_007,
        k: 3,
    },
    Shape {
        m: 4_099,
        n: 4,
        k: 5,
    },
    Shape {
        m: 1_024,
        n: 1_023,
        k: 1_025,
    },
    // Rows that are taken part by part, four at a time, with a last part for some threads alone.
    Shape {
        m: 3,
        n: 16_404,
        k: 3,
    },
    // More rows than warps, and than blocks, that run at once.
    Shape {
        m: 40_000,
        n: 64,
        k: 3,
    },
    Shape {
        m: 8_000,
        n: 1_024,
        k: 3,
    },
];
const SHAPES_QUICK: usize = 4;
/// A vector of 384 binary32.
const EMBEDDING_BYTES: usize = 384 * 4;
/// What `embed` promises against binary32.
const COSINE_MIN: f64 = 0.9999;

/// Larger than what a child takes to the device in one piece.
const LARGE: Shape = Shape {
    m: 2_500,
    n: 2_048,
    k: 64,
};
const ROUNDS: u64 = 3;

pub(crate) fn run(device: &Device, quick: bool) -> Result<()> {
    let shapes = SHAPES.get(..SHAPES_QUICK).filter(|_| quick);
    let large = if quick { [].as_slice() } else { &[LARGE] };
    let mut child = spawn(device)?;
    let mut compared = 0;
    for shape in shapes.unwrap_or(SHAPES).iter().chain(large) {
        for round in 0..ROUNDS {
            let works = of_every_operation(*shape, round)?;
            compare_all(&mut child, &works, &compare)
                .with_context(|| format!("{shape:?}, round {round}"))?;
            compared += works.len();
        }
    }
    println!("parity: {compared} works as their CPU definitions say");
    if let Some(folder) = &device.model {
        return embeddings(&mut child, folder, quick);
    }
    println!("parity: embed SKIPPED, no --model is given");
    Ok(())
}

/// Compares what the device gives with what was wanted.
type Compare<'a> = &'a dyn Fn(&Work, &[u8]) -> Result<()>;

fn compare_all(child: &mut ExecutorChild, works: &[Work], compare: Compare<'_>) -> Result<()> {
    let mut outcomes = vec![None; works.len()];
    child
        .run(works, LIMIT, &mut |index, outcome| {
            if let Some(place) = outcomes.get_mut(index) {
                *place = Some(outcome);
            }
        })
        .context("the executor was lost")?;
    for (work, outcome) in works.iter().zip(outcomes) {
        let name = work.call().operation().name;
        match outcome {
            Some(Outcome::Done(output)) => compare(work, &output).context(name)?,
            other => bail!("{name}: {other:?}"),
        }
    }
    Ok(())
}

/// Texts on either side of every boundary that the kernels have, alone and together.
fn embeddings(child: &mut ExecutorChild, folder: &Path, quick: bool) -> Result<()> {
    let model = Model::open(folder).context("the model")?;
    let lengths: &[usize] = if quick {
        &[0, 31, 63]
    } else {
        &[0, 1, 29, 30, 31, 61, 62, 63, 64, 126, 254, 300]
    };
    let works: Vec<_> = lengths
        .iter()
        .map(|words| embed(3, *words))
        .collect::<Result<_>>()?;
    for _ in 0..ROUNDS {
        compare_all(child, &works, &|work, output| {
            let inputs: Vec<&[u8]> = work.inputs().iter().map(|input| &input[..]).collect();
            let mut wanted = vec![0; output.len()];
            operations::embed::run(&model, &inputs, &mut wanted)?;
            compare_vectors(output, &wanted, inputs.len())
        })?;
    }
    println!("parity: embed of texts of {lengths:?} words as its CPU definition says");
    Ok(())
}

/// The catalogue's promise for the numbers of vectors; token counts are the same.
fn compare_vectors(seen: &[u8], wanted: &[u8], texts: usize) -> Result<()> {
    let numbers = texts * EMBEDDING_BYTES;
    ensure!(
        seen.get(numbers..) == wanted.get(numbers..),
        "the token counts differ"
    );
    let cosine = |seen: &[u8], wanted: &[u8]| -> f64 {
        let pair = |seen: &[u8; 4], wanted: &[u8; 4]| {
            f64::from(f32::from_le_bytes(*seen)) * f64::from(f32::from_le_bytes(*wanted))
        };
        let (seen, _) = seen.as_chunks::<4>();
        let (wanted, _) = wanted.as_chunks::<4>();
        seen.iter().zip(wanted).map(|(a, b)| pair(a, b)).sum()
    };
    let vectors = seen
        .chunks(EMBEDDING_BYTES)
        .zip(wanted.chunks(EMBEDDING_BYTES));
    for (text, (seen, wanted)) in vectors.take(texts).enumerate() {
        let cosine = cosine(seen, wanted) / (cosine(seen, seen) * cosine(wanted, wanted)).sqrt();
        ensure!(cosine >= COSINE_MIN, "text {text}: cosine {cosine}");
    }
    Ok(())
}

/// The CPU definition's output.
pub(crate) fn defined(work: &Work) -> Result<Vec<u8>> {
    let inputs: Vec<&[u8]> = work.inputs().iter().map(|input| &input[..]).collect();
    let mut output = vec![0; usize::try_from(work.call().output_bytes())?];
    operations::run(work.call(), &inputs, &mut output)?;
    Ok(output)
}

fn compare(work: &Work, output: &[u8]) -> Result<()> {
    let wanted = defined(work)?;
    let Tolerance::Within { absolute, relative } = work.call().operation().tolerance else {
        ensure!(output == wanted, "the bytes differ");
        return Ok(());
    };
    let scale = reals(work, &defined(&positive(work)?)?);
    let (seen, wanted) = (reals(work, output), reals(work, &wanted));
    ensure!(seen.len() == wanted.len(), "the sizes differ");
    for (index, ((seen, wanted), scale)) in seen.iter().zip(&wanted).zip(&scale).enumerate() {
        let magnitude = if adds(work) {
            scale.abs()
        } else {
            wanted.abs()
        };
        let is_close = (seen - wanted).abs() <= absolute + relative * magnitude;
        ensure!(is_close, "element {index} is {seen}, not {wanted}");
    }
    Ok(())
}

/// Where an operation adds, the scale is the sum of the magnitudes.
fn adds(work: &Work) -> bool {
    let name = work.call().operation().name;
    matches!(name, "gemm" | "gemm_bf16" | "saxpy" | "reduce")
}

/// The same work with every number positive.
fn positive(work: &Work) -> Result<Work> {
    let mut body = TaskBody::from_canonical(work.body())?;
    if let Some(alpha) = body.parameters.get_mut("alpha") {
        *alpha = alpha.as_f64().map_or(0.0, f64::abs).into();
    }
    let element_bytes = element_bytes(work);
    let positive = |input: &Bytes| {
        let mut bytes = input.to_vec();
        for sign in bytes
            .iter_mut()
            .skip(element_bytes - 1)
            .step_by(element_bytes)
        {
            *sign &= 0x7f;
        }
        bytes
    };
    let inputs = work.inputs().iter().map(positive).collect();
    let parameters = serde_json::Value::Object(body.parameters);
    crate::works::work(&body.operation, parameters, inputs)
}

fn element_bytes(work: &Work) -> usize {
    match work.call().operation().name {
        "gemm_bf16" => 2,
        _ => 4,
    }
}

fn reals(work: &Work, bytes: &[u8]) -> Vec<f32> {
    if element_bytes(work) == 2 {
        let elements = bytes.as_chunks::<2>().0.iter();
        return elements
            .map(|element| bf16::from_le_bytes(*element).to_f32())
            .collect();
    }
    let elements = bytes.as_chunks::<4>().0.iter();
    elements
        .map(|element| f32::from_le_bytes(*element))
        .collect()
}
