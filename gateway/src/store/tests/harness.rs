//! A pool without a network: a store in a temporary folder, workers that sign, tasks of one operation. Time stands still
//! unless a test says otherwise. The benchmark uses it too.

#[path = "harness/place.rs"]
mod place;

use bytes::Bytes;
use protocol::lease::{
    Ack, AckOutcome, AckRequest, Fault, FaultKind, Lease, LeaseRef, Nack, NackOutcome, OperationId,
    Output,
};
use protocol::receipt::{LEAF_VERSION, Leaf, ReceiptSigner, Statement, tree};
use protocol::requirements::{Requirements, WorkerTraits};
use protocol::task::{TaskBody, TaskState, task_digest};
use protocol::{IdempotencyKey, SessionId, Sha256Digest, TaskId, UserName, WorkerId};
use ring::rand::SystemRandom;
use serde_json::Map;

use crate::receipts::{self, AttestedKey, Signatory, VerifiedBatch};
use crate::store::{
    Age, EnrolmentSecret, InputBytes, LeaseQuery, NewAttestation, NewTask, ParkEnd, ParkedLease,
    PrunePlace, Store, TaskScope, TaskSpecification,
};

pub(crate) use place::{Kind, Place};

pub(crate) const NOW_MS: u64 = 1_700_000_000_000;
pub(crate) const LEASE_MS: u64 = 30_000;
pub(crate) const ATTEMPTS: u32 = 3;

/// A store and what surrounds it.
pub(crate) struct Pool {
    pub(crate) place: Place,
    pub(crate) store: Store,
    tasks: u128,
}

impl Pool {
    /// On SQLite, the default.
    pub(crate) async fn new() -> Self {
        Self::on(Kind::Sqlite).await
    }

    pub(crate) async fn on(kind: Kind) -> Self {
        let place = Place::new(kind).await;
        let store = Store::open(place.location()).await.unwrap();
        Self {
            place,
            store,
            tasks: 0,
        }
    }

    /// The gateway stops and starts.
    pub(crate) async fn reopen(self) -> Self {
        drop(self.store);
        Self {
            store: Store::open(self.place.location()).await.unwrap(),
            place: self.place,
            tasks: self.tasks,
        }
    }

    pub(crate) async fn worker(&self, name: &str) -> Worker {
        let worker = Worker::new(name);
        let secret = EnrolmentSecret::from_bytes([7; 32]);
        self.store
            .create_worker(worker.id.clone(), secret, NOW_MS)
            .await
            .unwrap();
        self.store
            .record_attestation(worker.attestation())
            .await
            .unwrap();
        worker
    }

    /// A task of 64 bytes that nothing has seen before, for a test to change before it is submitted.
    pub(crate) fn task(&mut self) -> NewTask {
        self.tasks += 1;
        let content = format!("{:064}", self.tasks);
        task(
            TaskId::from_parts(NOW_MS, self.tasks),
            vec![InputBytes::Inline(Bytes::from(content))],
        )
    }

    pub(crate) async fn submit(&mut self) -> TaskId {
        let task = self.task();
        self.submit_task(task).await
    }

    pub(crate) async fn submit_task(&self, task: NewTask) -> TaskId {
        let submitted = self
            .store
            .submit(vec![task])
            .await
            .unwrap()
            .remove(0)
            .unwrap();
        assert!(!submitted.was_known);
        submitted.task
    }

    pub(crate) async fn lease(&self, worker: &Worker, tasks_max: usize) -> Vec<Lease> {
        self.lease_at(worker, tasks_max, NOW_MS).await
    }

    pub(crate) async fn lease_at(
        &self,
        worker: &Worker,
        tasks_max: usize,
        now_ms: u64,
    ) -> Vec<Lease> {
        self.store
            .lease(worker.query(tasks_max, now_ms))
            .await
            .unwrap()
    }

