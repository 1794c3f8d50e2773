//! A task: what is to be computed ([`TaskBody`], covered by the task digest) and how its life goes ([`TaskState`]).

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::catalogue::{Call, TaskFault};
use crate::digest::Sha256Digest;

/// Separates task digests from every other SHA-256 of the pool.
const DIGEST_LABEL: &[u8] = b"cocoon-task/1\0";

/// Integers that every binary64 holds, as RFC 8785 wants its numbers.
const EXACT_MAX: u64 = (1 << 53) - 1;

/// What is to be computed, without how it is scheduled. Its canonical bytes are its JSON by RFC 8785, so that a
/// submitter in any language can compute the digest before it submits and compare it with the receipt's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskBody {
    pub operation: String,
    pub version: u32,
    pub parameters: Map<String, Value>,
    pub inputs: Vec<InputDescriptor>,
}

/// One input, by content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputDescriptor {
    pub sha256: Sha256Digest,
    pub bytes: u64,
}

impl InputDescriptor {
    /// Describes bytes at hand.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            sha256: Sha256Digest::of(bytes),
            bytes: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
        }
    }
}

/// Why bytes are no task body.
#[derive(Debug, thiserror::Error)]
pub enum TaskBodyError {
    #[error("the task body is not the JSON it should be")]
    Json(#[source] serde_json::Error),
    #[error("the task body is not in its canonical form (RFC 8785)")]
    NotCanonical,
}

impl TaskBody {
    /// The canonical bytes.
    pub fn canonical(&self) -> Result<Vec<u8>, TaskBodyError> {
        if self.inputs.iter().any(|input| input.bytes > EXACT_MAX) {
            return serde_json_canonicalizer::to_vec(self).map_err(TaskBodyError::Json);
        }
        self.members_in_order().map_err(TaskBodyError::Json)
    }

