//! A task body that fits the catalogue: operation, typed parameters, sizes. Only [`Call::parse`] makes one.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Inputs, Operation, Parameter, ParameterKind, TaskFault};
use crate::limits::{BLOB_BYTES_MAX, INPUTS_COUNT_MAX, PARAMETERS_BYTES_MAX};

/// A task that the catalogue accepts.
#[derive(Debug, Clone)]
pub struct Call {
    operation: &'static Operation,
    values: Values,
    input_bytes: Vec<u64>,
    output_bytes: u64,
}

impl Call {
    /// Reads operation, parameters and input sizes against the catalogue.
    pub fn parse(
        name: &str,
        version: u32,
        parameters: &Map<String, Value>,
        input_bytes: &[u64],
    ) -> Result<Self, TaskFault> {
        let operation = Operation::find(name, version)?;
        let values = Values::parse(operation, parameters)?;
        count_inputs(operation, input_bytes.len())?;
        for (index, &seen) in input_bytes.iter().enumerate() {
            if seen > BLOB_BYTES_MAX {
                return Err(TaskFault::InputTooLarge {
                    index,
                    seen,
                    max: BLOB_BYTES_MAX,
                });
            }
        }
        let output_bytes = (operation.layout)(&values, input_bytes)?;
        Ok(Self {
            operation,
            values,
            input_bytes: input_bytes.to_vec(),
            output_bytes,
        })
    }

    #[must_use]
    pub fn operation(&self) -> &'static Operation {
        self.operation
    }

    #[must_use]
    pub fn values(&self) -> &Values {
        &self.values
    }

    /// Sizes of the inputs, in bytes.
    #[must_use]
    pub fn input_bytes(&self) -> &[u64] {
        &self.input_bytes
    }

    /// Size of the output, in bytes: known before anything runs.
    #[must_use]
    pub fn output_bytes(&self) -> u64 {
        self.output_bytes
    }
}

fn count_inputs(operation: &'static Operation, seen: usize) -> Result<(), TaskFault> {
    let (wanted, fits) = match operation.inputs {
        Inputs::Named(names) => (
            format!("{} inputs ({})", names.len(), names.join(", ")),
            seen == names.len(),
        ),
        Inputs::Many { name, min, max } => (
            format!("{min} to {max} inputs ({name})"),
            (min..=max.min(INPUTS_COUNT_MAX)).contains(&seen),
        ),
    };
    if fits {
        Ok(())
    } else {
        Err(TaskFault::InputCount {
            operation: operation.name,
            wanted,
            seen,
        })
    }
}

/// The parameters of a call, typed as the catalogue says.
#[derive(Debug, Clone, PartialEq)]
pub struct Values(BTreeMap<&'static str, TypedValue>);

#[derive(Debug, Clone, Copy, PartialEq)]
enum TypedValue {
    Count(u64),
    Real(f32),
    Choice(&'static str),
}

impl Values {
    fn parse(
        operation: &'static Operation,
        parameters: &Map<String, Value>,
    ) -> Result<Self, TaskFault> {
        let seen = serde_json::to_vec(parameters).map_or(usize::MAX, |bytes| bytes.len());
        if u64::try_from(seen).unwrap_or(u64::MAX) > PARAMETERS_BYTES_MAX {
            return Err(TaskFault::ParametersTooLarge {
                seen,
                max: PARAMETERS_BYTES_MAX,
            });
        }
        if let Some(name) = parameters
            .keys()
            .find(|name| operation.parameter(name).is_none())
        {
            return Err(unknown_parameter(operation, name));
        }
        let typed = operation.parameters.iter().map(|parameter| {
            let value = parameters
                .get(parameter.name)
                .ok_or(TaskFault::ParameterMissing(parameter.name))?;
            Ok((parameter.name, typed_value(parameter, value)?))
        });
        typed.collect::<Result<_, _>>().map(Self)
    }

    /// A whole number of the catalogue; 0 for a name the operation does not have.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        match self.0.get(name) {
            Some(TypedValue::Count(count)) => *count,
            _ => 0,
        }
    }

    /// A real number of the catalogue; NaN for a name the operation does not have.
    #[must_use]
    pub fn real(&self, name: &str) -> f32 {
        match self.0.get(name) {
            Some(TypedValue::Real(real)) => *real,
            _ => f32::NAN,
        }
    }

    /// A word of the catalogue; empty for a name the operation does not have.
    #[must_use]
    pub fn choice(&self, name: &str) -> &'static str {
        match self.0.get(name) {
            Some(TypedValue::Choice(choice)) => choice,
            _ => "",
        }
    }
}

fn unknown_parameter(operation: &'static Operation, name: &str) -> TaskFault {
    let known: Vec<_> = operation
        .parameters
        .iter()
        .map(|parameter| parameter.name)
        .collect();
    let known = if known.is_empty() {
        "none".to_owned()
    } else {
        known.join(", ")
    };
    TaskFault::ParameterUnknown {
        operation: operation.name,
        name: name.chars().take(80).collect(),
        known,
    }
}

fn typed_value(parameter: &'static Parameter, value: &Value) -> Result<TypedValue, TaskFault> {
    let (typed, wanted) = match parameter.kind {
        ParameterKind::Count { min, max } => (
            value
                .as_u64()
                .filter(|count| (min..=max).contains(count))
                .map(TypedValue::Count),
            format!("a whole number from {min} to {max}"),
        ),
        ParameterKind::Real { min, max } => (
            value
                .as_f64()
                .map(narrow)
                .filter(|real| (min..=max).contains(real))
                .map(TypedValue::Real),
            real_range(min, max),
        ),
        ParameterKind::Choice(words) => (
            words
                .iter()
                .find(|word| value.as_str() == Some(word))
                .map(|word| TypedValue::Choice(word)),
            format!("one of {}", words.join(", ")),
        ),
    };
    typed.ok_or_else(|| TaskFault::ParameterValue {
        name: parameter.name,
        wanted,
        seen: value.to_string().chars().take(80).collect(),
    })
}

fn real_range(min: f32, max: f32) -> String {
    if (min, max) == (f32::MIN, f32::MAX) {
        return "a finite binary32 number".to_owned();
    }
    format!("a number from {min} to {max}")
}

/// The nearest binary32; a value beyond its range becomes infinite and fails the range test of every parameter.
#[expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "rounding to binary32 is the purpose; no std function does it"
)]
fn narrow(real: f64) -> f32 {
    real as f32
}
