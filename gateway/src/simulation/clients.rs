//! Those who submit: they repeat what they have no answer to, read, and change their minds. What they are told is a promise.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Method;
use protocol::api::{InputSource, SubmitTask, TaskView};
use protocol::requirements::Requirements;
use protocol::task::TaskState;
use protocol::{IdempotencyKey, Sha256Digest, TaskId};

use super::Simulation;
use super::dice::Dice;
use super::ledger::{Checked, ensure};
use super::network::{Happening, Step};
use super::plan::Sabotage;
use super::pool::{Answer, USERS};
use super::worker::{POISON, compute};

/// Over the inline limit, as input and as output.
const BLOB_BYTES: usize = 66_000;

/// What one client wants computed.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) user: usize,
    task: SubmitTask,
    /// To be uploaded first.
    blob: Option<Bytes>,
    pub(super) expected: Bytes,
}

/// What clients were told, answers that were lost left out.
#[derive(Debug, Default)]
pub(super) struct Promises {
    /// Orders and the tasks that they became.
    pub(super) confirmed: BTreeMap<usize, TaskId>,
    /// Tasks that were seen finished, as they were.
    pub(super) finished: BTreeMap<TaskId, TaskView>,
}

impl Order {
    pub(super) fn draw(number: usize, dice: &mut Dice) -> Self {
        let is_large = dice.in_1000(80);
        let mut input = format!("order {number} {}", dice.bits()).into_bytes();
        if dice.in_1000(40) {
            input.splice(0..0, POISON.iter().copied());
        }
        if is_large {
            input.resize(BLOB_BYTES, 0);
        }
        let input = Bytes::from(input);
        let (operation, parameters) = if is_large {
            (
                "transpose",
                serde_json::json!({ "rows": 1, "columns": BLOB_BYTES / 4 }),
            )
        } else {
            ("sha256_batch", serde_json::json!({}))
        };
        let source = if is_large {
            InputSource::Blob {
                sha256: Sha256Digest::of(&input),
                bytes: u64::try_from(input.len()).unwrap(),
            }
        } else {
            InputSource::Inline {
                data: input.to_vec(),
            }
        };
        let key = || format!("key-{number}").parse::<IdempotencyKey>().unwrap();
        let task = SubmitTask {
            operation: operation.to_owned(),
            version: None,
            parameters: serde_json::from_value(parameters).unwrap(),
            inputs: vec![source],
            priority: Some(u8::try_from(dice.between(0..=9)).unwrap()),
            deadline_s: dice
                .in_1000(100)
                .then(|| u32::try_from(dice.between(5..=60)).unwrap()),
            max_attempts: Some(u32::try_from(dice.between(1..=5)).unwrap()),
            idempotency_key: dice.in_1000(850).then(key),
            requirements: Requirements::default(),
        };
        Self {
            user: dice.index(USERS.len()),
            task,
            blob: is_large.then(|| input.clone()),
            expected: compute(operation, &[input]),
        }
    }

    pub(super) fn has_key(&self) -> bool {
        self.task.idempotency_key.is_some()
    }
}

impl Simulation {
    pub(super) async fn client(&mut self, order: usize, step: Step) -> Checked {
        if !self.pool.is_up() {
            let again = self.dice.between(200..=4_000);
            self.after(again, Happening::Client { order, step });
            return Ok(());
        }
        match step {
            Step::Submit => self.submits(order).await,
            Step::Read => self.reads(order).await,
            Step::Cancel => self.cancels(order).await,
            Step::Conflict => self.conflicts(order).await,
        }
    }

    async fn submits(&mut self, order: usize) -> Checked {
        let user = self.orders[order].user;
        if let Some(blob) = self.orders[order].blob.clone() {
            let path = format!("/v1/blobs/{}", Sha256Digest::of(&blob));
            let body = Some(("application/octet-stream", blob.to_vec()));
            let answer = self.pool.call(Some(user), Method::PUT, &path, body).await;
            ensure(answer.status.is_success(), || {
                format!("an upload was refused: {}", answer.text())
            })?;
            if self.dies_now().await? {
                self.crash();
                self.submits_again(order);
                return Ok(());
            }
        }
        let sabotage = self.plan.sabotage;
        let image = (sabotage == Some(Sabotage::ForgetsSubmission)).then(|| self.pool.image());
        let mut task = self.orders[order].task.clone();
        if sabotage == Some(Sabotage::ForgetsKey) {
            task.idempotency_key = None;
        }
        if !self.is_calm && self.dice.in_1000(self.plan.dies_before_flush) {
            return self.dies_before_its_flush(order, &task).await;
        }
        let answer = self.sends(user, "/v1/tasks", &task).await;
        ensure(matches!(answer.status.as_u16(), 200 | 201), || {
            format!("order {order} was refused: {}", answer.text())
        })?;
        let view: TaskView = answer.json();
        let has_key = self.orders[order].has_key();
        self.ledger
            .submitted(order, has_key, &view, answer.status.as_u16() == 201)?;
        self.tally.submissions += 1;
        if let Some(image) = image {
            self.forget(&image);
        }
        let dies = self.dies_now().await?;
        if dies {
            self.crash();
        }
        if dies || self.is_lost() {
            self.submits_again(order);
            return Ok(());
        }
        self.is_told(order, view.id);
        Ok(())
    }

