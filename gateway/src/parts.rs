//! Path and query of a request, typed, with refusals that are problems.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path, Query};
use http::request::Parts;
use protocol::problem::{Problem, ProblemCode};
use serde::de::DeserializeOwned;

use crate::problem::ApiProblem;

/// The one variable segment of a path.
pub(crate) struct PathPart<T>(pub(crate) T);

/// The two variable segments of a path.
pub(crate) struct PathParts<A, B>(pub(crate) A, pub(crate) B);

fn segment<T>(segments: &[(String, String)], index: usize) -> Result<T, ApiProblem>
where
    T: FromStr,
    T::Err: Display,
{
    let (name, text) = segments
        .get(index)
        .ok_or_else(|| Problem::new(ProblemCode::NotFound, "the path is too short"))?;
    text.parse().map_err(|error: T::Err| {
        Problem::new(ProblemCode::MalformedRequest, error.to_string())
            .with_field(name)
            .into()
    })
}

async fn segments<S: Send + Sync>(
    parts: &mut Parts,
    state: &S,
) -> Result<Vec<(String, String)>, ApiProblem> {
    let path = Path::<Vec<(String, String)>>::from_request_parts(parts, state).await;
    path.map(|Path(segments)| segments).map_err(|rejection| {
        Problem::new(ProblemCode::MalformedRequest, rejection.body_text()).into()
    })
}

impl<S, T> FromRequestParts<S> for PathPart<T>
where
    S: Send + Sync,
    T: FromStr,
    T::Err: Display,
{
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiProblem> {
        segment(&segments(parts, state).await?, 0).map(Self)
    }
}

impl<S, A, B> FromRequestParts<S> for PathParts<A, B>
where
    S: Send + Sync,
    A: FromStr,
    A::Err: Display,
    B: FromStr,
    B::Err: Display,
{
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiProblem> {
        let segments = segments(parts, state).await?;
        Ok(Self(segment(&segments, 0)?, segment(&segments, 1)?))
    }
}

/// The query, by name; an unknown name is refused where the type says so.
pub(crate) struct QueryParts<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for QueryParts<T> {
    type Rejection = ApiProblem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiProblem> {
        let Query(query) =
            Query::<T>::from_request_parts(parts, state)
                .await
                .map_err(|rejection| {
                    Problem::new(ProblemCode::MalformedRequest, rejection.body_text())
                })?;
        Ok(Self(query))
    }
}
