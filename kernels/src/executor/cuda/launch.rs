//! What the device is to do for each operation: which kernel, how many threads, which arguments. Decided in plain code.

use protocol::catalogue::{Call, Values};

use super::products::{Number, Shape};
use crate::module::{Kernel, ParameterKind};

/// Threads of a block, of kernels that take any number.
pub(super) const BLOCK_THREADS: u32 = 256;
/// Threads that a multiprocessor holds at once. The kernels' blocks take one part after another, so more of them than run at
/// once would only wait.
const PROCESSOR_THREADS: u32 = 2_048;
pub(super) const WARP_THREADS: u32 = 32;
/// The tile of `transpose`, and the block that takes it.
const TILE: u64 = 64;
const TILE_BLOCK: [u32; 2] = [32, 8];

const _: () = assert!(TILE_BLOCK[0] * TILE_BLOCK[1] == BLOCK_THREADS);

/// One kernel, with everything that it is given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Launch {
    pub(super) kernel: &'static str,
    pub(super) grid: [u32; 3],
    pub(super) block: [u32; 2],
    pub(super) arguments: Vec<Argument>,
}

/// One argument, by the bits that the kernel reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Argument {
    Address(u64),
    Count(u64),
    SmallCount(u32),
    Real(u32),
}

impl Argument {
    pub(super) fn bits(self) -> u64 {
        match self {
            Self::Address(bits) | Self::Count(bits) => bits,
            Self::SmallCount(bits) | Self::Real(bits) => u64::from(bits),
        }
    }

    fn is_a(self, kind: ParameterKind) -> bool {
        matches!(
            (self, kind),
            (Self::Address(_), ParameterKind::Pointer)
                | (Self::Count(_), ParameterKind::U64)
                | (Self::SmallCount(_), ParameterKind::U32)
                | (Self::Real(_), ParameterKind::F32)
        )
    }
}

impl Launch {
    /// Whether it is as the module's manifest says of its kernel: as many arguments of the same kinds, and no larger block.
    pub(super) fn agrees_with(&self, kernel: &Kernel) -> bool {
        let [x, y] = self.block;
        self.kernel == kernel.name
            && x.saturating_mul(y) <= kernel.block_threads_max
            && self.arguments.len() == kernel.parameters.len()
            && self
                .arguments
                .iter()
                .zip(&kernel.parameters)
                .all(|(argument, parameter)| argument.is_a(parameter.kind))
    }
}

/// What one work needs of the device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Launch(Launch),
    Product(Product),
}

/// A product of matrices, by cuBLASLt.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Product {
    pub(super) shape: Shape,
    pub(super) a: u64,
    pub(super) b: u64,
    pub(super) output: u64,
}

/// Addresses of one work's inputs, in the catalogue's order, and of its output.
#[derive(Debug)]
pub(super) struct Places<'a> {
    pub(super) inputs: &'a [u64],
    pub(super) output: u64,
}

/// The kernels that steps launch.
pub(super) const KERNELS: [&str; 13] = [
    "embed_attention",
    "embed_bias_gelu",
    "embed_gather_norm",
    "embed_pool",
    "embed_residual_norm",
    "layer_norm",
    "reduce_max",
    "reduce_min",
    "reduce_sum",
    "saxpy",
    "sha256_batch",
    "softmax",
    "transpose",
];

/// Whether this executor has the operation.
pub(super) fn is_supported(name: &str, version: u32) -> bool {
    const NAMES: [&str; 9] = [
        "embed",
        "gemm",
        "gemm_bf16",
        "layer_norm",
        "reduce",
        "saxpy",
        "sha256_batch",
        "softmax",
        "transpose",
    ];
    version == 1 && NAMES.contains(&name)
}

