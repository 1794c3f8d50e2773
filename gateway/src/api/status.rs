//! The pool at a glance.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use protocol::api::PoolStatus;

use super::access::Operator;
use crate::gateway::Gateway;
use crate::problem::ApiProblem;

/// The pool at a glance.
#[utoipa::path(
    get,
    path = "/v1/status",
    tag = "pool",
    security(("access_token" = ["operator"])),
    responses(
        (status = 200, description = "Counts, trust anchor, appraisal policy and collateral", body = PoolStatus),
    ),
)]
pub(super) async fn status(
    State(gateway): State<Arc<Gateway>>,
    _: Operator,
) -> Result<Json<PoolStatus>, ApiProblem> {
    let (tasks, workers) = gateway.counts(gateway.store.counts().await?);
    let party = &gateway.relying_party;
    let next_update_s = party.collateral.next_update_s();
    Ok(Json(PoolStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_ms: gateway.started_ms,
        now_ms: gateway.now_ms(),
        trust_anchor: party.trust_anchor().label().to_owned(),
        simulated: gateway.is_simulated(),
        appraisal_policy_sha256: party.in_force.policy().document.sha256.to_string(),
        collateral_next_update_ms: next_update_s.map(|seconds| seconds.saturating_mul(1_000)),
        tasks,
        workers,
    }))
}
