//! `operations`: what the pool offers.

use protocol::api::{OperationView, ParameterView};
use protocol::catalogue::{Inputs, OPERATIONS, Operation, Parameter, ParameterKind};

use super::Session;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::program::{StyleFlags, World};
use crate::terminal::{Terminal, within_line};

/// The gateway's catalogue.
pub(super) async fn offered(session: &Session, world: &mut World<'_>) -> Result<Exit, Failure> {
    let operations = session.gateway.operations().await?;
    show(&operations, &mut world.terminal(session.style))
}

/// The catalogue of this build.
pub(super) fn offline(style: StyleFlags, world: &mut World<'_>) -> Result<Exit, Failure> {
    let operations: Vec<_> = OPERATIONS.iter().map(view).collect();
    show(&operations, &mut world.terminal(style))
}

fn show(operations: &[OperationView], terminal: &mut Terminal<'_>) -> Result<Exit, Failure> {
    if terminal.style.json {
        terminal.json(&serde_json::json!({ "operations": operations }))?;
        return Ok(Exit::Success);
    }
    for operation in operations {
        terminal.line(block(operation))?;
    }
    terminal
        .note("Name parameters as in `-p rows=4`. Numbers are little-endian, arrays row by row.")?;
    Ok(Exit::Success)
}

/// A few lines for each operation: a table of all this would be wider than most terminals.
fn block(operation: &OperationView) -> String {
    let parameters: Vec<_> = operation
        .parameters
        .iter()
        .map(|parameter| format!("{}={}", parameter.name, brief(&parameter.values)))
        .collect();
    let parameters = if parameters.is_empty() {
        "none".to_owned()
    } else {
        parameters.join(" ")
    };
    let nobody = match operation.workers {
        Some(0) => " (no worker offers it now)",
        _ => "",
    };
    let lines = [
        format!("{} version {}{nobody}", operation.name, operation.version),
        format!("  {}", operation.summary),
        format!("  parameters  {parameters}"),
        format!("  inputs      {}", operation.inputs),
        format!("  output      {}", operation.output),
    ];
    lines
        .map(|line| within_line(&line).trim_end().to_owned())
        .join("\n")
}

/// Allowed values as a usage line gives them; a sentence that is not known stays as it is.
fn brief(values: &str) -> String {
    if let Some(words) = values.strip_prefix("one of ") {
        return words.replace(", ", "|");
    }
    if values == "a finite binary32 number" {
        return "NUMBER".to_owned();
    }
    if let Some(range) = values.strip_prefix("a whole number from ") {
        return range.replace(" to ", "…");
    }
    let range = values.strip_prefix("a number from ");
    range
        .and_then(real_range)
        .unwrap_or_else(|| format!("<{values}>"))
}

fn real_range(range: &str) -> Option<String> {
    let (min, max) = range.split_once(" to ")?;
    let (min, max) = (min.parse::<f32>().ok()?, max.parse::<f32>().ok()?);
    let is_unbounded = min <= f32::MIN && max >= f32::MAX;
    Some(if is_unbounded {
        "NUMBER".to_owned()
    } else {
        format!("{min:?}…{max:?}")
    })
}

fn view(operation: &Operation) -> OperationView {
    OperationView {
        name: operation.name.to_owned(),
        version: operation.version,
        summary: operation.summary.to_owned(),
        parameters: operation.parameters.iter().map(parameter_view).collect(),
        inputs: match operation.inputs {
            Inputs::Named(names) => format!("{}: {}", names.len(), names.join(", ")),
            Inputs::Many { name, min, max } => format!("{min} to {max}: {name}"),
        },
        output: operation.output.to_owned(),
        workers: None,
    }
}

fn parameter_view(parameter: &Parameter) -> ParameterView {
    ParameterView {
        name: parameter.name.to_owned(),
        values: match parameter.kind {
            ParameterKind::Count { min, max } => format!("a whole number from {min} to {max}"),
            ParameterKind::Real { min, max } => format!("a number from {min:e} to {max:e}"),
            ParameterKind::Choice(words) => format!("one of {}", words.join(", ")),
        },
        summary: parameter.summary.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allowed_values_are_brief() {
        for (values, wanted) in [
            ("one of sum, max, min", "sum|max|min"),
            ("a whole number from 1 to 9", "1…9"),
            ("a number from 0.000000000001 to 1", "1e-12…1.0"),
            ("a number from -3.4028235e38 to 3.4028235e38", "NUMBER"),
            (
                "a number from here to there",
                "<a number from here to there>",
            ),
            ("a finite binary32 number", "NUMBER"),
            ("a prime", "<a prime>"),
        ] {
            assert_eq!(brief(values), wanted);
        }
    }

    #[test]
    fn an_operation_that_nobody_offers_says_so() {
        let mut operation = view(&OPERATIONS[0]);
        assert!(!block(&operation).contains("no worker"));
        operation.workers = Some(1);
        assert!(!block(&operation).contains("no worker"));
        operation.workers = Some(0);
        let text = block(&operation);
        let head = text.lines().next().unwrap();
        assert_eq!(head, "embed version 1 (no worker offers it now)");
    }

    #[test]
    fn every_operation_fits_a_terminal() {
        for operation in OPERATIONS {
            for line in block(&view(operation)).lines() {
                assert!(line.chars().count() <= 80, "{line}");
                assert_eq!(line, line.trim_end());
            }
        }
    }
}
