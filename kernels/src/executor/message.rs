//! What agent and child say to each other. Encoded as CBOR, one message in a [frame](super::frame).

use serde::{Deserialize, Serialize};

use super::arena::ArenaRange;
use super::{FAULT_BYTES_MAX, Fault, Identity};

/// Grows with any change here. Both ends come from one executable; a mismatch means that it was replaced in between.
pub(super) const VERSION: u32 = 3;

/// A run of a thousand small works takes about 400 KiB.
pub(super) const COMMAND_BYTES_MAX: usize = 1024 * 1024;

/// A fault's sentence, escaped nowhere in CBOR, and a few integers beside it.
pub(super) const REPLY_BYTES_MAX: usize = 4 * 1024;

const _: () = assert!(REPLY_BYTES_MAX > 2 * FAULT_BYTES_MAX);

/// Agent to child.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum Command {
    /// First; the arena's descriptor travels with it.
    Hello {
        version: u32,
        arena_bytes: u64,
    },
    Run {
        request: u64,
        works: Vec<Placement>,
    },
    Shutdown {},
}

/// One work of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Placement {
    /// The canonical task body; the child reads it against the catalogue itself.
    #[serde(with = "serde_bytes")]
    pub(super) body: Vec<u8>,
    pub(super) inputs: Vec<ArenaRange>,
    pub(super) output: ArenaRange,
}

/// Child to agent.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) enum Reply {
    Ready {
        version: u32,
        identity: Identity,
    },
    /// Instead of `Ready`: this child cannot compute, and ends. The sentence says why and what to do.
    Unavailable {
        reason: String,
    },
    /// One work is finished: its output is in the arena, unless there is a fault.
    Answered {
        request: u64,
        index: u32,
        fault: Option<Fault>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::{BATCH_WORKS_MAX, ExecutorKind, Library};
    use protocol::{Sha256Digest, wire};

    #[test]
    fn messages_survive_the_wire() {
        let ready = Reply::Ready {
            version: VERSION,
            identity: Identity {
                kind: ExecutorKind::Cuda,
                module_digest: Sha256Digest::of(b"module"),
                model_digest: Some(Sha256Digest::of(b"model")),
                in_order: false,
                device: Some("GPU-1".to_owned()),
                libraries: vec![Library {
                    name: "libcuda".to_owned(),
                    version: "13.0".to_owned(),
                    digest: Sha256Digest::of(b"library"),
                }],
            },
        };
        let unavailable = Reply::Unavailable {
            reason: "no device".to_owned(),
        };
        let answered = Reply::Answered {
            request: 1,
            index: 2,
            fault: Some(Fault::Task("no".to_owned())),
        };
        let not_here = Reply::Answered {
            request: 1,
            index: 3,
            fault: Some(Fault::Here("no room".to_owned())),
        };
        for reply in [ready, unavailable, answered, not_here] {
            let bytes = wire::encode(&reply).unwrap();
            assert_eq!(
                wire::decode::<Reply>(&bytes, REPLY_BYTES_MAX).unwrap(),
                reply
            );
        }
    }

    #[test]
    fn the_longest_fault_and_a_run_of_a_thousand_small_works_fit() {
        let fault = Fault::Executor("\"".repeat(FAULT_BYTES_MAX));
        let reply = Reply::Answered {
            request: u64::MAX,
            index: u32::MAX,
            fault: Some(fault),
        };
        assert!(wire::encode(&reply).unwrap().len() <= REPLY_BYTES_MAX);
        let range = ArenaRange {
            offset: u64::MAX,
            bytes: u64::MAX,
        };
        let work = Placement {
            body: vec![0; 400],
            inputs: vec![range; 3],
            output: range,
        };
        let run = Command::Run {
            request: u64::MAX,
            works: vec![work; BATCH_WORKS_MAX],
        };
        assert!(wire::encode(&run).unwrap().len() <= COMMAND_BYTES_MAX);
    }
}
