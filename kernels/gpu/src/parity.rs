//! Every operation against its CPU definition, within the catalogue's tolerance, through the executor child.

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use half::bf16;
use kernels::executor::{Outcome, Work};
use kernels::operations;
use protocol::catalogue::Tolerance;
use protocol::task::TaskBody;

use crate::child::{LIMIT, spawn};
use crate::device::Device;
use crate::works::{Shape, of_every_operation};

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
];
const SHAPES_QUICK: usize = 4;

pub(crate) fn run(device: &Device, quick: bool) -> Result<()> {
    let shapes = SHAPES.get(..SHAPES_QUICK).filter(|_| quick);
    let mut child = spawn(device)?;
    let mut compared = 0_u32;
    for shape in shapes.unwrap_or(SHAPES) {
        let works = of_every_operation(*shape)?;
        let mut outcomes = vec![None; works.len()];
        child
            .run(&works, LIMIT, &mut |index, outcome| {
                if let Some(place) = outcomes.get_mut(index) {
                    *place = Some(outcome);
                }
            })
            .with_context(|| format!("the executor was lost at {shape:?}"))?;
        for (work, outcome) in works.iter().zip(outcomes) {
            let name = work.call().operation().name;
            match outcome {
                Some(Outcome::Done(output)) => {
                    compare(work, &output).with_context(|| format!("{name} of {shape:?}"))?;
                }
                other => bail!("{name} of {shape:?}: {other:?}"),
            }
            compared += 1;
        }
    }
    println!("parity: {compared} works as their CPU definitions say");
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
