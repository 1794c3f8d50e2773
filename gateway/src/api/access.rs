//! Who asks: the access token's grant, within its user's share. A middleware finds it once; it is an extractor for each role,
//! so that a handler's signature says whom it serves.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Extension;
use axum::body::Body;
use axum::extract::{FromRequestParts, Request};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{Extensions, HeaderMap};
use hyper::body::{Frame, SizeHint};
use protocol::UserName;
use protocol::problem::{Problem, ProblemCode};
use tokio::sync::OwnedSemaphorePermit;

use crate::access::{AccessToken, AccessTokenError};
use crate::gateway::Gateway;
use crate::problem::ApiProblem;
use crate::shares::{Memory, Share, Uploading};
use crate::store::{AccessGrant, AccessRole, TaskScope};

/// A valid access token of either role.
#[derive(Clone)]
pub(super) struct Client {
    grant: AccessGrant,
    share: Arc<Share>,
}

/// A valid access token of an operator.
#[derive(Debug)]
pub(super) struct Operator(());

/// Around every route that needs an access token: whose it is, and whether the request is within that user's share, which it
/// takes from until its answer has gone out.
pub(super) async fn admit(
    Extension(gateway): Extension<Arc<Gateway>>,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiProblem> {
    let grant = grant(request.headers(), &gateway).await?;
    let admitted = gateway
        .shares
        .admit(&grant.user, gateway.clock.monotonic())?;
    let share = Arc::clone(&admitted.share);
    request.extensions_mut().insert(Client { grant, share });
    let mut response = next.run(request).await;
    gateway.shares.tell(admitted.standing(), &mut response);
    let place = admitted.place;
    Ok(response.map(|body| {
        Body::new(Placed {
            body,
            _place: place,
        })
    }))
}

impl Client {
    /// The one that [`admit`] found. A route that is not behind it serves nobody.
    fn of(extensions: &Extensions) -> Result<Self, ApiProblem> {
        let client = extensions.get::<Self>().cloned();
        client.ok_or_else(|| {
            ApiProblem::internal(&std::io::Error::other("a route asks for no access token"))
        })
    }

    pub(super) fn user(&self) -> &UserName {
        &self.grant.user
    }

    pub(super) fn is_operator(&self) -> bool {
        self.grant.role == AccessRole::Operator
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

    /// Memory for a body of so many bytes, if there is any left.
    pub(super) fn reserve(&self, bytes: usize) -> Result<Memory, ApiProblem> {
        self.share.reserve(bytes)
    }

    /// Room on the disk for an upload, as [`Share::upload`].
    pub(super) fn reserve_upload(&self, bytes: Option<u64>, left: u64) -> Result<Uploading, u64> {
        Arc::clone(&self.share).upload(bytes, left)
    }
}

/// Memory for the body of a request, as [`Client::reserve`].
pub(super) fn reserve_for(request: &Request, bytes: usize) -> Result<Memory, ApiProblem> {
    Client::of(request.extensions())?.reserve(bytes)
}

impl FromRequestParts<Arc<Gateway>> for Client {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Gateway>) -> Result<Self, ApiProblem> {
        Self::of(&parts.extensions)
    }
}

impl FromRequestParts<Arc<Gateway>> for Operator {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Gateway>) -> Result<Self, ApiProblem> {
        if Client::of(&parts.extensions)?.is_operator() {
            return Ok(Self(()));
        }
        let detail = "this needs an operator's access token";
        Err(Problem::new(ProblemCode::RoleInsufficient, detail).into())
    }
}

async fn grant(headers: &HeaderMap, gateway: &Gateway) -> Result<AccessGrant, ApiProblem> {
    let token = AccessToken::from_headers(headers).map_err(|error| {
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

/// An answer's body that keeps its request's place until it is sent, or nobody wants it any more.
struct Placed {
    body: Body,
    _place: OwnedSemaphorePermit,
}

impl hyper::body::Body for Placed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
