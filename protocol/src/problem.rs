//! Errors of the REST API: RFC 9457 problem details, with a stable `code`.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Media type of a problem.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// One refused request: what was wrong, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Problem {
    /// `urn:cocoon:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    pub code: ProblemCode,
    /// What was wrong with this very request, and what to do.
    pub detail: String,
    /// Path of the offending field, as in `inputs[1].data`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The limit that was exceeded, by its name in the documentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
}

/// The stable codes. A client may match on them; texts may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemCode {
    MalformedRequest,
    InvalidTask,
    LimitExceeded,
    MissingBlob,
    DigestMismatch,
    AccessTokenMissing,
    AccessTokenInvalid,
    RoleInsufficient,
    NotFound,
    MethodNotAllowed,
    UnsupportedMediaType,
    IdempotencyConflict,
    WrongState,
    AlreadyExists,
    NotFinished,
    TaskFailed,
    NotInTime,
    QuotaExceeded,
    TooManyRequests,
    SessionStale,
    Overloaded,
    Internal,
}

impl ProblemCode {
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::MalformedRequest | Self::DigestMismatch => 400,
            Self::AccessTokenMissing | Self::AccessTokenInvalid => 401,
            Self::RoleInsufficient => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::IdempotencyConflict
            | Self::WrongState
            | Self::AlreadyExists
            | Self::NotFinished => 409,
            Self::LimitExceeded => 413,
            Self::UnsupportedMediaType => 415,
            Self::InvalidTask | Self::MissingBlob | Self::TaskFailed => 422,
            Self::QuotaExceeded | Self::TooManyRequests => 429,
            Self::NotInTime => 504,
            Self::SessionStale | Self::Overloaded => 503,
            Self::Internal => 500,
        }
    }

    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::MalformedRequest => "The request could not be read",
            Self::InvalidTask => "The task does not fit the catalogue",
            Self::LimitExceeded => "A limit was exceeded",
            Self::MissingBlob => "An input was not uploaded",
            Self::DigestMismatch => "The content does not have the digest it was announced with",
            Self::AccessTokenMissing => "An access token is needed",
            Self::AccessTokenInvalid => "The access token is not valid",
            Self::RoleInsufficient => "The access token's role does not permit this",
            Self::NotFound => "There is no such thing",
            Self::MethodNotAllowed => "The method is not available here",
            Self::UnsupportedMediaType => "The body has another media type",
            Self::IdempotencyConflict => "The idempotency key was used for another task",
            Self::WrongState => "The present state does not permit this",
            Self::AlreadyExists => "It exists already",
            Self::NotFinished => "The task has not finished",
            Self::TaskFailed => "The task failed",
            Self::NotInTime => "The result did not come in time",
            Self::QuotaExceeded => "The quota is used up",
            Self::TooManyRequests => "The user asks too much at a time",
            Self::SessionStale => "The session must attest again",
            Self::Overloaded => "The gateway is overloaded",
            Self::Internal => "The gateway failed",
        }
    }

    /// The code as it stands in JSON.
    #[must_use]
    pub fn as_str(self) -> String {
        serde_json::to_value(self)
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default()
    }
}

impl Problem {
    #[must_use]
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:cocoon:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            code,
            detail: detail.into(),
            field: None,
            limit: None,
        }
    }

    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    #[must_use]
    pub fn with_limit(mut self, limit: impl Into<String>) -> Self {
        self.limit = Some(limit.into());
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.title, self.detail)?;
        if let Some(field) = &self.field {
            write!(formatter, " (field `{field}`)")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_rfc_9457() {
        let problem =
            Problem::new(ProblemCode::InvalidTask, "rows is missing").with_field("parameters.rows");
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(json["type"], "urn:cocoon:problem:invalid-task");
        assert_eq!(json["status"], 422);
        assert_eq!(json["field"], "parameters.rows");
        assert!(json.get("limit").is_none());
    }
}