    /// Workers were told of a new task, and the gateway dies before it is on disk: then there never was one.
    async fn dies_before_its_flush(&mut self, order: usize, task: &SubmitTask) -> Checked {
        let image = self.pool.image();
        let user = self.orders[order].user;
        let answer = self.sends(user, "/v1/tasks", task).await;
        ensure(answer.status.is_success(), || {
            format!("order {order} was refused: {}", answer.text())
        })?;
        self.is_told_of(answer.json::<TaskView>().id).await;
        self.forget(&image);
        self.submits_again(order);
        Ok(())
    }

    /// Who has no answer and no key must not ask again.
    fn submits_again(&mut self, order: usize) {
        if self.orders[order].has_key() {
            let again = self.dice.between(500..=5_000);
            let step = Step::Submit;
            self.after(again, Happening::Client { order, step });
        }
    }

    fn is_told(&mut self, order: usize, task: TaskId) {
        let is_first = self.promises.confirmed.insert(order, task).is_none();
        if !is_first || self.is_calm {
            return;
        }
        let mut steps = vec![Step::Read; self.dice.index(3)];
        if self.dice.in_1000(120) {
            steps.push(Step::Cancel);
        }
        if self.orders[order].has_key() {
            steps.extend(self.dice.in_1000(200).then_some(Step::Submit));
            steps.extend(self.dice.in_1000(50).then_some(Step::Conflict));
        }
        for step in steps {
            let later = self.dice.between(100..=40_000);
            self.after(later, Happening::Client { order, step });
        }
    }

    async fn reads(&mut self, order: usize) -> Checked {
        let (user, task) = (self.orders[order].user, self.promises.confirmed[&order]);
        let path = format!("/v1/tasks/{task}");
        let answer = self.pool.call(Some(user), Method::GET, &path, None).await;
        ensure(answer.status.is_success(), || {
            format!("a confirmed task is not there: {}", answer.text())
        })?;
        let view: TaskView = answer.json();
        self.ledger.compare(&view)?;
        if view.state.is_finished() && !self.is_lost() {
            self.keeps(view)?;
        }
        Ok(())
    }

    /// What is finished stays as it is; but a dead letter may be redriven.
    pub(super) fn keeps(&mut self, view: TaskView) -> Checked {
        let name = self.ledger.name(view.id);
        if let Some(earlier) = self.promises.finished.get(&view.id)
            && earlier.state != TaskState::DeadLetter
        {
            ensure(*earlier == view, || {
                format!("{name} was shown as {earlier:?} and is {view:?}")
            })?;
        }
        self.promises.finished.insert(view.id, view);
        Ok(())
    }

    async fn cancels(&mut self, order: usize) -> Checked {
        let (user, task) = (self.orders[order].user, self.promises.confirmed[&order]);
        let path = format!("/v1/tasks/{task}/cancel");
        let answer = self.pool.call(Some(user), Method::POST, &path, None).await;
        let is_cancelled = answer.status.is_success();
        ensure(is_cancelled || answer.status.as_u16() == 409, || {
            format!("a cancellation was refused: {}", answer.text())
        })?;
        self.ledger.cancelled(task, is_cancelled)?;
        self.tally.cancelled += u64::from(is_cancelled);
        if self.dies_now().await? {
            self.crash();
        } else if is_cancelled && !self.is_lost() {
            self.keeps(answer.json())?;
        }
        Ok(())
    }

    async fn conflicts(&mut self, order: usize) -> Checked {
        let mut task = self.orders[order].task.clone();
        task.inputs.push(InputSource::Inline {
            data: b"another".to_vec(),
        });
        task.operation = "sha256_batch".to_owned();
        task.parameters = serde_json::Map::new();
        let answer = self
            .sends(self.orders[order].user, "/v1/tasks", &task)
            .await;
        ensure(answer.status.as_u16() == 409, || {
            format!(
                "a key that belongs to another task was taken: {}",
                answer.text()
            )
        })
    }

    async fn sends(&self, user: usize, path: &str, task: &SubmitTask) -> Answer {
        let body = Some(("application/json", serde_json::to_vec(task).unwrap()));
        self.pool.call(Some(user), Method::POST, path, body).await
    }
}
