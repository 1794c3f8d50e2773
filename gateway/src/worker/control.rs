//! `POST /v1/control`: the one stream on which the gateway, HTTP/2's server, can speak first.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use protocol::problem::{Problem, ProblemCode};

use super::connection::AttestedConnection;
use crate::problem::{ApiProblem, chain};

pub(super) async fn open(
    attested: AttestedConnection,
    request: Request,
) -> Result<Response, ApiProblem> {
    let (sender, receiver, response) = channel::accept_control(request)
        .map_err(|error| Problem::new(ProblemCode::MalformedRequest, chain(&error)))?;
    attested.hand_over((sender, receiver))?;
    Ok(response.map(Body::new))
}
