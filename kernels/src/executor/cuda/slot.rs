//! Two slots, so that one lot is copied and computed while the CPU fills the other's memory or takes its outputs from it.
//!
//! A slot has a stream, memory of the device, and pinned memory that inputs are gathered in and outputs come out to: one
//! copy each way for a lot, whatever its works are. The arena itself is not pinned. Its inputs and outputs lie among each
//! other, so that one copy each way would carry both of them both ways, there would be no place for tables of addresses,
//! and memory that was not allocated by CUDA cannot be registered with it everywhere that confidential computing is on.
//! The copy that this costs is made on the CPU while the device works on the other slot.
//!
//! Nobody learns of an output before the device's memory that held it and its inputs is zero again: the event that is
//! waited for lies behind that.
#![expect(
    unsafe_code,
    reason = "work is begun that goes on after the call; each block says who waits for it"
)]

use super::classify::CudaError;
use super::device::{DeviceMemory, DeviceRange, Event, PinnedMemory};
use super::graphs::{Graphs, Way};
use super::launch::Step;
use super::lot::{Lot, LotShape};
use super::products::{Products, WORKSPACE_BYTES};
use super::stream::{Kernels, Stream};
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
        let each = sizes.memory_bytes + WORKSPACE_BYTES;
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
        let piece_bytes = slot.upload.bytes().len();
        for (number, piece) in bytes.chunks(piece_bytes).enumerate() {
            let upload = slot.upload.bytes_mut().get_mut(..piece.len());
            upload.ok_or(CudaError::Bounds)?.copy_from_slice(piece);
            let target = target.part(number * piece_bytes, piece.len())?;
            // SAFETY: the event behind the copy is waited for here.
            unsafe { slot.stream.copy_in(&slot.upload, target) }?;
            slot.stream.record(&slot.done)?;
            slot.done.wait()?;
        }
        Ok(())
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
        let [main, _] = &self.slots;
        let workspace = main.workspace;
        for (number, from) in (0..shape.input_bytes).step_by(SLOT_BYTES).enumerate() {
            self.send_piece(lot, memory, number, from)?;
        }
        let [main, _] = &self.slots;
        for step in &shape.steps {
            // SAFETY: `finish_large` waits; the lot's steps use its own memory, and the workspace is this stream's.
            unsafe { tools.begin(&main.stream, step, workspace) }?;
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
        self.finish_large(memory.part(0, shape.bytes)?, shape.workspace_bytes)
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
        let piece = slot.upload.bytes_mut().get_mut(..bytes);
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
        let piece = slot.download.bytes().get(..bytes);
        lot.scatter(works, from, piece.ok_or(CudaError::Bounds)?);
        Ok(())
    }

    fn finish_large(&self, memory: DeviceRange, workspace_bytes: usize) -> Result<(), CudaError> {
        let [main, _] = &self.slots;
        let workspace = main.workspace.part(0, workspace_bytes)?;
        // SAFETY: the event behind them is waited for here.
        unsafe {
            main.stream.zero(memory)?;
            main.stream.zero(workspace)?;
        }
        main.stream.record(&main.done)?;
        main.done.wait()
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
        let slot = Self {
            stream: Stream::new()?,
            done: Event::new()?,
            graphs: Graphs::default(),
            upload: PinnedMemory::new(sizes.upload_bytes)?,
            download: PinnedMemory::new(sizes.download_bytes)?,
            memory: range.part(0, sizes.memory_bytes)?,
            workspace: range.part(sizes.memory_bytes, WORKSPACE_BYTES)?,
        };
        // What a process before this one left there is the driver's to clear; it is cleared here as well.
        // SAFETY: nothing else uses the memory before the wait.
        unsafe { slot.stream.zero(range) }?;
        slot.stream.record(&slot.done)?;
        slot.done.wait()?;
        Ok(slot)
    }

    pub(super) fn memory(&self) -> DeviceRange {
        self.memory
    }

    /// Begins a lot that was laid out in this slot's memory; [`Slot::finish`] waits for it.
    pub(super) fn begin(&mut self, lot: &Lot<'_>, tools: &Tools<'_>) -> Result<(), CudaError> {
        let upload = self.upload.bytes_mut().get_mut(..lot.shape.input_bytes);
        lot.gather(0, upload.ok_or(CudaError::Bounds)?);
        self.begin_shape(&lot.shape, tools)
    }

    /// What goes in. Not while a lot is under way.
    pub(super) fn upload(&mut self) -> &mut [u8] {
        self.upload.bytes_mut()
    }

    /// Begins what the shape says with what was put into [`Slot::upload`]; [`Slot::finish_shape`] waits for it.
    pub(super) fn begin_shape(
        &mut self,
        shape: &LotShape,
        tools: &Tools<'_>,
    ) -> Result<(), CudaError> {
        match self.graphs.way(shape) {
            // SAFETY: `finish_shape` waits before the CPU or another lot uses this slot's memory.
            Way::Replayed(graph) => unsafe { self.stream.replay(graph) }?,
            Way::Directly => self.begin_steps(shape, tools)?,
            Way::Recorded => {
                self.stream.begin_capture()?;
                let begun = self.begin_steps(shape, tools);
                // Also where a step failed: a stream that records runs nothing else.
                let graph = self.stream.end_capture();
                begun?;
                if let Some(graph) = self.graphs.keep(shape, graph?) {
                    // SAFETY: as above.
                    unsafe { self.stream.replay(graph) }?;
                }
            }
        }
        self.stream.record(&self.done)
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
        let outputs = self.finish_shape(&lot.shape)?;
        lot.scatter(works, lot.shape.outputs_at, outputs);
        Ok(())
    }

    /// Waits for what was begun; what came out of it.
    pub(super) fn finish_shape(&mut self, shape: &LotShape) -> Result<&[u8], CudaError> {
        self.done.wait()?;
        let outputs = self.download.bytes().get(..shape.bytes - shape.outputs_at);
        outputs.ok_or(CudaError::Bounds)
    }
}
