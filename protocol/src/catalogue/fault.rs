//! Why a task does not fit the catalogue; each names the field and what would fit.

use crate::problem::{Problem, ProblemCode};

use super::OPERATIONS;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TaskFault {
    #[error("there is no operation `{name}`; the catalogue has {known}")]
    UnknownOperation { name: String, known: String },
    #[error("`{name}` has no version {version}; the newest is {newest}")]
    UnknownVersion {
        name: String,
        version: u32,
        newest: u32,
    },
    #[error("the parameter `{0}` is missing")]
    ParameterMissing(&'static str),
    #[error("`{operation}` has no parameter `{name}`; it takes {known}")]
    ParameterUnknown {
        operation: &'static str,
        name: String,
        known: String,
    },
    #[error("the parameter `{name}` must be {wanted}, not {seen}")]
    ParameterValue {
        name: &'static str,
        wanted: String,
        seen: String,
    },
    #[error("`{operation}` takes {wanted}, not {seen}")]
    InputCount {
        operation: &'static str,
        wanted: String,
        seen: usize,
    },
    #[error("input `{name}` must have {wanted}, not {seen} bytes")]
    InputBytes {
        index: usize,
        name: &'static str,
        wanted: String,
        seen: u64,
    },
    #[error("the output would have {seen} bytes; the limit is {max}")]
    OutputBytes { seen: u128, max: u64 },
    #[error("input {index} has {seen} bytes; the limit is {max}")]
    InputTooLarge { index: usize, seen: u64, max: u64 },
    #[error("text {index} has {seen} bytes; the limit is {max}")]
    TextTooLarge { index: usize, seen: u64, max: u64 },
    #[error("the parameters have {seen} bytes; the limit is {max}")]
    ParametersTooLarge { seen: usize, max: u64 },
}

impl TaskFault {
    pub(super) fn unknown_operation(name: &str) -> Self {
        let known: Vec<_> = OPERATIONS.iter().map(|operation| operation.name).collect();
        Self::UnknownOperation {
            name: name.chars().take(80).collect(),
            known: known.join(", "),
        }
    }

    /// Path of the offending field in the submitted task.
    #[must_use]
    pub fn field(&self) -> String {
        match self {
            Self::UnknownOperation { .. } => "operation".to_owned(),
            Self::UnknownVersion { .. } => "version".to_owned(),
            Self::ParameterMissing(name) | Self::ParameterValue { name, .. } => {
                format!("parameters.{name}")
            }
            Self::ParameterUnknown { name, .. } => format!("parameters.{name}"),
            Self::ParametersTooLarge { .. } | Self::OutputBytes { .. } => "parameters".to_owned(),
            Self::InputCount { .. } => "inputs".to_owned(),
            Self::InputBytes { index, .. }
            | Self::InputTooLarge { index, .. }
            | Self::TextTooLarge { index, .. } => format!("inputs[{index}]"),
        }
    }

    fn limit(&self) -> Option<&'static str> {
        match self {
            Self::OutputBytes { .. } | Self::InputTooLarge { .. } => Some("BLOB_BYTES_MAX"),
            Self::TextTooLarge { .. } => Some("EMBED_TEXT_BYTES_MAX"),
            Self::ParametersTooLarge { .. } => Some("PARAMETERS_BYTES_MAX"),
            _ => None,
        }
    }
}

impl From<TaskFault> for Problem {
    fn from(fault: TaskFault) -> Self {
        let code = if fault.limit().is_some() {
            ProblemCode::LimitExceeded
        } else {
            ProblemCode::InvalidTask
        };
        let problem = Self::new(code, fault.to_string()).with_field(fault.field());
        match fault.limit() {
            Some(limit) => problem.with_limit(limit),
            None => problem,
        }
    }
}
