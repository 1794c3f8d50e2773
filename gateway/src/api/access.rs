//! Who asks: the access token's grant as an extractor, one for each role, so that a handler's signature says whom it serves.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use protocol::UserName;
use protocol::problem::{Problem, ProblemCode};

use crate::access::{AccessToken, AccessTokenError};
use crate::gateway::Gateway;
use crate::problem::ApiProblem;
use crate::store::{AccessGrant, AccessRole, TaskScope};

/// A valid access token of either role.
pub(super) struct Client(AccessGrant);

/// A valid access token of an operator.
#[derive(Debug)]
pub(super) struct Operator(());

impl Client {
    pub(super) fn user(&self) -> &UserName {
        &self.0.user
    }

    pub(super) fn is_operator(&self) -> bool {
        self.0.role == AccessRole::Operator
    }

    /// Which single tasks it may see: its user's own, or for an operator all.
    pub(super) fn scope(&self) -> TaskScope {
        if self.is_operator() {
            TaskScope::All
        } else {
            self.own()
        }
    }

    /// Its user's own tasks.
    pub(super) fn own(&self) -> TaskScope {
        TaskScope::User(self.user().clone())
    }
}

impl FromRequestParts<Arc<Gateway>> for Client {
    type Rejection = ApiProblem;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, ApiProblem> {
        grant(parts, gateway).await.map(Self)
    }
}

impl FromRequestParts<Arc<Gateway>> for Operator {
    type Rejection = ApiProblem;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, ApiProblem> {
        match grant(parts, gateway).await?.role {
            AccessRole::Operator => Ok(Self(())),
            AccessRole::Client => {
                let detail = "this needs an operator's access token";
                Err(Problem::new(ProblemCode::RoleInsufficient, detail).into())
            }
        }
    }
}

async fn grant(parts: &Parts, gateway: &Gateway) -> Result<AccessGrant, ApiProblem> {
    let token = AccessToken::from_headers(&parts.headers).map_err(|error| {
        let code = match error {
            AccessTokenError::Missing => ProblemCode::AccessTokenMissing,
            AccessTokenError::Malformed => ProblemCode::AccessTokenInvalid,
        };
        Problem::new(code, error.to_string())
    })?;
    let now_ms = gateway.now_ms();
    let grant = gateway.store.access_grant(token.sha256(), now_ms).await?;
    grant.ok_or_else(|| {
        let detail = "the access token is unknown or revoked";
        Problem::new(ProblemCode::AccessTokenInvalid, detail).into()
    })
}
