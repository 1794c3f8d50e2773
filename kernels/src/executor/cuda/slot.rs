//! Two slots, so that one lot is copied and computed while the CPU fills the other's memory or takes its outputs from it.
//!
//! A slot has a stream, memory of the device, and pinned memory that inputs are gathered in and outputs come out to: one
//! copy each way for a lot, whatever its works are. The arena itself is not pinned. Its inputs and outputs lie among each
//! other, so that one copy each way would carry both of them both ways, there would be no place for tables of addresses,
//! and memory that was not allocated by CUDA cannot be registered with it everywhere that confidential computing is on.
//! The copy that this costs is made on the CPU while the device works on the other slot.
//!
//! Nobody learns of an output before the device's memory that held it and its inputs is zero again: the event that is
//! waited for lies behind that. Pinned memory is zeroed as soon as the outputs are taken from it.
#![expect(
    unsafe_code,
    reason = "work is begun that goes on after the call; each block says who waits for it"
)]

use super::classify::CudaError;
use super::device::{DeviceMemory, DeviceRange, Event, PinnedMemory};
use super::graphs::{Graphs, Way};
use super::launch::Step;
use super::lot::{ALIGNMENT_BYTES, Lot, LotShape};
use super::products::{Products, WORKSPACE_BYTES};
use super::stream::{Graph, Kernels, Stream};
use crate::executor::PlacedWork;

/// Inputs and outputs of one lot. PCIe moves it in a third of a millisecond: long beside what it costs to begin a lot, and
/// short beside a run of 64 MiB, which so is four lots, of which two are under way at any time.
pub(super) const SLOT_BYTES: usize = 16 * 1024 * 1024;
pub(super) const SLOTS: usize = 2;

/// Both slots, and the memory of the device that they share.
#[derive(Debug)]
pub(super) struct Slots {
    // Dropped first: streams and graphs use the memory.
    slots: [Slot; SLOTS],
    _memory: DeviceMemory,
}

/// How large a slot is, beside its workspace.
#[expect(
    clippy::struct_field_names,
    reason = "a size carries its unit in its name"
)]
#[derive(Debug, Clone, Copy)]
pub(super) struct SlotSizes {
    pub(super) memory_bytes: usize,
    pub(super) upload_bytes: usize,
    pub(super) download_bytes: usize,
}

/// What lots run on.
#[derive(Debug)]
pub(super) struct Slot {
    stream: Stream,
    done: Event,
    graphs: Graphs,
    upload: PinnedMemory,
    download: PinnedMemory,
    memory: DeviceRange,
    workspace: DeviceRange,
    /// Something was begun and not waited for: until it is, pinned memory is the device's.
    is_under_way: bool,
}

impl Slots {
    /// All memory that lots need, allocated once.
    pub(super) fn new() -> Result<Self, CudaError> {
        let sizes = SlotSizes {
            memory_bytes: SLOT_BYTES,
            upload_bytes: SLOT_BYTES,
            download_bytes: SLOT_BYTES,
        };
        Self::of(sizes)
    }

    /// The same with other sizes.
    pub(super) fn of(sizes: SlotSizes) -> Result<Self, CudaError> {
        // A workspace begins behind each slot's memory.
        let memory_bytes = sizes.memory_bytes.next_multiple_of(ALIGNMENT_BYTES);
        let sizes = SlotSizes {
            memory_bytes,
            ..sizes
        };
        let each = memory_bytes + WORKSPACE_BYTES;
        let memory = DeviceMemory::new(SLOTS * each)?;
        let slot = |number: usize| Slot::new(memory.range().part(number * each, each)?, sizes);
        Ok(Self {
            slots: [slot(0)?, slot(1)?],
            _memory: memory,
        })
    }

