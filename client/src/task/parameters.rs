//! Parameters from a command line, `name=value`, typed as the catalogue says.

use protocol::catalogue::{Operation, ParameterKind};
use serde_json::{Map, Number, Value};

/// Why the parameters cannot be read; whether a value fits is the catalogue's to say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParameterError {
    #[error("`{0}` is not a parameter: expected NAME=VALUE")]
    NoValue(String),
    #[error("the parameter `{0}` is given twice")]
    Twice(String),
}

/// Types each `name=value`. A value that does not have its parameter's type stays text, and so does one of an unknown
/// parameter: reading the task against the catalogue then names the field and what would fit.
pub fn parameters(operation: &str, given: &[String]) -> Result<Map<String, Value>, ParameterError> {
    let operation = Operation::newest_version(operation)
        .and_then(|version| Operation::find(operation, version).ok());
    let mut parameters = Map::new();
    for text in given {
        let (name, value) = text
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| ParameterError::NoValue(text.clone()))?;
        let kind = operation
            .and_then(|operation| operation.parameter(name))
            .map(|parameter| parameter.kind);
        if parameters
            .insert(name.to_owned(), typed(kind, value))
            .is_some()
        {
            return Err(ParameterError::Twice(name.to_owned()));
        }
    }
    Ok(parameters)
}

fn typed(kind: Option<ParameterKind>, text: &str) -> Value {
    let number = match kind {
        Some(ParameterKind::Count { .. }) => text.parse::<u64>().ok().map(Number::from),
        Some(ParameterKind::Real { .. }) => text.parse::<f64>().ok().and_then(Number::from_f64),
        Some(ParameterKind::Choice(_)) | None => None,
    };
    number.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}
