//! A lease, read against the catalogue before anything is fetched or run for it.

use std::time::Duration;

use bytes::Bytes;
use kernels::executor::{ARENA_BYTES, Work};
use protocol::catalogue::TaskFault;
use protocol::lease::{Fault, FaultKind, Lease, LeaseInput, LeaseRef};
use protocol::task::{TaskBody, TaskBodyError};
use protocol::{Sha256Digest, task};

use crate::config::chain;

/// A leased task whose body the catalogue accepts.
#[derive(Debug, Clone)]
pub struct Offer {
    pub lease: LeaseRef,
    pub attempt: u32,
    pub duration: Duration,
    /// Canonical bytes of `task`.
    pub body: Bytes,
    pub task: TaskBody,
    pub output_bytes: u64,
    /// The inline inputs; nothing for one that is to be fetched.
    pub inputs: Vec<Option<Bytes>>,
}

/// Why this worker cannot even begin a leased task.
#[derive(Debug, thiserror::Error)]
pub enum RefusedLease {
    #[error("the task body cannot be read")]
    Body(#[source] TaskBodyError),
    #[error("the task does not fit the catalogue")]
    Catalogue(#[source] TaskFault),
    #[error("the lease has {seen} inputs, the task body {wanted}")]
    InputCount { seen: usize, wanted: usize },
    #[error("input {index} is not the {wanted} that the task body names")]
    InputDigest { index: usize, wanted: Sha256Digest },
    #[error("inputs and output have {0} bytes together; an executor holds {ARENA_BYTES}")]
    TooLarge(u64),
}

impl RefusedLease {
    /// What the gateway is told: a body that does not fit will never fit, but an input may arrive whole next time.
    #[must_use]
    pub fn fault(&self) -> Fault {
        let kind = match self {
            Self::InputCount { .. } | Self::InputDigest { .. } => FaultKind::Failed,
            Self::Body(_) | Self::Catalogue(_) | Self::TooLarge(_) => FaultKind::Invalid,
        };
        Fault {
            kind,
            message: chain(self),
        }
    }
}

impl Offer {
    /// Reads a lease. Inline inputs are compared with the digests in the body here, fetched ones when they come.
    pub fn read(lease: Lease) -> Result<Self, RefusedLease> {
        let body = Bytes::from(lease.body.into_vec());
        let task = TaskBody::from_canonical(&body).map_err(RefusedLease::Body)?;
        let output_bytes = task.call().map_err(RefusedLease::Catalogue)?.output_bytes();
        if lease.inputs.len() != task.inputs.len() {
            return Err(RefusedLease::InputCount {
                seen: lease.inputs.len(),
                wanted: task.inputs.len(),
            });
        }
        let inputs = lease.inputs.into_iter().map(|input| match input {
            LeaseInput::Inline(bytes) => Some(Bytes::from(bytes.into_vec())),
            LeaseInput::Fetch => None,
        });
        let offer = Self {
            lease: LeaseRef {
                task: lease.task,
                fencing_token: lease.fencing_token,
            },
            attempt: lease.attempt,
            duration: Duration::from_millis(lease.lease_duration_ms),
            inputs: inputs.collect(),
            body,
            task,
            output_bytes,
        };
        offer.verify_inline()?;
        match offer.bytes() {
            bytes if bytes > ARENA_BYTES => Err(RefusedLease::TooLarge(bytes)),
            _ => Ok(offer),
        }
    }

    fn verify_inline(&self) -> Result<(), RefusedLease> {
        for (index, input) in self.inputs.iter().enumerate() {
            if let Some(input) = input {
                self.verify_input(index, input)?;
            }
        }
        Ok(())
    }

    /// Compares the bytes of one input with the body.
    pub fn verify_input(&self, index: usize, input: &[u8]) -> Result<(), RefusedLease> {
        let wanted = self
            .task
            .inputs
            .get(index)
            .ok_or(RefusedLease::InputCount {
                seen: index.saturating_add(1),
                wanted: self.task.inputs.len(),
            })?;
        let same_length = u64::try_from(input.len()) == Ok(wanted.bytes);
        if same_length && Sha256Digest::of(input) == wanted.sha256 {
            return Ok(());
        }
        Err(RefusedLease::InputDigest {
            index,
            wanted: wanted.sha256,
        })
    }

    /// Inputs and output together.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.task
            .inputs
            .iter()
            .fold(self.output_bytes, |sum, input| {
                sum.saturating_add(input.bytes)
            })
    }

    /// The work, when every input came with the lease.
    #[must_use]
    pub fn work_inline(&self) -> Option<Result<Work, Fault>> {
        let inputs: Option<Vec<_>> = self.inputs.iter().cloned().collect();
        Some(self.work(inputs?))
    }

    /// The work over these inputs, in the body's order.
    pub fn work(&self, inputs: Vec<Bytes>) -> Result<Work, Fault> {
        Work::parse(self.body.clone(), inputs).map_err(|error| Fault {
            kind: FaultKind::Invalid,
            message: chain(&error),
        })
    }

    /// The task digest that the receipt carries.
    #[must_use]
    pub fn digest(&self) -> Sha256Digest {
        task::task_digest(&self.body)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use protocol::task::InputDescriptor;
    use protocol::{FencingToken, TaskId};
    use serde_bytes::ByteBuf;

    use super::*;

    /// A lease of a one-row transpose over these bytes, which come inline.
    pub(crate) fn lease(number: u64, input: &[u8]) -> Lease {
        let columns = input.len() / 4;
        let body = TaskBody {
            operation: "transpose".to_owned(),
            version: 1,
            parameters: serde_json::from_value(serde_json::json!({"rows": 1, "columns": columns}))
                .unwrap(),
            inputs: vec![InputDescriptor::of(input)],
        };
        Lease {
            task: TaskId::from_parts(number, 0),
            attempt: 1,
            fencing_token: FencingToken(number),
            lease_duration_ms: 30_000,
            body: ByteBuf::from(body.canonical().unwrap()),
            inputs: vec![LeaseInput::Inline(ByteBuf::from(input))],
        }
    }

    #[test]
    fn a_lease_becomes_a_work() {
        let offer = Offer::read(lease(1, &[0; 8])).unwrap();
        assert_eq!((offer.output_bytes, offer.bytes()), (8, 16));
        assert_eq!(
            offer.work_inline().unwrap().unwrap().call().output_bytes(),
            8
        );
        let fetched = Lease {
            inputs: vec![LeaseInput::Fetch],
            ..lease(1, &[0; 8])
        };
        let offer = Offer::read(fetched).unwrap();
        assert!(offer.work_inline().is_none());
        assert!(offer.verify_input(0, &[0; 8]).is_ok());
        assert!(offer.verify_input(0, &[1; 8]).is_err());
        assert!(offer.verify_input(1, &[0; 8]).is_err());
    }

    #[test]
    fn each_refusal_says_whether_another_attempt_may_help() {
        let refused = |change: &dyn Fn(&mut Lease)| {
            let mut lease = lease(1, &[0; 8]);
            change(&mut lease);
            Offer::read(lease).unwrap_err()
        };
        let cases: [(RefusedLease, FaultKind); 4] = [
            (
                refused(&|lease| lease.body = ByteBuf::from(b"{}".to_vec())),
                FaultKind::Invalid,
            ),
            (refused(&|lease| lease.inputs.clear()), FaultKind::Failed),
            (
                refused(&|lease| {
                    lease.inputs = vec![LeaseInput::Inline(ByteBuf::from(vec![1; 8]))];
                }),
                FaultKind::Failed,
            ),
            (
                refused(&|lease| {
                    lease.inputs = vec![LeaseInput::Inline(ByteBuf::from(vec![0; 4]))];
                }),
                FaultKind::Failed,
            ),
        ];
        for (refusal, kind) in cases {
            assert_eq!(refusal.fault().kind, kind, "{refusal}");
            assert!(!refusal.fault().message.is_empty());
        }
    }
}