    /// Copies bytes to the device and waits for it.
    pub(super) fn send(&mut self, bytes: &[u8], target: DeviceRange) -> Result<(), CudaError> {
        let [slot, _] = &mut self.slots;
        let piece_bytes = slot.upload.len();
        for (number, piece) in bytes.chunks(piece_bytes).enumerate() {
            let upload = slot.upload()?.get_mut(..piece.len());
            upload.ok_or(CudaError::Bounds)?.copy_from_slice(piece);
            let target = target.part(number * piece_bytes, piece.len())?;
            slot.is_under_way = true;
            // SAFETY: `wait` waits for the event behind the copy.
            unsafe { slot.stream.copy_in(&slot.upload, target) }?;
            slot.stream.record(&slot.done)?;
            slot.wait()?;
        }
        slot.clear(bytes.len(), 0)
    }

    /// The slot of this lot; they take turns.
    pub(super) fn turn(&mut self, number: usize) -> &mut Slot {
        let [even, odd] = &mut self.slots;
        if number.is_multiple_of(SLOTS) {
            even
        } else {
            odd
        }
    }

    /// Runs a lot in memory of its own, which may be larger than a slot: its inputs and outputs go through both slots'
    /// pinned memory, piece by piece.
    pub(super) fn run_large(
        &mut self,
        lot: &Lot<'_>,
        memory: DeviceRange,
        works: &mut [PlacedWork<'_>],
        tools: &Tools<'_>,
    ) -> Result<(), CudaError> {
        let shape = &lot.shape;
        for slot in &mut self.slots {
            slot.upload()?;
            slot.is_under_way = true;
        }
        for (number, from) in (0..shape.input_bytes).step_by(SLOT_BYTES).enumerate() {
            self.send_piece(lot, memory, number, from)?;
        }
        let [main, _] = &self.slots;
        for step in &shape.steps {
            // SAFETY: `finish_large` waits; the lot's steps use its own memory, and the workspace is this stream's.
            unsafe { tools.begin(&main.stream, step, main.workspace) }?;
        }
        let mut before = None;
        for (number, from) in (shape.outputs_at..shape.bytes)
            .step_by(SLOT_BYTES)
            .enumerate()
        {
            let bytes = SLOT_BYTES.min(shape.bytes - from);
            self.fetch_piece(memory.part(from, bytes)?, number)?;
            if let Some((number, from, bytes)) = before.replace((number, from, bytes)) {
                self.take_piece(lot, works, number, from, bytes)?;
            }
        }
        if let Some((number, from, bytes)) = before {
            self.take_piece(lot, works, number, from, bytes)?;
        }
        self.finish_large(memory, shape)
    }

    /// Fills one slot's memory while the other's is copied.
    fn send_piece(
        &mut self,
        lot: &Lot<'_>,
        memory: DeviceRange,
        number: usize,
        from: usize,
    ) -> Result<(), CudaError> {
        let bytes = SLOT_BYTES.min(lot.shape.input_bytes - from);
        let target = memory.part(from, bytes)?;
        let slot = self.turn(number);
        slot.done.wait()?;
        // SAFETY: of this memory the last copy was waited for just now; the next is begun below.
        let piece = unsafe { slot.upload.bytes_mut() }.get_mut(..bytes);
        lot.gather(from, piece.ok_or(CudaError::Bounds)?);
        let [main, other] = &self.slots;
        let slot = if number.is_multiple_of(SLOTS) {
            main
        } else {
            other
        };
        // SAFETY: the next use of this slot's memory waits for the event behind the copy, here or in `fetch_piece`'s stream.
        unsafe { main.stream.copy_in(&slot.upload, target) }?;
        main.stream.record(&slot.done)
    }

    fn fetch_piece(&mut self, source: DeviceRange, number: usize) -> Result<(), CudaError> {
        let [main, other] = &mut self.slots;
        let (stream, download, done) = if number.is_multiple_of(SLOTS) {
            (&main.stream, &mut main.download, &main.done)
        } else {
            (&main.stream, &mut other.download, &other.done)
        };
        // SAFETY: `take_piece` waits for the event behind the copy before it reads, and before the next piece comes here.
        unsafe { stream.copy_out(source, download) }?;
        stream.record(done)
    }

    fn take_piece(
        &mut self,
        lot: &Lot<'_>,
        works: &mut [PlacedWork<'_>],
        number: usize,
        from: usize,
        bytes: usize,
    ) -> Result<(), CudaError> {
        let slot = self.turn(number);
        slot.done.wait()?;
        // SAFETY: the copy was waited for just now, and this piece is taken before the next one comes here.
        let piece = unsafe { slot.download.bytes() }.get(..bytes);
        lot.scatter(works, from, piece.ok_or(CudaError::Bounds)?);
        Ok(())
    }

    fn finish_large(&mut self, memory: DeviceRange, shape: &LotShape) -> Result<(), CudaError> {
        let [main, other] = &mut self.slots;
        let workspace = main.workspace.part(0, shape.workspace_bytes)?;
        // SAFETY: the event behind them is waited for here.
        unsafe {
            main.stream.zero(memory.part(0, shape.bytes)?)?;
            main.stream.zero(workspace)?;
        }
        main.stream.record(&main.done)?;
        main.wait()?;
        // All of its copies were begun in the other's stream, before what was waited for.
        other.is_under_way = false;
        for slot in [main, other] {
            slot.clear(shape.input_bytes, shape.bytes - shape.outputs_at)?;
        }
        Ok(())
    }
}

/// The module's kernels and cuBLASLt, which both slots use.
#[derive(Debug)]
pub(super) struct Tools<'a> {
    pub(super) kernels: &'a Kernels,
    pub(super) products: &'a Products,
}

impl Tools<'_> {
    /// As [`Stream`]'s unsafe functions.
    pub(super) unsafe fn begin(
        &self,
        stream: &Stream,
        step: &Step,
        workspace: DeviceRange,
    ) -> Result<(), CudaError> {
        // SAFETY: the caller's promise.
        unsafe {
            match step {
                Step::Launch(launch) => stream.launch(self.kernels, launch),
                Step::Product(product) => self.products.begin(product, workspace, stream),
            }
        }
    }
}

