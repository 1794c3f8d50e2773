//! How long the device itself computes, inputs in place: kernels that move much and compute little against the copy
//! bandwidth, products of matrices against `PyTorch`'s.

use std::time::Duration;

use anyhow::Result;
use kernels::executor::cuda::CudaExecutor;
use kernels::executor::{PlacedWork, Work};

use super::torch_peer::Torch;
use super::{Rows, gigabytes, rate, real};
use crate::works::{self, SEED, Shape};

const REPETITIONS: u32 = 50;
const REPETITIONS_QUICK: u32 = 2;
/// Rows as they come in language models, and few long ones.
const MATRICES: &[(usize, usize)] = &[(65_536, 1_024), (8_192, 8_192), (512, 131_072)];
const MATRICES_QUICK: &[(usize, usize)] = &[(64, 128)];
const SIDES: &[usize] = &[1_024, 2_048, 4_096, 8_192];
const SIDES_QUICK: &[usize] = &[64];

/// Kernels against the copy bandwidth: bytes that must be read and written, by the time that they take.
pub(super) fn memory_bound(
    rows: &mut Rows,
    own: &mut CudaExecutor,
    copy_bytes_per_s: f64,
    torch: &Torch,
    quick: bool,
) -> Result<()> {
    for &(count, columns) in if quick { MATRICES_QUICK } else { MATRICES } {
        let shape = format!("{count} x {columns}");
        for (name, work) in [
            ("saxpy", works::saxpy(count * columns, SEED)?),
            ("reduce sum", works::reduce("sum", count, columns, SEED)?),
            ("softmax", works::rows("softmax", count, columns, SEED)?),
            ("layer_norm", works::layer_norm(count, columns, SEED)?),
            ("transpose", works::rows("transpose", count, columns, SEED)?),
        ] {
            let bytes_per_s = rate(bytes_of(&work), time(own, &work, quick)?);
            let peer = torch.bytes_per_s(name, count, columns);
            let peer = peer.map_or(String::new(), |peer| {
                format!(", PyTorch {}", gigabytes(peer))
            });
            rows.add(
                name,
                &shape,
                gigabytes(bytes_per_s),
                format!("copy {}{peer}", gigabytes(copy_bytes_per_s)),
                Some(bytes_per_s / copy_bytes_per_s),
            );
        }
    }
    Ok(())
}

/// Products, in operations a second: a multiplication and an addition for each of m · n · k.
pub(super) fn products(
    rows: &mut Rows,
    own: &mut CudaExecutor,
    torch: &Torch,
    quick: bool,
) -> Result<()> {
    for operation in ["gemm", "gemm_bf16"] {
        for &side in if quick { SIDES_QUICK } else { SIDES } {
            let shape = Shape {
                m: side,
                n: side,
                k: side,
            };
            let work = works::product(operation, shape, SEED)?;
            let operations = 2.0 * real(side).powi(3);
            let seen = rate(operations, time(own, &work, quick)?);
            let peer = torch.operations_per_s(operation, side);
            rows.add(
                operation,
                &format!("{side}^3"),
                teraflops(seen),
                peer.map_or_else(
                    || "no PyTorch".to_owned(),
                    |peer| format!("PyTorch {}", teraflops(peer)),
                ),
                peer.map(|peer| seen / peer),
            );
        }
    }
    Ok(())
}

/// For one computation.
fn time(own: &mut CudaExecutor, work: &Work, quick: bool) -> Result<Duration> {
    let repetitions = if quick {
        REPETITIONS_QUICK
    } else {
        REPETITIONS
    };
    let mut output = vec![0; usize::try_from(work.call().output_bytes())?];
    let placed = PlacedWork {
        call: work.call().clone(),
        inputs: work.inputs().iter().map(|input| &input[..]).collect(),
        output: &mut output,
    };
    Ok(own.time(&placed, repetitions)? / repetitions)
}

fn bytes_of(work: &Work) -> f64 {
    let inputs = work.inputs().iter().map(bytes::Bytes::len);
    let output = usize::try_from(work.call().output_bytes()).unwrap_or(0);
    real(inputs.sum::<usize>() + output)
}

fn teraflops(operations_per_s: f64) -> String {
    format!("{:.1} TFLOP/s", operations_per_s / 1e12)
}
