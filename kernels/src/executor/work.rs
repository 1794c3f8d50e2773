//! A task as the agent hands it to its executor: the canonical body and the bytes of every input.

use bytes::Bytes;
use protocol::catalogue::{Call, TaskFault};
use protocol::task::{TaskBody, TaskBodyError};

/// A task body that the catalogue accepts, with inputs of the sizes it names. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Work {
    body: Bytes,
    call: Call,
    inputs: Vec<Bytes>,
}

/// Why a task can never run: the task's own fault.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    #[error("the bytes are no task body")]
    Body(#[source] TaskBodyError),
    #[error("the task does not fit the catalogue")]
    Catalogue(#[source] TaskFault),
    #[error("the task names {wanted} inputs, {seen} are at hand")]
    InputCount { wanted: usize, seen: usize },
    #[error("input {index} has {seen} bytes, the task names {wanted}")]
    InputBytes {
        index: usize,
        wanted: u64,
        seen: usize,
    },
}

impl Work {
    /// Reads the canonical body and compares the inputs' sizes with it. Their digests are the caller's to compare, who
    /// fetched them.
    pub fn parse(body: Bytes, inputs: Vec<Bytes>) -> Result<Self, WorkError> {
        let call = parse_call(&body)?;
        if inputs.len() != call.input_bytes().len() {
            return Err(WorkError::InputCount {
                wanted: call.input_bytes().len(),
                seen: inputs.len(),
            });
        }
        for (index, (input, &wanted)) in inputs.iter().zip(call.input_bytes()).enumerate() {
            if u64::try_from(input.len()) != Ok(wanted) {
                return Err(WorkError::InputBytes {
                    index,
                    wanted,
                    seen: input.len(),
                });
            }
        }
        Ok(Self { body, call, inputs })
    }

    /// The canonical task body (RFC 8785).
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    #[must_use]
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// Whether a model computes it, which takes neighbouring works together.
    #[must_use]
    pub fn has_model(&self) -> bool {
        self.call.operation().model().is_some()
    }

    #[must_use]
    pub fn inputs(&self) -> &[Bytes] {
        &self.inputs
    }
}

/// The call of a canonical task body.
pub(super) fn parse_call(body: &[u8]) -> Result<Call, WorkError> {
    let body = TaskBody::from_canonical(body).map_err(WorkError::Body)?;
    body.call().map_err(WorkError::Catalogue)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::task::InputDescriptor;
    use serde_json::json;

    fn transpose(columns: u64) -> Bytes {
        let body = TaskBody {
            operation: "transpose".to_owned(),
            version: 1,
            parameters: serde_json::from_value(json!({"rows": 1, "columns": columns})).unwrap(),
            inputs: vec![InputDescriptor::of(&[0; 8])],
        };
        body.canonical().unwrap().into()
    }

    #[test]
    fn a_work_that_fits_knows_its_output() {
        let work = Work::parse(transpose(2), vec![Bytes::from_static(&[0; 8])]).unwrap();
        assert_eq!(work.call().output_bytes(), 8);
        assert_eq!((work.inputs().len(), work.body()), (1, &transpose(2)));
    }

    #[test]
    fn each_mismatch_has_its_own_error() {
        let input = Bytes::from_static(&[0; 8]);
        let parse = |body: Bytes, inputs| Work::parse(body, inputs).unwrap_err();
        assert!(matches!(
            parse(Bytes::new(), vec![]),
            WorkError::Body(TaskBodyError::Json(_))
        ));
        assert!(matches!(
            parse(transpose(3), vec![input.clone()]),
            WorkError::Catalogue(TaskFault::InputBytes { .. })
        ));
        assert!(matches!(
            parse(transpose(2), vec![input.clone(), input]),
            WorkError::InputCount { wanted: 1, seen: 2 }
        ));
        assert!(matches!(
            parse(transpose(2), vec![Bytes::from_static(&[0; 4])]),
            WorkError::InputBytes {
                index: 0,
                wanted: 8,
                seen: 4
            }
        ));
    }
}
