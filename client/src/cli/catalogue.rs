//! `operations`: what the pool offers.

use protocol::api::{OperationView, ParameterView};
use protocol::catalogue::{Inputs, OPERATIONS, Operation, Parameter, ParameterKind};

use super::Session;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::program::{StyleFlags, World};
use crate::table::{cell, table};
use crate::terminal::Terminal;

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
    let mut table = table(
        terminal.style,
        &[
            "OPERATION",
            "VERSION",
            "PARAMETERS",
            "INPUTS",
            "OUTPUT",
            "SUMMARY",
        ],
    );
    for operation in operations {
        let parameters: Vec<_> = operation
            .parameters
            .iter()
            .map(|parameter| parameter.name.as_str())
            .collect();
        let parameters = if parameters.is_empty() {
            "-".to_owned()
        } else {
            parameters.join(" ")
        };
        table.add_row([
            cell(&operation.name),
            cell(operation.version.to_string()),
            cell(parameters),
            cell(&operation.inputs),
            cell(&operation.output),
            cell(&operation.summary),
        ]);
    }
    terminal.table(&table)?;
    terminal.note("Arrays are little-endian binary32, row by row. --json tells which values each parameter may have.")?;
    Ok(Exit::Success)
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