    /// A worker that waits for tasks of the one operation.
    pub(crate) fn park(&self, worker: &Worker, tasks_max: usize) -> ParkedLease {
        let query = worker.query(tasks_max, NOW_MS);
        let watch = self.store.watch_work(&query.operations, &query.traits);
        self.store.park(watch, move |_| Some(query.clone()))
    }

    /// Leases the one task there is.
    pub(crate) async fn lease_one(&self, worker: &Worker) -> Lease {
        let mut leases = self.lease(worker, 10).await;
        assert_eq!(leases.len(), 1);
        leases.remove(0)
    }

    pub(crate) async fn ack(&self, worker: &Worker, leases: &[Lease]) -> Vec<AckOutcome> {
        self.store
            .ack(worker.sign(leases.iter().map(ack).collect()), NOW_MS)
            .await
            .unwrap()
    }

    pub(crate) async fn ack_one(&self, worker: &Worker, lease: &Lease) -> AckOutcome {
        self.ack(worker, std::slice::from_ref(lease))
            .await
            .remove(0)
    }

    pub(crate) async fn nack(
        &self,
        worker: &Worker,
        lease: &Lease,
        kind: FaultKind,
    ) -> NackOutcome {
        let nack = Nack {
            lease: reference(lease),
            fault: Fault {
                kind,
                message: "it did not work".to_owned(),
            },
        };
        self.store
            .nack(&worker.id, vec![nack], NOW_MS)
            .await
            .unwrap()
            .remove(0)
    }

    /// A whole pass over what ended before then: how many tasks it forgot.
    pub(crate) async fn prune(&self, before_ms: u64) -> u64 {
        let age = Age {
            before_ms,
            now_ms: before_ms.max(NOW_MS),
        };
        let (mut forgotten, mut place) = (0, Some(PrunePlace::START));
        while let Some(from) = place {
            let pruned = self.store.prune(from, age).await.unwrap();
            forgotten += pruned.tasks;
            place = pruned.next;
        }
        forgotten
    }

    pub(crate) async fn state(&self, task: TaskId) -> TaskState {
        self.view(task).await.state
    }

    pub(crate) async fn view(&self, task: TaskId) -> protocol::api::TaskView {
        let views = self.store.tasks(TaskScope::All, vec![task]).await.unwrap();
        views.into_iter().next().unwrap().unwrap()
    }
}

/// An enrolled worker on one session.
pub(crate) struct Worker {
    pub(crate) id: WorkerId,
    pub(crate) session: SessionId,
    signer: ReceiptSigner,
    pub(crate) attested: AttestedKey,
}

impl Worker {
    pub(crate) fn new(name: &str) -> Self {
        let signer = ReceiptSigner::generate(&SystemRandom::new()).unwrap();
        let half = Sha256Digest::of(name.as_bytes()).to_string();
        Self {
            id: name.parse().unwrap(),
            session: SessionId::from_parts(NOW_MS, 1),
            attested: AttestedKey {
                attestation: half.repeat(2),
                receipt_key: signer.key().clone(),
                module_digest: Sha256Digest::of(b"module"),
                executor: "cpu".to_owned(),
                gpu_uuids: Vec::new(),
            },
            signer,
        }
    }

    pub(crate) fn attestation(&self) -> NewAttestation {
        NewAttestation {
            id: self.attested.attestation.clone(),
            worker: self.id.clone(),
            session: self.session,
            record: b"{}".to_vec(),
            recorded_ms: NOW_MS,
        }
    }

    pub(crate) fn query(&self, tasks_max: usize, now_ms: u64) -> LeaseQuery {
        LeaseQuery {
            worker: self.id.clone(),
            session: self.session,
            operations: vec![operation()],
            traits: WorkerTraits::default(),
            tasks_max,
            payload_bytes_max: protocol::limits::LEASE_PAYLOAD_BYTES_MAX,
            lease_duration_ms: LEASE_MS,
            now_ms,
        }
    }

