//! A lot: works that go to the device together, with one copy in and one copy out. Their inputs lie one behind another in
//! memory that is copied as it is, their outputs behind them.

use std::borrow::Cow;

use protocol::catalogue::Call;

use super::classify::CudaError;
use super::device::DeviceRange;
use super::launch::{self, Places, Step};
use super::products::Products;
use crate::executor::{Fault, PlacedWork};

/// Where arrays begin: what `cuMemAlloc` gives, and what cuBLASLt's fastest algorithms want.
pub(super) const ALIGNMENT_BYTES: usize = 256;
const DIGESTS: &str = "sha256_batch";
/// An offset and a length for each message.
const TABLE_ENTRY_BYTES: usize = 16;

/// A longer message is digested on the CPU. On the device a message is one thread's alone, which would hold up everybody
/// else's for tens of seconds with the longest message that there is.
const DIGESTS_MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Whether the CPU does this work sooner than the device.
pub(super) fn is_for_cpu(work: &PlacedWork<'_>) -> bool {
    let is_long = |message: &&[u8]| message.len() > DIGESTS_MESSAGE_BYTES_MAX;
    is_digests(&work.call) && work.inputs.iter().any(is_long)
}

/// How many works from the front go together, and the memory that they take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    pub(super) count: usize,
    pub(super) bytes: usize,
}

/// As many works as fit into `bytes_max`, up to one that is for the CPU; the first one in any case.
pub(super) fn cut(works: &[PlacedWork<'_>], bytes_max: usize) -> Cut {
    let mut cut = Cut { count: 0, bytes: 0 };
    for work in works {
        let bytes = cut.bytes.saturating_add(bytes_of(work));
        if cut.count > 0 && (bytes > bytes_max || is_for_cpu(work)) {
            break;
        }
        cut = Cut {
            count: cut.count + 1,
            bytes,
        };
    }
    cut
}

/// At most: alignment and tables counted as if the work were alone.
fn bytes_of(work: &PlacedWork<'_>) -> usize {
    let arrays = work.inputs.iter().map(|input| aligned(input.len()));
    let table = work.inputs.len().saturating_mul(TABLE_ENTRY_BYTES);
    let tables = if is_digests(&work.call) {
        aligned(table).saturating_mul(2)
    } else {
        0
    };
    arrays
        .fold(tables, usize::saturating_add)
        .saturating_add(aligned(work.output.len()))
}

fn aligned(bytes: usize) -> usize {
    bytes
        .checked_next_multiple_of(ALIGNMENT_BYTES)
        .unwrap_or(usize::MAX)
}

fn is_digests(call: &Call) -> bool {
    call.operation().name == DIGESTS
}

/// Works with their places and what is to be done for them.
#[derive(Debug)]
pub(super) struct Lot<'a> {
    /// From front to back, by offset.
    inputs: Vec<(usize, Cow<'a, [u8]>)>,
    outputs: Vec<Output>,
    pub(super) shape: LotShape,
    /// Works that cannot be run, with the reason.
    pub(super) refused: Vec<(usize, Fault)>,
}

/// What the device is told. Two lots of one shape in one memory differ in nothing but the bytes of their inputs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct LotShape {
    pub(super) steps: Vec<Step>,
    pub(super) input_bytes: usize,
    pub(super) outputs_at: usize,
    pub(super) bytes: usize,
    /// Of the workspace, by the step that uses most.
    pub(super) workspace_bytes: usize,
}

#[derive(Debug, Clone, Copy)]
struct Output {
    work: usize,
    offset: usize,
    bytes: usize,
}

