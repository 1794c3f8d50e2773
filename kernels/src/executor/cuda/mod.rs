//! The executor of a worker with a GPU: one device, through the driver's interface and cuBLASLt.
//!
//! | part | what it holds |
//! |---|---|
//! | `probe` | what is asked before the first call, with an error for each thing that can be missing |
//! | `device`, `stream` | the device's things, each destroyed when it is dropped |
//! | `launch` | what each operation needs: kernel, grid, arguments. Plain code |
//! | `lot` | works that go to the device together: one copy in, one copy out. Plain code |
//! | `slot` | two lots under way at once, through pinned memory; all device memory, allocated once |
//! | `graphs` | lots that come again, begun by one call |
//! | `products` | cuBLASLt, asked once for each shape |
//! | `texts`, `encoder` | the language model of `embed`: batches of tokens, and what is to be done for one |
//! | `classify` | whose fault an error is |
//! | `libraries` | the libraries that were loaded, for claims and receipts |
//!
//! The child cannot tell tenants apart, so the device's memory and the pinned memory are zeroed after every lot, before
//! any output of it is answered.

mod classify;
mod device;
mod encoder;
mod graphs;
mod launch;
mod libraries;
mod lot;
#[cfg(feature = "measure")]
mod measure;
mod probe;
mod products;
mod slot;
mod stream;
mod texts;

use std::collections::VecDeque;
use std::path::Path;

pub use classify::CudaError;
pub use libraries::LibraryError;
#[cfg(feature = "measure")]
pub use measure::{DeviceFacts, devices};
pub use probe::ProbeError;

use super::{Answer, Executor, ExecutorKind, Fault, Identity, PlacedWork};
use crate::embed::{Model, ModelError};
use crate::module;
use device::{Device, DeviceMemory};
use lot::Lot;
use products::Products;
use protocol::Sha256Digest;
use rayon::iter::{
    IndexedParallelIterator, IntoParallelRefIterator, IntoParallelRefMutIterator, ParallelIterator,
};
use slot::{SLOT_BYTES, SLOTS, Slots, Tools};
use stream::Kernels;
use texts::{Shared, Texts};

