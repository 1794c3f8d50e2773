//! One request, described before it is made.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;
use serde::Serialize;

use super::ANSWER_TIMEOUT;
use super::retry::Repeat;

const JSON: &str = "application/json";

pub(super) struct Call {
    /// As in "the gateway refused to …".
    pub(super) action: &'static str,
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) body: Option<CallBody>,
    pub(super) repeat: Repeat,
    /// For the whole exchange.
    pub(super) limit: Duration,
}

/// A body that is at hand.
pub(super) struct CallBody {
    pub(super) media_type: &'static str,
    pub(super) bytes: Bytes,
}

impl Call {
    pub(super) fn get(action: &'static str, path: impl Into<String>) -> Self {
        Self::new(action, Method::GET, path, Repeat::Safe)
    }

    pub(super) fn new(
        action: &'static str,
        method: Method,
        path: impl Into<String>,
        repeat: Repeat,
    ) -> Self {
        Self {
            action,
            method,
            path: path.into(),
            query: Vec::new(),
            body: None,
            repeat,
            limit: ANSWER_TIMEOUT,
        }
    }

    pub(super) fn with_query(mut self, name: &'static str, value: &impl ToString) -> Self {
        self.query.push((name, value.to_string()));
        self
    }

    pub(super) fn with_json<T: Serialize>(self, value: &T) -> Self {
        self.with_body(JSON, to_json(value))
    }

    pub(super) fn with_body(mut self, media_type: &'static str, bytes: Vec<u8>) -> Self {
        self.body = Some(CallBody {
            media_type,
            bytes: bytes.into(),
        });
        self
    }

    /// The gateway may wait so long before it answers.
    pub(super) fn with_wait(self, wait_s: u32) -> Self {
        let limit = ANSWER_TIMEOUT.saturating_add(Duration::from_secs(wait_s.into()));
        self.with_query("wait_s", &wait_s).with_limit(limit)
    }

    pub(super) fn with_limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }
}

/// The interface's types as JSON.
pub(super) fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_json(&mut bytes, value);
    bytes
}

pub(super) fn write_json<T: Serialize>(bytes: &mut Vec<u8>, value: &T) {
    match serde_json::to_writer(bytes, value) {
        Ok(()) => {}
        // Structs of strings, numbers and JSON values always serialise.
        Err(error) => unreachable!("{error}"),
    }
}