impl Slot {
    /// In this part of the device's memory, which is the workspace behind the rest.
    fn new(range: DeviceRange, sizes: SlotSizes) -> Result<Self, CudaError> {
        Ok(Self {
            stream: Stream::new()?,
            done: Event::new()?,
            graphs: Graphs::default(),
            upload: PinnedMemory::new(sizes.upload_bytes)?,
            download: PinnedMemory::new(sizes.download_bytes)?,
            memory: range.part(0, sizes.memory_bytes)?,
            workspace: range.part(sizes.memory_bytes, WORKSPACE_BYTES)?,
            is_under_way: false,
        })
    }

    pub(super) fn memory(&self) -> DeviceRange {
        self.memory
    }

    /// Begins a lot that was laid out in this slot's memory; [`Slot::finish`] waits for it.
    pub(super) fn begin(&mut self, lot: &Lot<'_>, tools: &Tools<'_>) -> Result<(), CudaError> {
        let upload = self.upload()?.get_mut(..lot.shape.input_bytes);
        lot.gather(0, upload.ok_or(CudaError::Bounds)?);
        self.begin_shape(&lot.shape, tools)
    }

    /// What goes in; refused while a lot is under way.
    pub(super) fn upload(&mut self) -> Result<&mut [u8], CudaError> {
        if self.is_under_way {
            return Err(CudaError::UnderWay);
        }
        // SAFETY: nothing is under way.
        Ok(unsafe { self.upload.bytes_mut() })
    }

    /// Waits for what was recorded last.
    fn wait(&mut self) -> Result<(), CudaError> {
        self.done.wait()?;
        self.is_under_way = false;
        Ok(())
    }

    /// Zeroes what a lot of these sizes left in pinned memory.
    fn clear(&mut self, input_bytes: usize, output_bytes: usize) -> Result<(), CudaError> {
        let zero = |bytes: &mut [u8], used: usize| {
            let used = used.min(bytes.len());
            bytes.get_mut(..used).unwrap_or_default().fill(0);
        };
        zero(self.upload()?, input_bytes);
        // SAFETY: nothing is under way, or the line above had refused.
        zero(unsafe { self.download.bytes_mut() }, output_bytes);
        Ok(())
    }

