//! Bytes from a peer never panic a reader, and what was written is read back.

use proptest::prelude::*;
use protocol::api::{InputSource, SubmitTask};
use protocol::control::{Cancel, Drain, Heartbeat, Renew, Renewed, RenewedLease};
use protocol::lease::{
    Ack, AckOutcome, AckRequest, AckResponse, Fault, FaultKind, Lease, LeaseInput, LeaseRef,
    LeaseRequest, LeaseResponse, Nack, NackRequest, OperationId, Output,
};
use protocol::limits::WORKER_BODY_BYTES_MAX;
use protocol::receipt::{Leaf, Receipt};
use protocol::task::TaskBody;
use protocol::telemetry::{GpuTelemetry, Telemetry};
use protocol::wire::{WireError, decode, encode};
use protocol::{FencingToken, Sha256Digest, TaskId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;

fn lease_ref() -> LeaseRef {
    LeaseRef {
        task: TaskId::from_parts(1_700_000_000_000, 42),
        fencing_token: FencingToken(u64::MAX),
    }
}

#[cfg(test)]
fn survives<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(message: &T) -> Vec<u8> {
    let bytes = encode(message).unwrap();
    assert_eq!(
        &decode::<T>(&bytes, WORKER_BODY_BYTES_MAX).unwrap(),
        message
    );
    bytes
}

#[test]
fn leasing_survives_the_wire() {
    survives(&LeaseRequest {
        tasks_max: 17,
        wait_ms: 30_000,
        operations: vec![OperationId {
            name: "gemm".to_owned(),
            version: 1,
        }],
    });
    survives(&LeaseResponse {
        leases: vec![Lease {
            task: lease_ref().task,
            attempt: 2,
            fencing_token: FencingToken(7),
            lease_duration_ms: 30_000,
            body: ByteBuf::from(b"{}".to_vec()),
            inputs: vec![
                LeaseInput::Inline(ByteBuf::from(vec![0, 255])),
                LeaseInput::Fetch,
            ],
        }],
    });
}

#[test]
fn outcomes_survive_the_wire() {
    let uploaded = Output::Uploaded {
        sha256: Sha256Digest::of(b"x"),
        bytes: 1 << 40,
    };
    for output in [Output::Inline(ByteBuf::from(vec![1, 2, 3])), uploaded] {
        let ack = Ack {
            lease: lease_ref(),
            leaf: ByteBuf::from(vec![9; 300]),
            output,
        };
        survives(&AckRequest {
            statement: "a.b.c".to_owned(),
            acks: vec![ack],
        });
    }
    survives(&AckResponse {
        outcomes: vec![
            AckOutcome::Accepted,
            AckOutcome::AlreadyAccepted,
            AckOutcome::Superseded,
            AckOutcome::Cancelled,
            AckOutcome::UnknownTask,
            AckOutcome::Refused {
                reason: "the leaf names another task".to_owned(),
            },
        ],
    });
    for kind in [FaultKind::Released, FaultKind::Failed, FaultKind::Invalid] {
        let fault = Fault {
            kind,
            message: "out of memory".to_owned(),
        };
        survives(&NackRequest {
            nacks: vec![Nack {
                lease: lease_ref(),
                fault,
            }],
        });
    }
}

#[test]
fn control_survives_the_wire() {
    survives(&Renew {
        leases: vec![lease_ref()],
    });
    let renewed = |lease_duration_ms| RenewedLease {
        lease: lease_ref(),
        lease_duration_ms,
    };
    survives(&Renewed {
        leases: vec![renewed(Some(1)), renewed(None)],
    });
    survives(&Cancel {
        leases: vec![lease_ref()],
    });
    survives(&Drain {
        reason: "kernel update".to_owned(),
    });
    let gpu = GpuTelemetry {
        uuid: "GPU-0".to_owned(),
        power_milliwatts: Some(350_000),
        ..GpuTelemetry::default()
    };
    let telemetry = Telemetry {
        tasks_held: 3,
        gpus: vec![gpu],
        ..Telemetry::default()
    };
    survives(&Heartbeat {
        sequence: 1,
        telemetry,
    });
}

#[test]
fn digests_are_bytes_in_cbor_and_text_in_json() {
    let digest = Sha256Digest::of(b"abc");
    assert_eq!(survives(&digest).len(), 34);
    assert_eq!(serde_json::to_value(digest).unwrap(), digest.to_string());
}

#[test]
fn too_large_and_trailing_bytes_are_refused() {
    let bytes = encode(&Renew { leases: vec![] }).unwrap();
    assert!(matches!(
        decode::<Renew>(&bytes, 1),
        Err(WireError::TooLarge(_, 1))
    ));
    let trailing = [bytes.as_slice(), &[0]].concat();
    assert!(matches!(
        decode::<Renew>(&trailing, 100),
        Err(WireError::TrailingBytes(1))
    ));
    assert!(matches!(
        decode::<Renew>(&bytes[..3], 100),
        Err(WireError::Decode(_))
    ));
}

#[test]
fn an_input_is_inline_or_a_blob_and_nothing_else() {
    let inline = r#"{"operation":"sha256_batch","inputs":[{"data":"YWJj"}]}"#;
    let task: SubmitTask = serde_json::from_str(inline).unwrap();
    assert_eq!(
        task.inputs,
        [InputSource::Inline {
            data: b"abc".to_vec()
        }]
    );
    for refused in [
        r#"{"operation":"sha256_batch","inputs":[{"data":"Y"}]}"#,
        r#"{"operation":"sha256_batch","inputs":[{"sha256":"00","bytes":1}]}"#,
        r#"{"operation":"sha256_batch","inputs":[{}]}"#,
        r#"{"operation":"sha256_batch","inputs":[{"data":"YWJj","more":1}]}"#,
        r#"{"operation":"sha256_batch","inputs":[{"data":"YWJj","bytes":3}]}"#,
        r#"{"operation":"sha256_batch","inputs":[{"data":"YWJj","bytes":null}]}"#,
        r#"{"operation":"sha256_batch","inputs":[{"data":null}]}"#,
        r#"{"operation":"sha256_batch","inputs":[{"bytes":1}]}"#,
        r#"{"operation":"sha256_batch","inputs":[["YWJj"]]}"#,
        r#"{"operation":"sha256_batch","prority":3}"#,
        r#"{"inputs":[]}"#,
    ] {
        assert!(
            serde_json::from_str::<SubmitTask>(refused).is_err(),
            "{refused}"
        );
    }
}

proptest! {
    #[test]
    fn no_bytes_panic_a_reader(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = decode::<LeaseRequest>(&bytes, 4_096);
        let _ = decode::<LeaseResponse>(&bytes, 4_096);
        let _ = decode::<AckRequest>(&bytes, 4_096);
        let _ = decode::<NackRequest>(&bytes, 4_096);
        let _ = decode::<Heartbeat>(&bytes, 4_096);
        let _ = Leaf::decode(&bytes);
        let _ = TaskBody::from_canonical(&bytes);
        let _ = serde_json::from_slice::<Receipt>(&bytes);
        let _ = serde_json::from_slice::<SubmitTask>(&bytes);
    }

    #[test]
    fn no_mutated_message_panics_a_reader(position in 0_usize..400, value in any::<u8>()) {
        let ack = Ack {
            lease: lease_ref(),
            leaf: ByteBuf::from(vec![9; 100]),
            output: Output::Inline(ByteBuf::from(vec![1; 100])),
        };
        let request = AckRequest { statement: "a.b.c".to_owned(), acks: vec![ack.clone(), ack] };
        let mut bytes = encode(&request).unwrap();
        let length = bytes.len();
        bytes[position % length] = value;
        let _ = decode::<AckRequest>(&bytes, WORKER_BODY_BYTES_MAX);
    }
}

proptest! {
    /// The base64 that reads inputs is another than the one that reads everything else: they agree on what is none.
    #[test]
    fn an_input_is_standard_base64_or_refused(text in "[A-Za-z0-9+/=_ \\n-]{0,40}|([A-Za-z0-9+/]{4}){0,12}([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?") {
        use base64::Engine;
        let wanted = base64::engine::general_purpose::STANDARD.decode(&text).ok();
        let read: Option<InputSource> = serde_json::from_value(serde_json::json!({"data": text})).ok();
        prop_assert_eq!(read.clone(), wanted.map(|data| InputSource::Inline { data }));
        if let Some(read) = read {
            prop_assert_eq!(serde_json::to_value(read).unwrap(), serde_json::json!({"data": text}));
        }
    }
}
