//! The operation catalogue: what a task may ask for. The gateway refuses a task that does not fit before it is queued;
//! `kernels` implements each entry; the submitter sees the same errors from both.

mod call;
mod fault;
pub mod models;
mod operations;
#[cfg(test)]
mod tests;

pub use call::{Call, Values};
pub use fault::TaskFault;
pub use operations::OPERATIONS;

use crate::lease::OperationId;

/// One entry of the catalogue.
#[derive(Debug)]
pub struct Operation {
    pub name: &'static str,
    /// Grows when the same task could give another output.
    pub version: u32,
    /// One sentence.
    pub summary: &'static str,
    pub parameters: &'static [Parameter],
    pub inputs: Inputs,
    /// What the output's bytes are.
    pub output: &'static str,
    pub tolerance: Tolerance,
    /// From parameters and the inputs' sizes in bytes to the output's size in bytes, or what does not fit.
    pub layout: fn(&Values, &[u64]) -> Result<u64, TaskFault>,
}

/// One named parameter; every parameter is required.
#[derive(Debug)]
pub struct Parameter {
    pub name: &'static str,
    pub kind: ParameterKind,
    pub summary: &'static str,
}

/// Which values a parameter may have.
#[derive(Debug, Clone, Copy)]
pub enum ParameterKind {
    /// A whole number in this range.
    Count { min: u64, max: u64 },
    /// A finite number in this range, used as an IEEE 754 binary32.
    Real { min: f32, max: f32 },
    /// One of these words.
    Choice(&'static [&'static str]),
}

/// Which inputs an operation takes.
#[derive(Debug, Clone, Copy)]
pub enum Inputs {
    /// One input for each name, in this order.
    Named(&'static [&'static str]),
    /// From `min` to `max` inputs of one kind.
    Many {
        name: &'static str,
        min: usize,
        max: usize,
    },
}

/// How far an executor's output may lie from the CPU definition's: |got − want| ≤ absolute + relative × scale, where
/// scale is |want|, and for sums of products the sum of the magnitudes that were added.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Tolerance {
    /// Bit for bit.
    Exact,
    Within {
        absolute: f32,
        relative: f32,
    },
}

impl Operation {
    /// The newest version of an operation by name.
    pub fn find(name: &str, version: u32) -> Result<&'static Self, TaskFault> {
        let named = || OPERATIONS.iter().filter(|operation| operation.name == name);
        if let Some(found) = named().find(|operation| operation.version == version) {
            return Ok(found);
        }
        match named().map(|operation| operation.version).max() {
            Some(newest) => Err(TaskFault::UnknownVersion {
                name: name.to_owned(),
                version,
                newest,
            }),
            None => Err(TaskFault::unknown_operation(name)),
        }
    }

    /// The newest version's number, for a submitter who names none.
    #[must_use]
    pub fn newest_version(name: &str) -> Option<u32> {
        OPERATIONS
            .iter()
            .filter(|operation| operation.name == name)
            .map(|operation| operation.version)
            .max()
    }

    /// Its name and version, as leases have them.
    #[must_use]
    pub fn id(&self) -> OperationId {
        OperationId {
            name: self.name.to_owned(),
            version: self.version,
        }
    }

    /// The model that the operation computes with, if any: a worker without it does not offer the operation.
    #[must_use]
    pub fn model(&self) -> Option<&'static models::Model> {
        (self.name == "embed").then_some(&models::ALL_MINILM_L6_V2)
    }

    /// Whether each input is a text in UTF-8; a worker refuses any other.
    #[must_use]
    pub fn takes_text(&self) -> bool {
        // Language models are all that reads text.
        self.model().is_some()
    }

    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&'static Parameter> {
        self.parameters
            .iter()
            .find(|parameter| parameter.name == name)
    }
}
