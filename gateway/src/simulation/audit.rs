//! Whether everything is as it must be: the store against the ledger, and in the end every promise, by the API.

use http::Method;
use protocol::api::TaskView;
use protocol::receipt::Receipt;
use protocol::task::TaskState;
use protocol::{Sha256Digest, TaskId};

use super::Simulation;
use super::ledger::{Checked, ensure};
use crate::store::{ListQuery, TaskScope};

/// More than any run has.
const TASKS_MAX: usize = 1_000;

impl Simulation {
    /// The whole store, as the ledger has it.
    pub(super) async fn compare(&self) -> Checked {
        let store = self.pool.store();
        let query = ListQuery {
            scope: TaskScope::All,
            state: None,
            limit: TASKS_MAX,
            cursor: None,
        };
        let list = store.list(query).await.unwrap();
        self.ledger.compare_all(&list.tasks)?;
        let counts = store.counts().await.unwrap().tasks;
        let counted = [
            (TaskState::Queued, counts.queued),
            (TaskState::Running, counts.running),
            (TaskState::Succeeded, counts.succeeded),
            (TaskState::DeadLetter, counts.dead_letter),
            (TaskState::Cancelled, counts.cancelled),
            (TaskState::Expired, counts.expired),
        ];
        for (state, count) in counted {
            let right = self.ledger.count(state);
            ensure(count == right, || {
                format!("{count} tasks are counted as {state}, not {right}")
            })?;
        }
        let workers = store.workers().await.unwrap();
        let running: u64 = workers
            .iter()
            .map(|worker| u64::from(worker.tasks_running))
            .sum();
        let right = self.ledger.count(TaskState::Running);
        ensure(running == right, || {
            format!("workers run {running} tasks, not {right}")
        })
    }

    /// When nothing is wrong any more and everything has come to its end.
    pub(super) async fn audit(&mut self) -> Checked {
        self.compare().await?;
        for (task, entry) in &self.ledger.tasks {
            let tokens = entry
                .leases
                .iter()
                .map(|granted| granted.lease.fencing_token);
            ensure(tokens.is_sorted_by(|one, next| one < next), || {
                format!("{}: a fencing token did not grow", self.ledger.name(*task))
            })?;
            let open = entry.leases.iter().find(|granted| granted.end.is_none());
            ensure(open.is_none(), || {
                format!("{}: a lease has no end: {entry:?}", self.ledger.name(*task))
            })?;
        }
        let confirmed = self.promises.confirmed.clone();
        for (order, task) in confirmed {
            self.audit_promise(order, task).await?;
        }
        // Without a key an order may have become a task that its client does not know of; never two.
        for order in 0..self.orders.len() {
            let tasks = self.ledger.tasks.values();
            let count = tasks.filter(|entry| entry.order == order).count();
            let is_known = self.promises.confirmed.contains_key(&order);
            ensure(count == 1 || (count == 0 && !is_known), || {
                format!("order {order} became {count} tasks")
            })?;
            ensure(is_known || !self.orders[order].has_key(), || {
                format!("order {order} was never confirmed")
            })?;
        }
        Ok(())
    }

    async fn audit_promise(&mut self, order: usize, task: TaskId) -> Checked {
        let user = Some(self.orders[order].user);
        let path = format!("/v1/tasks/{task}");
        let answer = self.pool.call(user, Method::GET, &path, None).await;
        ensure(answer.status.is_success(), || {
            format!("confirmed and lost: {}", answer.text())
        })?;
        let view: TaskView = answer.json();
        ensure(view.state.is_finished(), || {
            format!("{task} is {} for ever", view.state)
        })?;
        self.keeps(view.clone())?;
        let output = self
            .pool
            .call(user, Method::GET, &format!("{path}/output"), None)
            .await;
        let has_output = output.status.is_success();
        ensure(has_output == (view.state == TaskState::Succeeded), || {
            format!("{task} is {} and its output: {}", view.state, output.status)
        })?;
        if !has_output {
            return Ok(());
        }
        let expected = &self.orders[order].expected;
        ensure(output.body == *expected, || {
            format!("{task} has a wrong output")
        })?;
        self.audit_receipt(user, task, &view).await
    }

    async fn audit_receipt(&self, user: Option<usize>, task: TaskId, view: &TaskView) -> Checked {
        let path = format!("/v1/tasks/{task}/receipt");
        let receipt: Receipt = self.pool.call(user, Method::GET, &path, None).await.json();
        let name = self.ledger.name(task);
        let verified = receipt.verify();
        let broken = verified.as_ref().err().map(ToString::to_string);
        ensure(broken.is_none(), || {
            format!("{name}: the receipt does not hold: {broken:?}")
        })?;
        let verified = verified.unwrap();
        let (leaf, entry) = (verified.leaf(), &self.ledger.tasks[&task]);
        let seen = (
            leaf.task.as_str(),
            leaf.task_digest,
            leaf.output,
            Some(leaf.attempt),
        );
        let shown = task.to_string();
        let output = view
            .output
            .map_or(Sha256Digest::of(b""), |output| output.sha256);
        let right = (shown.as_str(), view.digest, output, entry.accepted_attempt);
        ensure(seen == right, || {
            format!("{name}: the receipt is of {seen:?}, not {right:?}")
        })?;
        let store = self.pool.store();
        let stored = store.task_attestation(TaskScope::All, task).await;
        let attestation = stored.map(|stored| stored.id).unwrap_or_default();
        ensure(attestation == verified.statement().attestation, || {
            format!("{name}: the receipt's attestation is not on record")
        })
    }
}
