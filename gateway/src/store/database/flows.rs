//! What one operation does to flows: how many of their tasks are in each state, and which turn they take next.

use std::collections::BTreeMap;

use protocol::task::TaskState;

use super::super::StoreError;
use super::connection::{Connection, Many};
use super::value::values;

/// Counts the tasks of a flow, and does more where that is asked for. A column that is named is written with its indexes, whether
/// its value is another or not: so what is not to change is not named.
macro_rules! count {
    ($set:literal, $set_all:literal, $arrays:literal, $columns:literal) => {
        Many {
            each: concat!(
                "UPDATE flows SET running = running + ?2, succeeded = succeeded + ?3, dead_letter = dead_letter + ?4,
                     cancelled = cancelled + ?5, expired = expired + ?6", $set, "
                 WHERE number = ?1"
            ),
            all: concat!(
                "UPDATE flows SET running = running + more_running, succeeded = succeeded + more_succeeded,
                     dead_letter = dead_letter + more_dead, cancelled = cancelled + more_cancelled,
                     expired = expired + more_expired", $set_all, "
                 FROM unnest(?1::bigint[], ?2::bigint[], ?3::bigint[], ?4::bigint[], ?5::bigint[], ?6::bigint[]", $arrays, ")
                     AS given (flow, more_running, more_succeeded, more_dead, more_cancelled, more_expired", $columns, ")
                 WHERE number = flow"
            ),
        }
    };
}

pub(in super::super) const COUNT: Many = count!("", "", "", "");
pub(in super::super) const COUNT_QUEUED: Many = count!(
    ", queued = queued + ?7",
    ", queued = queued + more_queued",
    ", ?7::bigint[]",
    ", more_queued"
);
pub(in super::super) const TAKE_TURN: Many = count!(
    ", queued = queued + ?7, turn = ?8",
    ", queued = queued + more_queued, turn = next_turn",
    ", ?7::bigint[], ?8::bigint[]",
    ", more_queued, next_turn"
);

/// Of one flow.
#[derive(Debug, Clone, Copy, Default)]
struct Change {
    /// So many tasks more are in each state.
    queued: i64,
    running: i64,
    succeeded: i64,
    dead_letter: i64,
    cancelled: i64,
    expired: i64,
    /// Where it took one.
    next_turn: Option<i64>,
}

impl Change {
    fn of(&mut self, state: TaskState) -> &mut i64 {
        match state {
            TaskState::Queued => &mut self.queued,
            TaskState::Running => &mut self.running,
            TaskState::Succeeded => &mut self.succeeded,
            TaskState::DeadLetter => &mut self.dead_letter,
            TaskState::Cancelled => &mut self.cancelled,
            TaskState::Expired => &mut self.expired,
        }
    }

    /// Whether there are fewer tasks than before.
    fn is_less(&self) -> bool {
        let steps = [
            self.queued,
            self.running,
            self.succeeded,
            self.dead_letter,
            self.cancelled,
            self.expired,
        ];
        steps.into_iter().fold(0, i64::saturating_add) < 0
    }
}

/// Of every flow that an operation touches.
#[derive(Debug, Default)]
pub(super) struct FlowChanges(BTreeMap<i64, Change>);

impl FlowChanges {
    /// So many tasks more of the flow are in this state.
    pub(super) fn count(&mut self, flow: i64, state: TaskState, step: i64) {
        let count = self.0.entry(flow).or_default().of(state);
        *count = count.saturating_add(step);
    }

    pub(super) fn take_turn(&mut self, flow: i64, next_turn: i64) {
        self.0.entry(flow).or_default().next_turn = Some(next_turn);
    }

    /// Of each flow, those more that wait.
    pub(super) fn queued(&self) -> impl Iterator<Item = (i64, i64)> {
        let queued = self.0.iter().map(|(flow, change)| (*flow, change.queued));
        queued.filter(|(_, step)| *step != 0)
    }

    /// Answers the flows that are no more: those without a task.
    pub(super) fn keep(&self, connection: &Connection) -> Result<Vec<i64>, StoreError> {
        let (mut counted, mut moved, mut served) = (Vec::new(), Vec::new(), Vec::new());
        for (flow, change) in &self.0 {
            let Change {
                queued,
                running,
                succeeded,
                dead_letter,
                cancelled,
                expired,
                next_turn,
            } = *change;
            macro_rules! row {
                ($($more:expr),*) => {
                    values![*flow, running, succeeded, dead_letter, cancelled, expired, $($more),*]
                };
            }
            match next_turn {
                Some(turn) => served.push(row![queued, turn]),
                None if queued != 0 => moved.push(row![queued]),
                None => counted.push(row![]),
            }
        }
        connection.execute_many(&COUNT, &counted)?;
        connection.execute_many(&COUNT_QUEUED, &moved)?;
        connection.execute_many(&TAKE_TURN, &served)?;
        let mut ended = Vec::new();
        for (flow, _) in self.0.iter().filter(|(_, change)| change.is_less()) {
            let sql = "DELETE FROM flows WHERE number = ?1
                       AND queued + running + succeeded + dead_letter + cancelled + expired = 0";
            if connection.execute(sql, &values![*flow])? > 0 {
                ended.push(*flow);
            }
        }
        Ok(ended)
    }
}