    /// The statement that these acks need.
    pub(crate) fn statement(&self, acks: &[Ack]) -> Statement {
        let hashes: Vec<_> = acks.iter().map(|ack| tree::leaf_hash(&ack.leaf)).collect();
        Statement {
            root: tree::root(&hashes),
            tree_size: u64::try_from(hashes.len()).unwrap(),
            worker: self.id.clone(),
            session: self.session,
            attestation: self.attested.attestation.clone(),
            batch: 1,
        }
    }

    pub(crate) fn request(&self, statement: &Statement, acks: Vec<Ack>) -> AckRequest {
        AckRequest {
            statement: statement.sign(&self.signer, &SystemRandom::new()).unwrap(),
            acks,
        }
    }

    pub(crate) fn signatory(&self) -> Signatory<'_> {
        Signatory {
            worker: &self.id,
            session: self.session,
            attested: std::slice::from_ref(&self.attested),
        }
    }

    pub(crate) fn sign(&self, acks: Vec<Ack>) -> VerifiedBatch {
        let request = self.request(&self.statement(&acks), acks);
        receipts::verify(request, &self.signatory()).unwrap()
    }
}

/// What a commit has leased to one that waited.
pub(crate) async fn served(mut parked: ParkedLease) -> Vec<Lease> {
    match parked.ended().await {
        ParkEnd::Leased(leased) => leased.unwrap(),
        ParkEnd::Look(_) => panic!("it is to look by itself"),
    }
}

pub(crate) fn operation() -> OperationId {
    OperationId {
        name: "sha256_batch".to_owned(),
        version: 1,
    }
}

pub(crate) fn user(name: &str) -> UserName {
    name.parse().unwrap()
}

pub(crate) fn key(text: &str) -> IdempotencyKey {
    text.parse().unwrap()
}

pub(crate) fn task(id: TaskId, inputs: Vec<InputBytes>) -> NewTask {
    NewTask {
        id,
        user: user("ada"),
        specification: specification(inputs),
        priority: 4,
        max_attempts: ATTEMPTS,
        submitted_ms: NOW_MS,
        deadline_ms: None,
        idempotency_key: None,
        requirements: Requirements::default(),
    }
}

pub(crate) fn specification(inputs: Vec<InputBytes>) -> TaskSpecification {
    let OperationId { name, version } = operation();
    TaskSpecification::parse(&name, version, Map::new(), inputs).unwrap()
}

pub(crate) fn reference(lease: &Lease) -> LeaseRef {
    LeaseRef {
        task: lease.task,
        fencing_token: lease.fencing_token,
    }
}

/// What a worker would have computed, as far as the gateway can tell.
pub(crate) fn output(lease: &Lease) -> Vec<u8> {
    let digest = Sha256Digest::of(&lease.body);
    lease
        .inputs
        .iter()
        .flat_map(|_| digest.as_bytes())
        .copied()
        .collect()
}

pub(crate) fn leaf(lease: &Lease) -> Leaf {
    let body = TaskBody::from_canonical(&lease.body).unwrap();
    let output = output(lease);
    Leaf {
        version: LEAF_VERSION,
        task: lease.task.to_string(),
        task_digest: task_digest(&lease.body),
        operation: body.operation,
        operation_version: body.version,
        module_digest: Sha256Digest::of(b"module"),
        model_digest: None,
        inputs: body.inputs.iter().map(|input| input.sha256).collect(),
        output: Sha256Digest::of(&output),
        output_bytes: u64::try_from(output.len()).unwrap(),
        executor: "cpu".to_owned(),
        gpu_uuid: None,
        attempt: lease.attempt,
        started_ms: NOW_MS,
        finished_ms: NOW_MS,
    }
}

pub(crate) fn ack(lease: &Lease) -> Ack {
    ack_with(lease, &leaf(lease), Output::Inline(output(lease).into()))
}

pub(crate) fn ack_with(lease: &Lease, leaf: &Leaf, output: Output) -> Ack {
    Ack {
        lease: reference(lease),
        leaf: leaf.encode().into(),
        output,
    }
}
