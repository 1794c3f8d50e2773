//! The operation catalogue, for those who submit.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use protocol::api::{OperationView, ParameterView};
use protocol::catalogue::{Inputs, OPERATIONS, Operation, ParameterKind};

use super::access::Client;
use crate::gateway::Gateway;
use crate::worker::LiveSession;

/// What the pool can compute, and how many workers do now.
#[utoipa::path(
    get,
    path = "/v1/operations",
    tag = "pool",
    security(("access_token" = ["client"])),
    responses(
        (status = 200, description = "Every operation with its parameters", body = Vec<OperationView>),
    ),
)]
pub(super) async fn operations(
    State(gateway): State<Arc<Gateway>>,
    _: Client,
) -> Json<Vec<OperationView>> {
    let sessions = gateway.sessions.all();
    let operations = OPERATIONS
        .iter()
        .map(|operation| view(operation, &sessions));
    Json(operations.collect())
}

fn view(operation: &Operation, sessions: &[Arc<LiveSession>]) -> OperationView {
    let id = operation.id();
    let workers = sessions
        .iter()
        .filter(|session| session.offers(&id))
        .count();
    let parameters = operation.parameters.iter().map(|parameter| ParameterView {
        name: parameter.name.to_owned(),
        values: values(parameter.kind),
        summary: parameter.summary.to_owned(),
    });
    OperationView {
        name: operation.name.to_owned(),
        version: operation.version,
        summary: operation.summary.to_owned(),
        parameters: parameters.collect(),
        inputs: inputs(operation.inputs),
        output: operation.output.to_owned(),
        workers: u64::try_from(workers).ok(),
    }
}

fn values(kind: ParameterKind) -> String {
    match kind {
        ParameterKind::Count { min, max } => format!("a whole number from {min} to {max}"),
        ParameterKind::Real { min, max } => format!("a number from {min} to {max}"),
        ParameterKind::Choice(words) => format!("one of {}", words.join(", ")),
    }
}

fn inputs(inputs: Inputs) -> String {
    match inputs {
        Inputs::Named(names) => format!("{}: {}", names.len(), names.join(", ")),
        Inputs::Many { name, min, max } => format!("{min} to {max}: {name}"),
    }
}
