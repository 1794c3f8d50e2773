//! Worker messages in CBOR: reading what was read and written again gives the same bytes, and frames hold the same messages
//! whatever pieces they arrive in.

use protocol::{
    FencingToken, Sha256Digest, TaskId,
    control::{Cancel, Drain, Heartbeat, Renew, Renewed, RenewedLease},
    frames::{self, Frames},
    lease::{
        Ack, AckOutcome, AckRequest, AckResponse, Fault, FaultKind, Lease, LeaseInput, LeaseRef,
        LeaseRequest, LeaseResponse, Nack, NackRequest, NackResponse, OperationId, Output,
    },
    limits::WORKER_BODY_BYTES_MAX,
    telemetry::{GpuTelemetry, Telemetry},
    wire::{decode, encode},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_bytes::ByteBuf;

use crate::{Seeds, Target};

pub(crate) const TARGET: Target = Target {
    name: "wire",
    run,
    seeds,
    dictionary: &[
        b"leases",
        b"task",
        b"fencing_token",
        b"lease_duration_ms",
        b"outcomes",
        b"Inline",
        b"Fetch",
    ],
};

/// The messages; an input's first byte chooses one.
const READERS: [fn(&[u8]); 10] = [
    read::<LeaseRequest>,
    read::<LeaseResponse>,
    read::<AckRequest>,
    read::<AckResponse>,
    read::<NackRequest>,
    read::<NackResponse>,
    read::<Heartbeat>,
    read::<Renew>,
    read::<Renewed>,
    read::<Cancel>,
];

fn run(input: &[u8]) {
    if let Some((&first, message)) = input.split_first() {
        READERS[usize::from(first) % READERS.len()](message);
        read::<Drain>(message);
        let whole = framed(message, message.len().max(1));
        assert_eq!(framed(message, usize::from(first).max(1)), whole);
    }
}

/// The messages in front of the first that is none, out of pieces of so many bytes.
fn framed(bytes: &[u8], piece_bytes: usize) -> Vec<LeaseResponse> {
    let mut frames = Frames::default();
    let mut messages = Vec::new();
    for piece in bytes.chunks(piece_bytes) {
        frames.push(piece);
        loop {
            match frames.next(WORKER_BODY_BYTES_MAX) {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(_) => return messages,
            }
        }
    }
    messages
}

/// Compared as bytes: a number that is none equals not even itself.
fn read<T: Serialize + DeserializeOwned>(message: &[u8]) {
    if let Ok(value) = decode::<T>(message, WORKER_BODY_BYTES_MAX) {
        let written = encode(&value).expect("what decodes encodes");
        let again: T = decode(&written, usize::MAX).expect("what was encoded decodes");
        assert_eq!(encode(&again).expect("what decodes encodes"), written);
    }
}

fn seeds(seeds: &mut Seeds) {
    leasing(seeds);
    outcomes(seeds);
    control(seeds);
}

fn leasing(seeds: &mut Seeds) {
    let operation = OperationId {
        name: "gemm".to_owned(),
        version: 1,
    };
    let request = LeaseRequest {
        tasks_max: 17,
        wait_ms: 30_000,
        operations: vec![operation],
    };
    add(seeds, 0, &request);
    let LeaseRef {
        task,
        fencing_token,
    } = lease();
    let one = Lease {
        task,
        attempt: 2,
        fencing_token,
        lease_duration_ms: 30_000,
        body: ByteBuf::from(b"{}".to_vec()),
        inputs: vec![
            LeaseInput::Inline(ByteBuf::from(vec![0, 255])),
            LeaseInput::Fetch,
        ],
    };
    let leases = vec![one];
    let response = LeaseResponse { leases };
    add(seeds, 1, &response);
    let frame = frames::encode(&response, 0).expect("a message encodes");
    seeds.add([&[5], frame.as_slice(), &frame].concat());
}

fn outcomes(seeds: &mut Seeds) {
    let inline = Output::Inline(ByteBuf::from(vec![1]));
    let uploaded = Output::Uploaded {
        sha256: Sha256Digest::of(b"x"),
        bytes: 1 << 40,
    };
    let ack = |output| Ack {
        lease: lease(),
        leaf: ByteBuf::from(vec![9; 40]),
        output,
    };
    let request = AckRequest {
        statement: "a.b.c".to_owned(),
        acks: vec![ack(inline), ack(uploaded)],
    };
    add(seeds, 2, &request);
    let refused = AckOutcome::Refused {
        reason: "the leaf names another task".to_owned(),
    };
    let outcomes = vec![AckOutcome::Accepted, refused];
    add(seeds, 3, &AckResponse { outcomes });
    let fault = Fault {
        kind: FaultKind::Failed,
        message: "out of memory".to_owned(),
    };
    let lease = lease();
    let nacks = vec![Nack { lease, fault }];
    add(seeds, 4, &NackRequest { nacks });
}

fn control(seeds: &mut Seeds) {
    let gpu = GpuTelemetry {
        uuid: "GPU-0".to_owned(),
        ..GpuTelemetry::default()
    };
    let telemetry = Telemetry {
        gpus: vec![gpu],
        ..Telemetry::default()
    };
    let sequence = 1;
    add(
        seeds,
        6,
        &Heartbeat {
            sequence,
            telemetry,
        },
    );
    let (lease, leases) = (lease(), vec![lease()]);
    add(
        seeds,
        7,
        &Renew {
            leases: leases.clone(),
        },
    );
    let renewed = RenewedLease {
        lease,
        lease_duration_ms: Some(1),
    };
    let renewed = Renewed {
        leases: vec![renewed],
    };
    add(seeds, 8, &renewed);
    add(seeds, 9, &Cancel { leases });
    let reason = "kernel update".to_owned();
    add(seeds, 0, &Drain { reason });
}

fn lease() -> LeaseRef {
    LeaseRef {
        task: TaskId::from_parts(1_700_000_000_000, 42),
        fencing_token: FencingToken(7),
    }
}

fn add<T: Serialize>(seeds: &mut Seeds, first: u8, message: &T) {
    let message = encode(message).expect("a message encodes");
    seeds.add([&[first], message.as_slice()].concat());
}