/// The step of one work; nothing for an operation that this executor has not, or that is taken together with others of its
/// kind ([`digests`]).
pub(super) fn step(call: &Call, places: &Places<'_>, processors: u32) -> Option<Step> {
    let values = call.values();
    let &[first, ..] = places.inputs else {
        return None;
    };
    let second = places.inputs.get(1).copied().unwrap_or(0);
    let rows = |kernel, real: Option<f32>| {
        let mut arguments: Vec<_> = places
            .inputs
            .iter()
            .map(|address| Argument::Address(*address))
            .collect();
        let count = |name| Argument::Count(values.count(name));
        arguments.extend([
            Argument::Address(places.output),
            count("rows"),
            count("columns"),
        ]);
        arguments.extend(real.map(|real| Argument::Real(real.to_bits())));
        let (grid, threads) = row_grid(values.count("rows"), values.count("columns"), processors);
        Step::Launch(Launch {
            kernel,
            grid: [grid, 1, 1],
            block: [threads, 1],
            arguments,
        })
    };
    let product = |number| {
        let shape = Shape {
            number,
            m: values.count("m"),
            n: values.count("n"),
            k: values.count("k"),
        };
        Step::Product(Product {
            shape,
            a: first,
            b: second,
            output: places.output,
        })
    };
    let step = match call.operation().name {
        "gemm" => product(Number::Binary32),
        "gemm_bf16" => product(Number::Bfloat16),
        "layer_norm" => rows("layer_norm", Some(values.real("epsilon"))),
        "softmax" => rows("softmax", None),
        "reduce" => match values.choice("kind") {
            "sum" => rows("reduce_sum", None),
            "max" => rows("reduce_max", None),
            "min" => rows("reduce_min", None),
            _ => return None,
        },
        "saxpy" => saxpy(call, places, processors)?,
        "transpose" => transpose(values, first, places.output, processors),
        _ => return None,
    };
    Some(step)
}

fn saxpy(call: &Call, places: &Places<'_>, processors: u32) -> Option<Step> {
    let &[x, y] = places.inputs else { return None };
    let count = call.output_bytes() / 4;
    // A thread takes four elements at once.
    let parts = count.div_ceil(4).div_ceil(u64::from(BLOCK_THREADS));
    Some(Step::Launch(Launch {
        kernel: "saxpy",
        grid: [grid(parts, BLOCK_THREADS, processors), 1, 1],
        block: [BLOCK_THREADS, 1],
        arguments: vec![
            Argument::Real(call.values().real("alpha").to_bits()),
            Argument::Address(x),
            Argument::Address(y),
            Argument::Address(places.output),
            Argument::Count(count),
        ],
    }))
}

fn transpose(values: &Values, x: u64, output: u64, processors: u32) -> Step {
    let (rows, columns) = (values.count("rows"), values.count("columns"));
    let tiles = rows.div_ceil(TILE).saturating_mul(columns.div_ceil(TILE));
    Step::Launch(Launch {
        kernel: "transpose",
        grid: [grid(tiles, BLOCK_THREADS, processors), 1, 1],
        block: TILE_BLOCK,
        arguments: vec![
            Argument::Address(x),
            Argument::Address(output),
            Argument::Count(rows),
            Argument::Count(columns),
        ],
    })
}

/// One launch for every message of any number of `sha256_batch` works: a message is one thread's, so that only many of them
/// keep a device busy.
pub(super) fn digests(
    [messages, offsets, lengths, output]: [u64; 4],
    count: u64,
    processors: u32,
) -> Step {
    // Few threads for each block: the messages spread over all multiprocessors.
    const THREADS: u32 = 64;
    Step::Launch(Launch {
        kernel: "sha256_batch",
        grid: [
            grid(count.div_ceil(u64::from(THREADS)), THREADS, processors),
            1,
            1,
        ],
        block: [THREADS, 1],
        arguments: vec![
            Argument::Address(messages),
            Argument::Address(offsets),
            Argument::Address(lengths),
            Argument::Address(output),
            Argument::Count(count),
        ],
    })
}

/// A block for each part, up to what runs at once.
pub(super) fn grid(parts: u64, block_threads: u32, processors: u32) -> u32 {
    let most = processors.saturating_mul(PROCESSOR_THREADS / block_threads);
    u32::try_from(parts)
        .unwrap_or(u32::MAX)
        .clamp(1, most.max(1))
}

/// Grid and block for rows. The kernels take rows of at most 512 columns by a warp, longer ones by a block; a thread keeps up
/// to 16 elements in registers, so the best block is the smallest that keeps a row, of 512 threads at most.
fn row_grid(rows: u64, columns: u64, processors: u32) -> (u32, u32) {
    const HELD_MAX: u64 = 16;
    const THREADS_MAX: u64 = 512;
    let warp = u64::from(WARP_THREADS);
    if columns <= warp * HELD_MAX {
        let rows_of_block = u64::from(BLOCK_THREADS / WARP_THREADS);
        let parts = rows.div_ceil(rows_of_block);
        return (grid(parts, BLOCK_THREADS, processors), BLOCK_THREADS);
    }
    let threads = columns.div_ceil(HELD_MAX).next_multiple_of(warp);
    let threads = u32::try_from(threads.min(THREADS_MAX)).unwrap_or(BLOCK_THREADS);
    (grid(rows, threads, processors), threads)
}

#[cfg(test)]
mod tests;
