//! Why a call to the gateway did not give what was asked for, kept apart by who must act.

use std::error::Error as _;
use std::time::Duration;

use protocol::Sha256Digest;
use protocol::problem::{Problem, ProblemCode};

use crate::exit::Exit;
use crate::terminal::within_line;
use crate::tls::TlsError;

#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The configuration does not make a client.
    #[error("no connection can be set up")]
    Tls(#[source] TlsError),
    #[error("no connection can be set up")]
    Client(#[source] reqwest::Error),
    /// Nobody answered, or the connection broke.
    #[error("the gateway at {gateway} cannot be reached")]
    Unreachable {
        gateway: String,
        #[source]
        source: reqwest::Error,
    },
    /// Somebody answered whose certificate does not hold.
    #[error("the server at {gateway} is not trusted: its certificate does not hold")]
    Untrusted {
        gateway: String,
        #[source]
        source: reqwest::Error,
    },
    #[error("the gateway at {gateway} did not answer within {} s", limit.as_secs())]
    Timeout { gateway: String, limit: Duration },
    /// The gateway answered with problem details (RFC 9457).
    #[error("the gateway refused to {action}: {}", problem_text(problem))]
    Refused {
        action: &'static str,
        problem: Box<Problem>,
        /// When to come back, where the gateway said so.
        retry_after: Option<Duration>,
    },
    /// The answer is not what the interface says.
    #[error("the answer of {gateway} to \"{action}\" is not the pool's")]
    BadAnswer {
        gateway: String,
        action: &'static str,
        #[source]
        source: AnswerError,
    },
    /// A local file failed in the middle of an upload or a download.
    #[error("{what} failed")]
    File {
        what: String,
        #[source]
        source: std::io::Error,
    },
}

/// What was wrong with an answer.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    #[error("status {status} without problem details: {excerpt}")]
    Status { status: u16, excerpt: String },
    #[error("the body is not the JSON it should be")]
    Json(#[source] serde_json::Error),
    #[error("the body is longer than {limit} bytes")]
    TooLong { limit: u64 },
    #[error("the body broke off")]
    BrokenOff(#[source] reqwest::Error),
    #[error("the content has the digest {seen}, not {wanted}")]
    Digest {
        seen: Sha256Digest,
        wanted: Sha256Digest,
    },
    #[error("the content has {seen} bytes, not {wanted}")]
    Length { seen: u64, wanted: u64 },
    #[error("the content goes on after the {wanted} bytes that were announced")]
    Excess { wanted: u64 },
    #[error("it is about {seen}, not about {wanted}")]
    Subject { seen: String, wanted: String },
    #[error("{seen} outcomes for {wanted} tasks")]
    BatchLength { seen: usize, wanted: usize },
}

impl GatewayError {
    /// Sorts a transport error: a certificate that does not hold is no outage.
    pub(super) fn transport(gateway: &str, source: reqwest::Error, limit: Duration) -> Self {
        let gateway = gateway.to_owned();
        if is_certificate_error(&source) {
            Self::Untrusted { gateway, source }
        } else if source.is_timeout() && !source.is_connect() {
            Self::Timeout { gateway, limit }
        } else {
            Self::Unreachable { gateway, source }
        }
    }

    /// The error of a step of a larger action, told as that action's.
    #[must_use]
    pub fn for_action(mut self, whole: &'static str) -> Self {
        if let Self::Refused { action, .. } | Self::BadAnswer { action, .. } = &mut self {
            *action = whole;
        }
        self
    }

    /// The refusal's details, where the gateway gave any.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        match self {
            Self::Refused { problem, .. } => Some(problem),
            _ => None,
        }
    }

    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } | Self::Untrusted { .. } | Self::Timeout { .. } => {
                Exit::Unreachable
            }
            Self::Refused { problem, .. } if matches!(problem.status, 401 | 403) => Exit::Denied,
            Self::BadAnswer {
                source:
                    AnswerError::Status {
                        status: 401 | 403, ..
                    },
                ..
            } => Exit::Denied,
            Self::BadAnswer { source, .. } if source.is_finding() => Exit::Findings,
            _ => Exit::Error,
        }
    }

    /// What the user can do about it.
    #[must_use]
    pub fn remedy(&self) -> Option<String> {
        let remedy = match self {
            Self::Tls(_) => "look at the CA file named by --ca-file, COCOON_CA_FILE or `ca_file`",
            Self::Unreachable { .. } => {
                "see that the address is right, that the gateway runs and that no firewall is between"
            }
            Self::Untrusted { .. } => {
                "use the name that the gateway's certificate carries, and name the pool's CA file with --ca-file or COCOON_CA_FILE; if both are right, somebody else answers there"
            }
            Self::Timeout { .. } => "try again; if it stays so, ask the operator",
            Self::Refused { problem, .. } => return refusal_remedy(problem),
            Self::BadAnswer { source, .. } if source.is_finding() => {
                "do not use the content; tell the operator, and keep what `cocoon receipt` and `cocoon attestation` give"
            }
            Self::BadAnswer { .. } => {
                "see that the address is a Cocoon gateway's API, and that this program's version fits it"
            }
            Self::Client(_) | Self::File { .. } => return None,
        };
        Some(remedy.to_owned())
    }

    /// Whether the same request may succeed a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::Refused { problem, .. } => {
                is_passing(problem.code) || problem.code == ProblemCode::NotInTime
            }
            Self::BadAnswer { source, .. } => {
                matches!(
                    source,
                    AnswerError::Status {
                        status: 429 | 502 | 503 | 504,
                        ..
                    } | AnswerError::BrokenOff(_)
                )
            }
            _ => false,
        }
    }

    /// Whether the request certainly had no effect: no connection was made, or the gateway declined to begin.
    pub(super) fn had_no_effect(&self) -> bool {
        match self {
            Self::Unreachable { source, .. } => source.is_connect(),
            Self::Refused { problem, .. } => is_passing(problem.code),
            _ => false,
        }
    }

    /// How long the gateway wants to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl AnswerError {
    /// The gateway, or somebody before it, gave other content than it announced: no mere fault of versions.
    const fn is_finding(&self) -> bool {
        matches!(
            self,
            Self::Digest { .. } | Self::Length { .. } | Self::Excess { .. } | Self::Subject { .. }
        )
    }
}