    /// The same, in a fifth of the time, which every task takes three times: only parameters may hold what needs a canonical
    /// writer. Of the rest plain JSON is canonical once its members stand in order, and they are known.
    fn members_in_order(&self) -> serde_json::Result<Vec<u8>> {
        #[derive(Serialize)]
        struct Input {
            bytes: u64,
            sha256: Sha256Digest,
        }
        let inputs: Vec<_> = self
            .inputs
            .iter()
            .map(|&InputDescriptor { sha256, bytes }| Input { bytes, sha256 })
            .collect();
        // As long as most are.
        let mut json = Vec::with_capacity(256);
        json.extend_from_slice(br#"{"inputs":"#);
        serde_json::to_writer(&mut json, &inputs)?;
        json.extend_from_slice(br#","operation":"#);
        serde_json::to_writer(&mut json, &self.operation)?;
        json.extend_from_slice(br#","parameters":"#);
        if self.parameters.is_empty() {
            json.extend_from_slice(b"{}");
        } else {
            serde_json_canonicalizer::to_writer(&self.parameters, &mut json)?;
        }
        json.extend_from_slice(br#","version":"#);
        serde_json::to_writer(&mut json, &self.version)?;
        json.push(b'}');
        Ok(json)
    }

    /// Reads canonical bytes; any other form of the same JSON is refused, so that one body has one digest.
    pub fn from_canonical(bytes: &[u8]) -> Result<Self, TaskBodyError> {
        let body: Self = serde_json::from_slice(bytes).map_err(TaskBodyError::Json)?;
        if body.canonical()? == bytes {
            Ok(body)
        } else {
            Err(TaskBodyError::NotCanonical)
        }
    }

    /// Reads the body against the catalogue.
    pub fn call(&self) -> Result<Call, TaskFault> {
        let sizes: Vec<_> = self.inputs.iter().map(|input| input.bytes).collect();
        Call::parse(&self.operation, self.version, &self.parameters, &sizes)
    }
}

/// The task digest of canonical bytes: SHA-256("cocoon-task/1" 0x00 ‖ bytes).
#[must_use]
pub fn task_digest(canonical: &[u8]) -> Sha256Digest {
    Sha256Digest::of_parts(&[DIGEST_LABEL, canonical])
}

/// Where a task is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TaskState {
    /// Waiting for a worker.
    Queued,
    /// Leased.
    Running,
    /// Acknowledged: output and receipt are on disk.
    Succeeded,
    /// Set aside: attempts used up, or it can never succeed.
    DeadLetter,
    /// The submitter no longer wants it.
    Cancelled,
    /// Its deadline passed before a worker took it.
    Expired,
}

impl TaskState {
    pub const ALL: [Self; 6] = [
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::DeadLetter,
        Self::Cancelled,
        Self::Expired,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::DeadLetter => "dead-letter",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }

    /// Nothing happens to it any more, unless an operator redrives it.
    #[must_use]
    pub const fn is_finished(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Why a text names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a task state: expected queued, running, succeeded, dead-letter, cancelled or expired"
)]
pub struct TaskStateError(String);

impl std::str::FromStr for TaskState {
    type Err = TaskStateError;

    fn from_str(text: &str) -> Result<Self, TaskStateError> {
        let found = Self::ALL.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| TaskStateError(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn body() -> TaskBody {
        TaskBody {
            operation: "layer_norm".to_owned(),
            version: 1,
            parameters: serde_json::from_value(json!({"rows": 1, "epsilon": 1e-5, "columns": 1}))
                .unwrap(),
            inputs: vec![InputDescriptor::of(b"abc")],
        }
    }

    /// The canonical form was written by hand after RFC 8785 (sorted keys, no spaces, ECMAScript numbers).
    #[test]
    fn canonical_bytes_and_digest_are_known() {
        let canonical = body().canonical().unwrap();
        let expected = concat!(
            r#"{"inputs":[{"bytes":3,"sha256":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}],"#,
            r#""operation":"layer_norm","parameters":{"columns":1,"epsilon":0.00001,"rows":1},"version":1}"#
        );
        assert_eq!(String::from_utf8(canonical.clone()).unwrap(), expected);
        let labelled = [b"cocoon-task/1\0".as_slice(), &canonical].concat();
        assert_eq!(task_digest(&canonical), Sha256Digest::of(&labelled));
    }

    fn number() -> impl Strategy<Value = Value> {
        let float = proptest::num::f64::NORMAL.prop_map(Value::from);
        prop_oneof![float, any::<i64>().prop_map(Value::from)]
    }

    fn parameter() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![number(), any::<String>().prop_map(Value::from)];
        leaf.prop_recursive(2, 8, 4, |inner| {
            proptest::collection::btree_map(any::<String>(), inner, 0..4)
                .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into())
        })
    }

    proptest! {
        #[test]
        fn members_in_order_are_what_a_canonical_writer_writes(
            operation in any::<String>(),
            version in any::<u32>(),
            parameters in proptest::collection::btree_map(any::<String>(), parameter(), 0..4),
            bytes in proptest::collection::vec(prop_oneof![any::<u64>(), 0..=EXACT_MAX], 0..3),
        ) {
            let input = |bytes| InputDescriptor { bytes, ..InputDescriptor::of(b"abc") };
            let body = TaskBody {
                operation,
                version,
                parameters: parameters.into_iter().collect(),
                inputs: bytes.into_iter().map(input).collect(),
            };
            let canonical = serde_json_canonicalizer::to_vec(&body).unwrap();
            prop_assert_eq!(body.canonical().unwrap(), canonical);
        }
    }

    #[test]
    fn only_the_canonical_form_is_read_back() {
        let canonical = body().canonical().unwrap();
        assert_eq!(TaskBody::from_canonical(&canonical).unwrap(), body());
        let spaced = String::from_utf8(canonical).unwrap().replace(',', ", ");
        assert!(matches!(
            TaskBody::from_canonical(spaced.as_bytes()),
            Err(TaskBodyError::NotCanonical)
        ));
        assert!(matches!(
            TaskBody::from_canonical(b"{}"),
            Err(TaskBodyError::Json(_))
        ));
    }

    #[test]
    fn states_survive_text() {
        for state in TaskState::ALL {
            assert_eq!(state.to_string().parse(), Ok(state));
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
        assert!("done".parse::<TaskState>().is_err());
    }
}