/// Why there is no CUDA executor.
#[derive(Debug, thiserror::Error)]
pub enum CudaStartError {
    #[error("the device cannot be used")]
    Probe(#[source] ProbeError),
    #[error("the device cannot be set up")]
    Cuda(#[source] CudaError),
    #[error("a library that was loaded cannot be named")]
    Library(#[source] LibraryError),
    #[error("the model cannot be used")]
    Model(#[source] ModelError),
}

/// Runs the module's kernels and cuBLASLt on one device.
#[derive(Debug)]
pub struct CudaExecutor {
    identity: Identity,
    // Dropped in this order: the context last, memory after what uses it.
    texts: Option<Texts>,
    slots: Slots,
    large: Option<DeviceMemory>,
    products: Products,
    kernels: Kernels,
    device: Device,
}

/// Whether the executor has this operation; tasks of others are not leased.
#[must_use]
pub fn is_supported(name: &str, version: u32) -> bool {
    launch::is_supported(name, version)
}

impl CudaExecutor {
    /// On the device of this UUID (`GPU-…`), with the model in this folder if there is one. `CUDA_VISIBLE_DEVICES` is not
    /// needed: no other device gets a context.
    pub fn start(uuid: &str, model: Option<&Path>) -> Result<Self, CudaStartError> {
        let found = probe::find(uuid).map_err(CudaStartError::Probe)?;
        let device = Device::open(found.device).map_err(CudaStartError::Cuda)?;
        let kernels = Kernels::load(launch::KERNELS.into_iter());
        let kernels = kernels.map_err(CudaStartError::Cuda)?;
        let products = Products::new().map_err(CudaStartError::Cuda)?;
        let mut slots = Slots::new().map_err(CudaStartError::Cuda)?;
        let model = model.map(Model::open).transpose();
        let texts = match model.map_err(CudaStartError::Model)? {
            Some(model) => Some(Texts::new(model, &mut slots).map_err(CudaStartError::Cuda)?),
            None => None,
        };
        let library = |name, version, function| {
            libraries::loaded(name, version, function).map_err(CudaStartError::Library)
        };
        let libraries = vec![
            library("libcuda", found.versions.driver, probe::driver_function())?,
            library("libcublasLt", found.versions.blas, probe::blas_function())?,
        ];
        Ok(Self {
            identity: Identity {
                kind: ExecutorKind::Cuda,
                module_digest: module::fatbin_digest(),
                model_digest: texts.as_ref().map(Texts::digest),
                // Works of a lot, and two lots, are under way at once.
                in_order: false,
                device: Some(uuid.to_owned()),
                libraries,
            },
            texts,
            slots,
            large: None,
            products,
            kernels,
            device,
        })
    }

    /// Runs all works; an error is the executor's.
    fn run_all(
        &mut self,
        works: &mut [PlacedWork<'_>],
        answers: &mut Answers<'_>,
    ) -> Result<(), CudaError> {
        let has_model = |work: &PlacedWork<'_>| work.call.operation().model().is_some();
        let mut first = 0;
        for works in works.chunk_by_mut(|a, b| has_model(a) == has_model(b)) {
            match &mut self.texts {
                Some(texts) if works.first().is_some_and(has_model) => {
                    let mut shared = Shared {
                        kernels: &self.kernels,
                        products: &mut self.products,
                        processors: self.device.processors(),
                    };
                    texts.run(works, &mut shared, &mut answers.from(first))?;
                }
                _ => self.run_lots(works, &mut answers.from(first))?,
            }
            first += works.len();
        }
        Ok(())
    }

    fn run_lots(
        &mut self,
        works: &mut [PlacedWork<'_>],
        answers: &mut Answers<'_>,
    ) -> Result<(), CudaError> {
        let mut under_way = VecDeque::with_capacity(SLOTS);
        let mut first = 0;
        let mut number = 0;
        while let Some(rest) = works.get(first..).filter(|rest| !rest.is_empty()) {
            if rest.first().is_some_and(lot::is_for_cpu) {
                digest(works, first, answers);
                first += 1;
                continue;
            }
            let cut = lot::cut(rest, SLOT_BYTES);
            let is_large = cut.bytes > SLOT_BYTES;
            let keep = if is_large { 0 } else { SLOTS - 1 };
            while under_way.len() > keep {
                self.finish_next(&mut under_way, works, answers)?;
            }
            if is_large {
                self.run_large(works, first, answers)?;
            } else {
                let lot = self.begin(works, first, cut.count, number)?;
                under_way.push_back((number, lot));
                number += 1;
            }
            first += cut.count;
        }
        while !under_way.is_empty() {
            self.finish_next(&mut under_way, works, answers)?;
        }
        Ok(())
    }

    fn begin<'a>(
        &mut self,
        works: &[PlacedWork<'a>],
        first: usize,
        count: usize,
        number: usize,
    ) -> Result<Lot<'a>, CudaError> {
        let slot = self.slots.turn(number);
        let works = works.get(first..first + count).unwrap_or_default();
        self.products.make_room();
        let lot = Lot::build(
            works,
            first,
            slot.memory(),
            &mut self.products,
            self.device.processors(),
        )?;
        let tools = Tools {
            kernels: &self.kernels,
            products: &self.products,
        };
        slot.begin(&lot, &tools)?;
        Ok(lot)
    }

    fn finish_next(
        &mut self,
        under_way: &mut VecDeque<(usize, Lot<'_>)>,
        works: &mut [PlacedWork<'_>],
        answers: &mut Answers<'_>,
    ) -> Result<(), CudaError> {
        if let Some((number, lot)) = under_way.pop_front() {
            self.slots.turn(number).finish(&lot, works)?;
            answers.give(lot);
        }
        Ok(())
    }

    /// A work that no slot holds, in memory that is allocated for it and kept: the next one is often as large.
    fn run_large(
        &mut self,
        works: &mut [PlacedWork<'_>],
        index: usize,
        answers: &mut Answers<'_>,
    ) -> Result<(), CudaError> {
        let Some(work) = works.get(index..=index) else {
            return Ok(());
        };
        let bytes = lot::cut(work, 0).bytes;
        let room = self.large.as_ref().map_or(0, |memory| memory.range().bytes);
        if room < bytes {
            // Given back first: both may not fit.
            self.large = None;
            match DeviceMemory::new(bytes) {
                Ok(memory) => self.large = Some(memory),
                Err(error) => {
                    answers.refuse(index, error.at_allocation(bytes));
                    return Ok(());
                }
            }
        }
        let Some(memory) = &self.large else {
            return Ok(());
        };
        let memory = memory.range();
        self.products.make_room();
        let processors = self.device.processors();
        let lot = Lot::build(work, index, memory, &mut self.products, processors)?;
        let tools = Tools {
            kernels: &self.kernels,
            products: &self.products,
        };
        self.slots.run_large(&lot, memory, works, &tools)?;
        answers.give(lot);
        Ok(())
    }
}

/// On the CPU, while the device goes on with what is under way.
fn digest(works: &mut [PlacedWork<'_>], index: usize, answers: &mut Answers<'_>) {
    let Some(work) = works.get_mut(index) else {
        return;
    };
    let messages = work.inputs.par_iter();
    let places = work.output.as_chunks_mut::<32>().0.par_iter_mut();
    messages.zip(places).for_each(|(message, place)| {
        *place = *Sha256Digest::of(message).as_bytes();
    });
    answers.one(index, Ok(()));
}

impl Executor for CudaExecutor {
    fn identity(&self) -> Identity {
        self.identity.clone()
    }

    fn run(&mut self, works: &mut [PlacedWork<'_>], answer: Answer<'_>) {
        let mut waiting = vec![true; works.len()];
        let mut answers = Answers {
            first: 0,
            waiting: &mut waiting,
            answer,
        };
        if let Err(error) = self.run_all(works, &mut answers) {
            answers.fail(error.of_executor());
        }
    }
}

/// Which works have no answer yet.
struct Answers<'a> {
    /// The index of the work that is 0 here.
    first: usize,
    waiting: &'a mut [bool],
    answer: Answer<'a>,
}

impl Answers<'_> {
    /// The same, where works are counted from the one with this index on.
    fn from(&mut self, first: usize) -> Answers<'_> {
        Answers {
            first,
            waiting: self.waiting,
            answer: self.answer,
        }
    }

    /// Everything of a lot: its outputs are in the arena.
    fn give(&mut self, lot: Lot<'_>) {
        for index in lot.works() {
            self.one(index, Ok(()));
        }
        for (index, fault) in lot.refused {
            self.one(index, Err(fault));
        }
    }

    fn refuse(&mut self, index: usize, fault: Fault) {
        self.one(index, Err(fault));
    }

    /// The executor's fault is told once: its process ends with it.
    fn fail(&mut self, fault: Fault) {
        if let Some(index) = self.waiting.iter().position(|waiting| *waiting) {
            self.one(index, Err(fault));
        }
    }

    fn one(&mut self, index: usize, outcome: Result<(), Fault>) {
        let index = self.first + index;
        if let Some(waiting) = self.waiting.get_mut(index)
            && std::mem::replace(waiting, false)
        {
            (self.answer)(index, outcome);
        }
    }
}
