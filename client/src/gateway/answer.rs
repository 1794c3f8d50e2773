//! Reading answers: bounded, typed, and never trusted to be what they claim.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use protocol::limits::API_BODY_BYTES_MAX;
use protocol::problem::Problem;
use reqwest::Response;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde::de::DeserializeOwned;

use super::AnswerError;
use crate::terminal::within_line;

/// Of an answer that cannot be read, this much is shown.
const EXCERPT_CHARACTERS_MAX: usize = 200;

pub(super) fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, AnswerError> {
    serde_json::from_slice(bytes).map_err(AnswerError::Json)
}

/// The text of an object whose fields are another program's to read.
pub(super) fn json_object(bytes: &[u8]) -> Result<String, AnswerError> {
    json::<serde_json::Map<String, serde_json::Value>>(bytes)?;
    // What is JSON is UTF-8: nothing is replaced.
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

/// The whole body, up to the interface's limit.
pub(super) async fn read(mut response: Response) -> Result<Bytes, AnswerError> {
    let limit = u64::try_from(API_BODY_BYTES_MAX).unwrap_or(u64::MAX);
    let announced = response.content_length().unwrap_or(0).min(limit);
    let mut body = BytesMut::with_capacity(usize::try_from(announced).unwrap_or(0));
    while let Some(chunk) = response.chunk().await.map_err(AnswerError::BrokenOff)? {
        if body.len().saturating_add(chunk.len()) > API_BODY_BYTES_MAX {
            return Err(AnswerError::TooLong { limit });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// When to come back (RFC 9110, section 10.2.3), in seconds as the gateway says it; somebody before it may name a date, which
/// is not read.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The problem details of a refusal, or the beginning of whatever came instead.
pub(super) async fn problem(response: Response) -> Result<Problem, String> {
    let status = response.status().as_u16();
    let Ok(body) = read(response).await else {
        return Err("its body could not be read".to_owned());
    };
    match json::<Problem>(&body) {
        // The status that was sent counts, whatever the body says.
        Ok(problem) => Ok(Problem { status, ..problem }),
        Err(_) => Err(excerpt(&body)),
    }
}

fn excerpt(body: &[u8]) -> String {
    if body.is_empty() {
        return "(empty)".to_owned();
    }
    let text = String::from_utf8_lossy(body);
    let start: String = text.chars().take(EXCERPT_CHARACTERS_MAX).collect();
    within_line(&start)
}