    /// Begins what the shape says with what was put into [`Slot::upload`]; [`Slot::finish_shape`] waits for it.
    pub(super) fn begin_shape(
        &mut self,
        shape: &LotShape,
        tools: &Tools<'_>,
    ) -> Result<(), CudaError> {
        self.upload()?;
        self.is_under_way = true;
        match self.graphs.way(shape) {
            // SAFETY: `finish_shape` waits before the CPU or another lot uses this slot's memory.
            Way::Replayed(graph) => unsafe { self.stream.replay(graph) }?,
            Way::Directly => self.begin_steps(shape, tools)?,
            Way::Recorded => match self.record(shape, tools) {
                Ok(graph) => {
                    if let Some(graph) = self.graphs.keep(shape, graph) {
                        // SAFETY: as above.
                        unsafe { self.stream.replay(graph) }?;
                    }
                }
                // Graphs save time and nothing else.
                Err(error) if error.is_of_capture() => {
                    self.graphs.forget(shape);
                    self.begin_steps(shape, tools)?;
                }
                Err(error) => return Err(error),
            },
        }
        self.stream.record(&self.done)
    }

    fn record(&mut self, shape: &LotShape, tools: &Tools<'_>) -> Result<Graph, CudaError> {
        self.stream.begin_capture()?;
        let begun = self.begin_steps(shape, tools);
        // Also where a step failed: a stream that records runs nothing else.
        match (begun, self.stream.end_capture()) {
            // A step that cannot be recorded breaks the capture off, with an error of its own that says less.
            (Err(_), Err(error)) if error.is_of_capture() => Err(error),
            (begun, graph) => begun.and(graph),
        }
    }

    fn begin_steps(&mut self, shape: &LotShape, tools: &Tools<'_>) -> Result<(), CudaError> {
        let inputs = self.memory.part(0, shape.input_bytes)?;
        let output_bytes = shape.bytes - shape.outputs_at;
        let outputs = self.memory.part(shape.outputs_at, output_bytes)?;
        let used = self.memory.part(0, shape.bytes)?;
        let workspace = self.workspace.part(0, shape.workspace_bytes)?;
        // SAFETY: `finish_shape` waits before the CPU or another lot uses this slot's memory.
        unsafe {
            self.stream.copy_in(&self.upload, inputs)?;
            for step in &shape.steps {
                tools.begin(&self.stream, step, self.workspace)?;
            }
            self.stream.copy_out(outputs, &mut self.download)?;
            self.stream.zero(used)?;
            self.stream.zero(workspace)?;
        }
        Ok(())
    }

    /// Waits for the lot and hands its outputs over.
    pub(super) fn finish(
        &mut self,
        lot: &Lot<'_>,
        works: &mut [PlacedWork<'_>],
    ) -> Result<(), CudaError> {
        self.finish_shape(&lot.shape, |outputs| {
            lot.scatter(works, lot.shape.outputs_at, outputs);
            Ok(())
        })
    }

    /// Waits for what was begun, hands over what came out of it, and leaves nothing of it in pinned memory.
    pub(super) fn finish_shape(
        &mut self,
        shape: &LotShape,
        take: impl FnOnce(&[u8]) -> Result<(), CudaError>,
    ) -> Result<(), CudaError> {
        self.wait()?;
        let output_bytes = shape.bytes - shape.outputs_at;
        // SAFETY: nothing is under way any more.
        let outputs = unsafe { self.download.bytes() }.get(..output_bytes);
        take(outputs.ok_or(CudaError::Bounds)?)?;
        self.clear(shape.input_bytes, output_bytes)
    }
}

impl Drop for Slot {
    /// After an error a lot may be under way that nobody waits for, and pinned memory is freed right after this. Where the
    /// context is lost, so is the wait, and so is the call that would free it; where a kernel hangs, the agent ends it all.
    fn drop(&mut self) {
        let _ = self.stream.wait();
    }
}