impl<'a> Lot<'a> {
    /// Lays the works from `first` on out in `memory`, which is as large as [`cut`] said.
    pub(super) fn build(
        works: &[PlacedWork<'a>],
        first: usize,
        memory: DeviceRange,
        products: &mut Products,
        processors: u32,
    ) -> Result<Self, CudaError> {
        let mut builder = Builder {
            memory,
            processors,
            lot: Self {
                inputs: Vec::new(),
                outputs: Vec::new(),
                shape: LotShape::default(),
                refused: Vec::new(),
            },
        };
        let placed: Vec<Vec<u64>> = works
            .iter()
            .map(|work| builder.inputs(&work.inputs))
            .collect::<Result<_, _>>()?;
        let digests: Vec<_> = works
            .iter()
            .enumerate()
            .filter(|(_, work)| is_digests(&work.call))
            .collect();
        let tables = builder.tables(&digests, &placed)?;
        builder.lot.shape.outputs_at = aligned(builder.lot.shape.input_bytes);
        builder.lot.shape.bytes = builder.lot.shape.outputs_at;
        for (index, work) in &digests {
            builder.output(first + index, work.output.len(), 1)?;
        }
        builder.digests(tables)?;
        for (index, (work, inputs)) in works.iter().zip(&placed).enumerate() {
            if !is_digests(&work.call) {
                builder.work(first + index, work, inputs, products)?;
            }
        }
        Ok(builder.lot)
    }

    /// The bytes that go in, from `from` on, as many as `into` has. What lies between two arrays is zero.
    pub(super) fn gather(&self, from: usize, into: &mut [u8]) {
        let end = from.saturating_add(into.len());
        let mut filled = from;
        for (offset, bytes) in &self.inputs {
            let (start, stop) = ((*offset).max(from), (offset + bytes.len()).min(end));
            if start >= stop {
                continue;
            }
            let gap = into.get_mut(filled - from..start - from);
            gap.unwrap_or_default().fill(0);
            let target = into.get_mut(start - from..stop - from);
            if let (Some(target), Some(source)) = (target, bytes.get(start - offset..stop - offset))
            {
                target.copy_from_slice(source);
            }
            filled = stop;
        }
        into.get_mut(filled - from..).unwrap_or_default().fill(0);
    }

    /// Copies what came out, `bytes` from `from` on, to the works' outputs.
    pub(super) fn scatter(&self, works: &mut [PlacedWork<'_>], from: usize, bytes: &[u8]) {
        let end = from.saturating_add(bytes.len());
        for output in &self.outputs {
            let start = output.offset.max(from);
            let stop = (output.offset + output.bytes).min(end);
            let Some(work) = works.get_mut(output.work).filter(|_| start < stop) else {
                continue;
            };
            let target = work
                .output
                .get_mut(start - output.offset..stop - output.offset);
            if let (Some(target), Some(source)) = (target, bytes.get(start - from..stop - from)) {
                target.copy_from_slice(source);
            }
        }
    }

    /// Works whose output came out.
    pub(super) fn works(&self) -> impl Iterator<Item = usize> {
        self.outputs.iter().map(|output| output.work)
    }
}

/// Messages of `sha256_batch`: where their tables are.
struct Tables {
    offsets: u64,
    lengths: u64,
    count: u64,
}

struct Builder<'a> {
    memory: DeviceRange,
    processors: u32,
    lot: Lot<'a>,
}

impl<'a> Builder<'a> {
    /// Places one array behind the others; its address.
    fn input(&mut self, bytes: Cow<'a, [u8]>) -> Result<u64, CudaError> {
        let offset = aligned(self.lot.shape.input_bytes);
        let range = self.memory.part(offset, bytes.len())?;
        self.lot.shape.input_bytes = offset + bytes.len();
        self.lot.inputs.push((offset, bytes));
        Ok(range.address)
    }

    fn inputs(&mut self, inputs: &[&'a [u8]]) -> Result<Vec<u64>, CudaError> {
        inputs
            .iter()
            .map(|input| self.input(Cow::Borrowed(input)))
            .collect()
    }

    /// Offsets and lengths of all messages, as the kernel reads them.
    fn tables(
        &mut self,
        digests: &[(usize, &PlacedWork<'a>)],
        placed: &[Vec<u64>],
    ) -> Result<Option<Tables>, CudaError> {
        let (mut offsets, mut lengths) = (Vec::new(), Vec::new());
        for (index, work) in digests {
            let addresses = placed.get(*index).map(Vec::as_slice).unwrap_or_default();
            for (address, input) in addresses.iter().zip(&work.inputs) {
                let offset = address.saturating_sub(self.memory.address);
                let length = u64::try_from(input.len()).map_err(|_| CudaError::Bounds)?;
                offsets.push(offset.to_le_bytes());
                lengths.push(length.to_le_bytes());
            }
        }
        if offsets.is_empty() {
            return Ok(None);
        }
        let count = u64::try_from(offsets.len()).map_err(|_| CudaError::Bounds)?;
        Ok(Some(Tables {
            offsets: self.input(Cow::Owned(offsets.into_flattened()))?,
            lengths: self.input(Cow::Owned(lengths.into_flattened()))?,
            count,
        }))
    }

    /// Places one output behind the others; its address.
    fn output(&mut self, work: usize, bytes: usize, alignment: usize) -> Result<u64, CudaError> {
        let offset = self.lot.shape.bytes.next_multiple_of(alignment);
        let range = self.memory.part(offset, bytes)?;
        self.lot.shape.bytes = offset + bytes;
        self.lot.outputs.push(Output {
            work,
            offset,
            bytes,
        });
        Ok(range.address)
    }

    /// One launch writes all digests, one behind another, to where outputs begin.
    fn digests(&mut self, tables: Option<Tables>) -> Result<(), CudaError> {
        let Some(tables) = tables else {
            return Ok(());
        };
        let output = self.memory.part(self.lot.shape.outputs_at, 0)?;
        let addresses = [
            self.memory.address,
            tables.offsets,
            tables.lengths,
            output.address,
        ];
        let step = launch::digests(addresses, tables.count, self.processors);
        self.lot.shape.steps.push(step);
        Ok(())
    }

    fn work(
        &mut self,
        index: usize,
        work: &PlacedWork<'a>,
        inputs: &[u64],
        products: &mut Products,
    ) -> Result<(), CudaError> {
        let output = aligned(self.lot.shape.bytes);
        let output = self.memory.part(output, work.output.len())?.address;
        let places = Places { inputs, output };
        let Some(step) = launch::step(&work.call, &places, self.processors) else {
            let operation = work.call.operation();
            let text = format!("this executor has no operation `{}`", operation.name);
            self.lot.refused.push((index, Fault::Task(text)));
            return Ok(());
        };
        if let Step::Product(product) = &step {
            match products.plan(product.shape) {
                Ok(bytes) => {
                    let most = &mut self.lot.shape.workspace_bytes;
                    *most = bytes.max(*most);
                }
                Err(error) => {
                    self.lot.refused.push((index, error.at_plan()?));
                    return Ok(());
                }
            }
        }
        self.output(index, work.output.len(), ALIGNMENT_BYTES)?;
        self.lot.shape.steps.push(step);
        Ok(())
    }
}
