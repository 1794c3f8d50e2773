//! The appraisal policy: read again from the operator's file.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use protocol::api::AppraisalPolicyView;
use protocol::problem::{Problem, ProblemCode};

use super::access::Operator;
use crate::gateway::Gateway;
use crate::policy_file;
use crate::problem::{ApiProblem, chain};

/// Read the appraisal policy's file again.
///
/// A policy that differs is in force at once: every live session gets no task until its evidence was appraised under it, and
/// is cut where that refuses. SIGHUP does the same. A file that is refused changes nothing.
#[utoipa::path(
    post,
    path = "/v1/appraisal-policy:reload",
    tag = "pool",
    security(("access_token" = ["operator"])),
    responses(
        (status = 200, description = "The policy in force", body = AppraisalPolicyView),
        (status = 409, description = "The file is refused; the former policy stays", body = Problem),
    ),
)]
pub(super) async fn reload(
    State(gateway): State<Arc<Gateway>>,
    _: Operator,
) -> Result<Json<AppraisalPolicyView>, ApiProblem> {
    let reloaded = policy_file::reload(&gateway).await;
    let sha256 = reloaded.map_err(|error| {
        let detail = format!("the former policy stays: {}", chain(&error));
        ApiProblem::from(Problem::new(ProblemCode::WrongState, detail))
    })?;
    Ok(Json(AppraisalPolicyView { sha256 }))
}
