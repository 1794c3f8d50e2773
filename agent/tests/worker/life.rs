//! What a worker does with tasks, interruptions and signals.

use std::sync::atomic::Ordering;
use std::time::Duration;

use attestation::ErrorCode;
use channel::GatewayMessage;
use protocol::control::Cancel;
use protocol::lease::{FaultKind, LeaseInput, LeaseRef, LeaseResponse, Output};
use protocol::receipt::{Leaf, ReceiptKey, Statement, tree};
use protocol::{FencingToken, Sha256Digest, TaskId, frames, wire};

use crate::gateway::lock;
use crate::pool::{Pool, copy_task, hash_task, product_task};

#[tokio::test(flavor = "multi_thread")]
async fn tasks_come_back_with_receipts_that_hold() {
    let mut pool = Pool::start().await;
    pool.state()
        .queue((1..=20).map(|number| hash_task(number, &[b"abc", &number.to_le_bytes()])));
    pool.until("20 acks", |gateway| gateway.acked().len() == 20)
        .await;
    let key = ReceiptKey::from_spki(&pool.state().claims().receipt_key_spki).unwrap();
    let attestation = lock(&pool.state().attestations)[0].clone();
    for request in &*lock(&pool.state().acks) {
        let statement = Statement::verify(&request.statement, &key).unwrap();
        let hashes: Vec<_> = request
            .acks
            .iter()
            .map(|ack| tree::leaf_hash(&ack.leaf))
            .collect();
        assert_eq!(statement.root, tree::root(&hashes));
        assert_eq!(statement.attestation, attestation);
        for ack in &request.acks {
            let Output::Inline(output) = &ack.output else {
                panic!("an inline output")
            };
            assert_eq!(output[..32], *Sha256Digest::of(b"abc").as_bytes());
            let leaf = Leaf::decode(&ack.leaf).unwrap();
            assert_eq!(leaf.output, Sha256Digest::of(output));
            assert_eq!(
                *leaf.module_digest.as_bytes(),
                pool.state().claims().module_digest
            );
        }
    }
    assert!(lock(&pool.state().acks).len() < 20, "acks were not batched");
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_that_come_one_by_one_come_in_one_answer() {
    let mut pool = Pool::start().await;
    for number in 1..=32 {
        pool.state().queue([hash_task(number, &[b"abc"])]);
        let acked = usize::try_from(number).unwrap();
        pool.until("its ack", |gateway| gateway.acked().len() == acked)
            .await;
    }
    let requests = || pool.state().lease_requests.load(Ordering::SeqCst);
    // All that it had room for; then it asks again.
    while requests() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(requests(), 2);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_leased_before_an_answer_that_cannot_be_read_is_done() {
    let mut pool = Pool::start().await;
    // A length that no message may have; and no lease at all, where one must be.
    let empty = frames::encode(&LeaseResponse { leases: Vec::new() }, 0).unwrap();
    for (number, garbage) in [(1, vec![0xff; 4]), (2, empty)] {
        *lock(&pool.state().garbage) = garbage;
        pool.state().queue([hash_task(number, &[b"abc"])]);
        let acked = usize::try_from(number).unwrap();
        pool.until("its ack", |gateway| gateway.acked().len() == acked)
            .await;
    }
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn large_inputs_are_fetched_and_large_outputs_uploaded() {
    let mut pool = Pool::start().await;
    let input: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let mut lease = copy_task(1, &input);
    lease.inputs = vec![LeaseInput::Fetch];
    lock(&pool.state().inputs).insert((lease.task.to_string(), 0), input.clone());
    pool.state().queue([lease]);
    pool.until("the ack", |gateway| gateway.acked().len() == 1)
        .await;
    let Output::Uploaded { sha256, bytes } = pool.state().acked()[0].output else {
        panic!("an uploaded output")
    };
    assert_eq!((sha256, bytes), (Sha256Digest::of(&input), 1_200_000));
    assert_eq!(lock(&pool.state().outputs)[&sha256.to_string()], input);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_input_that_is_another_is_never_run() {
    let mut pool = Pool::start().await;
    let mut lease = copy_task(1, &vec![7; 100_000]);
    lease.inputs = vec![LeaseInput::Fetch];
    lock(&pool.state().inputs).insert((lease.task.to_string(), 0), vec![8; 100_000]);
    let mut inline = hash_task(2, &[b"abc"]);
    inline.inputs = vec![LeaseInput::Inline(serde_bytes::ByteBuf::from(
        b"abd".to_vec(),
    ))];
    let mut body = hash_task(3, &[b"abc"]);
    body.body = serde_bytes::ByteBuf::from(b"{}".to_vec());
    pool.state().queue([lease, inline, body]);
    let faults = |gateway: &crate::gateway::Gateway| {
        let mut faults: Vec<_> = lock(&gateway.nacks)
            .iter()
            .flat_map(|request| &request.nacks)
            .map(|nack| (nack.lease.fencing_token.0, nack.fault.kind))
            .collect();
        faults.sort_by_key(|(number, _)| *number);
        faults
    };
    pool.until("three nacks", |gateway| faults(gateway).len() == 3)
        .await;
    assert_eq!(
        faults(pool.state()),
        [
            (1, FaultKind::Failed),
            (2, FaultKind::Failed),
            (3, FaultKind::Invalid)
        ]
    );
    assert!(pool.state().acked().is_empty());
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_connection_is_attested_again_and_receipts_follow() {
    let mut pool = Pool::start().await;
    pool.state().queue([hash_task(1, &[b"abc"])]);
    pool.until("the first ack", |gateway| gateway.acked().len() == 1)
        .await;
    pool.state().attest_again();
    pool.until("the second attestation", |gateway| {
        lock(&gateway.attestations).len() == 2
    })
    .await;
    pool.state().queue([hash_task(2, &[b"abc"])]);
    pool.until("the second ack", |gateway| gateway.acked().len() == 2)
        .await;
    let key = ReceiptKey::from_spki(&pool.state().claims().receipt_key_spki).unwrap();
    let stated: Vec<_> = lock(&pool.state().acks)
        .iter()
        .map(|request| {
            Statement::verify(&request.statement, &key)
                .unwrap()
                .attestation
        })
        .collect();
    assert_eq!(stated, *lock(&pool.state().attestations));
    assert_ne!(stated[0], stated[1]);
    assert_eq!(
        pool.state().attempts.load(Ordering::SeqCst),
        1,
        "it was the same connection"
    );
    assert_eq!(pool.state().claims().sequence, 1);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ack_whose_answer_was_lost_is_repeated_over_a_new_attested_connection() {
    let mut pool = Pool::start_with(|gateway| gateway.cut_acks.store(1, Ordering::SeqCst)).await;
    pool.state().queue([hash_task(1, &[b"abc"])]);
    pool.until("the ack's repetition", |gateway| gateway.acked().len() == 2)
        .await;
    let acks = pool.state().acked();
    assert_eq!(acks[0], acks[1], "the same output, leaf and fencing token");
    assert_eq!(lock(&pool.state().attestations).len(), 2);
    let key = ReceiptKey::from_spki(&pool.state().claims().receipt_key_spki).unwrap();
    let second = Statement::verify(&lock(&pool.state().acks)[1].statement, &key).unwrap();
    assert_eq!(second.attestation, lock(&pool.state().attestations)[1]);
    let keys: Vec<_> = lock(&pool.state().evidence)
        .iter()
        .map(|presented| presented.binding.attester_spki.clone())
        .collect();
    assert_ne!(keys[0], keys[1], "each connection has a TLS key of its own");
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_worker_does_not_hammer() {
    let mut pool =
        Pool::start_with(|gateway| *lock(&gateway.refuse) = Some(ErrorCode::QuoteMalformed)).await;
    pool.until("an attempt", |gateway| {
        gateway.attempts.load(Ordering::SeqCst) == 1
    })
    .await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(pool.state().attempts.load(Ordering::SeqCst), 1);
    pool.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_executor_costs_the_running_task_one_attempt_and_no_other() {
    let mut pool = Pool::start().await;
    pool.state()
        .queue([product_task(1, 100), product_task(2, 100)]);
    pool.until("two acks", |gateway| gateway.acked().len() == 2)
        .await;
    for number in 3..6 {
        kill_executors();
        pool.state().queue([hash_task(number, &[b"abc"])]);
        let ended =
            |gateway: &crate::gateway::Gateway| gateway.acked().len() + lock(&gateway.nacks).len();
        let wanted = usize::try_from(number).unwrap();
        pool.until("an end of the task", |gateway| ended(gateway) >= wanted)
            .await;
    }
    pool.state().queue([hash_task(9, &[b"abc"])]);
    let done = |gateway: &crate::gateway::Gateway| {
        gateway
            .acked()
            .iter()
            .any(|ack| ack.lease.fencing_token == FencingToken(9))
    };
    pool.until("a task on the next child", done).await;
    pool.stop().await;
}

/// Children of this process that run as executors; tests of other processes have children of their own.
fn kill_executors() {
    let children = std::fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    for child in children.collect::<String>().split_whitespace() {
        let command = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        if command.ends_with(b"\0executor\0") {
            let process = rustix::process::Pid::from_raw(child.parse().unwrap()).unwrap();
            rustix::process::kill_process(process, rustix::process::Signal::KILL).ok();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_task_is_stopped_and_never_reported() {
    let mut pool = Pool::start().await;
    // Ten seconds and more of work; the next one runs once it is out of the way.
    pool.state().queue([long_task(pool.state(), 1)]);
    pool.until("the long task's start", |gateway| {
        lock(&gateway.queue).is_empty()
    })
    .await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let lease = LeaseRef {
        task: TaskId::from_parts(1, 0),
        fencing_token: FencingToken(1),
    };
    let cancel = wire::encode(&Cancel {
        leases: vec![lease],
    })
    .unwrap();
    pool.state().say(GatewayMessage::Cancel(cancel.into()));
    pool.state().queue([hash_task(2, &[b"abc"])]);
    pool.until("the next ack", |gateway| gateway.acked().len() == 1)
        .await;
    assert_eq!(pool.state().acked()[0].lease.fencing_token, FencingToken(2));
    assert!(lock(&pool.state().nacks).is_empty());
    pool.stop().await;
}

/// A product of matrices whose inputs are fetched.
pub(crate) fn long_task(gateway: &crate::gateway::Gateway, number: u64) -> protocol::lease::Lease {
    const SIDE: usize = 2_048;
    let mut lease = product_task(number, SIDE);
    for (index, input) in lease.inputs.iter_mut().enumerate() {
        if let LeaseInput::Inline(bytes) = std::mem::replace(input, LeaseInput::Fetch) {
            lock(&gateway.inputs).insert((lease.task.to_string(), index), bytes.into_vec());
        }
    }
    lease
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_finishes_what_runs_and_reports_it() {
    let mut pool = Pool::start().await;
    pool.state().queue([product_task(1, 120)]);
    pool.until("the lease", |gateway| lock(&gateway.queue).is_empty())
        .await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let state = std::sync::Arc::clone(pool.state());
    pool.stop().await;
    let ended = state.acked().len()
        + lock(&state.nacks)
            .iter()
            .map(|request| request.nacks.len())
            .sum::<usize>();
    assert_eq!(ended, 1, "finished or given back, never left to expire");
}