/// Refused before it was begun, and for what passes by itself.
const fn is_passing(code: ProblemCode) -> bool {
    matches!(code, ProblemCode::Overloaded | ProblemCode::TooManyRequests)
}

fn problem_text(problem: &Problem) -> String {
    let text = match &problem.limit {
        Some(limit) => format!("{problem} (limit {limit})"),
        None => problem.to_string(),
    };
    within_line(&text)
}

fn refusal_remedy(problem: &Problem) -> Option<String> {
    let remedy = match problem.code {
        ProblemCode::AccessTokenMissing => {
            "put an access token into a file and name it with --access-token-file, or set COCOON_ACCESS_TOKEN"
        }
        ProblemCode::AccessTokenInvalid => "ask the operator for a new access token",
        ProblemCode::RoleInsufficient => {
            "this needs another role: ask the operator, or use the operator's access token"
        }
        ProblemCode::IdempotencyConflict => {
            "use another --idempotency-key, or submit exactly the task that the key was first used for"
        }
        ProblemCode::NotFinished => "wait for it: `cocoon status <task>` shows where it is",
        ProblemCode::Overloaded => "try again in a while",
        ProblemCode::NotInTime => "see whether it was done all the same, then try again",
        ProblemCode::TooManyRequests => {
            "ask less at a time, submit tasks in batches, or ask the operator for a higher limit"
        }
        // The refusal says when room comes.
        ProblemCode::QuotaExceeded
            if problem.limit.as_deref() == Some("blob_bytes_per_user_max") =>
        {
            "send smaller inputs, or inputs that the gateway has already; or ask the operator for a higher limit"
        }
        ProblemCode::QuotaExceeded => {
            "wait until some of your tasks have run, cancel some, or ask the operator for a higher limit"
        }
        ProblemCode::DigestMismatch | ProblemCode::MissingBlob => {
            "submit again, and leave the input files alone meanwhile"
        }
        ProblemCode::Internal => "try again; if it stays so, tell the operator",
        _ => return None,
    };
    Some(remedy.to_owned())
}

fn is_certificate_error(error: &reqwest::Error) -> bool {
    let mut next = error.source();
    while let Some(cause) = next {
        if is_certificate_cause(cause) {
            return true;
        }
        next = cause.source();
    }
    false
}

/// rustls's error hides inside one `io::Error` or two, whose `source` skips the error that it wraps.
fn is_certificate_cause(cause: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(error) = cause.downcast_ref::<rustls::Error>() {
        return matches!(error, rustls::Error::InvalidCertificate(_));
    }
    let wrapped = cause
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref);
    wrapped.is_some_and(|inner| is_certificate_cause(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_quota_has_its_own_remedy() {
        let refused = |limit: &str| {
            let problem = Problem::new(ProblemCode::QuotaExceeded, "too much").with_limit(limit);
            GatewayError::Refused {
                action: "store the blob",
                problem: Box::new(problem),
                retry_after: None,
            }
        };
        let blobs = refused("blob_bytes_per_user_max");
        assert!(
            blobs
                .to_string()
                .contains("(limit blob_bytes_per_user_max)")
        );
        assert!(blobs.remedy().unwrap().starts_with("send smaller inputs"));
        let tasks = refused("queued_per_user_max").remedy().unwrap();
        assert!(tasks.contains("until some of your tasks have run"));
        assert!(!blobs.is_transient());
    }
}
