//! The executor of a worker without a GPU: the CPU definitions, one work after another.

use protocol::Sha256Digest;

use super::{Answer, Executor, ExecutorKind, Fault, Identity, PlacedWork};
use crate::operations;

/// Runs the CPU definitions of [`operations`].
#[derive(Debug, Clone)]
pub struct CpuExecutor {
    module_digest: Sha256Digest,
}

impl CpuExecutor {
    /// `module_digest` is that of the running executable, see [`crate::module::executable_digest`].
    #[must_use]
    pub const fn new(module_digest: Sha256Digest) -> Self {
        Self { module_digest }
    }
}

impl Executor for CpuExecutor {
    fn identity(&self) -> Identity {
        Identity {
            kind: ExecutorKind::Cpu,
            module_digest: self.module_digest,
            in_order: true,
        }
    }

    fn run(&mut self, works: &mut [PlacedWork<'_>], answer: Answer<'_>) {
        for (index, work) in works.iter_mut().enumerate() {
            let outcome = operations::run(&work.call, &work.inputs, work.output);
            answer(
                index,
                outcome.map_err(|error| Fault::Task(error.to_string())),
            );
        }
    }
}
