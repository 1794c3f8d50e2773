//! Which works of a batch have their outcome: each gets exactly one, whatever happens.

use super::{ConnectionError, Outcome};

/// The works of one batch, by index.
pub(super) struct Batch<'a> {
    in_order: bool,
    states: Vec<State>,
    answer: &'a mut dyn FnMut(usize, Outcome),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Begun,
    Settled,
}

impl<'a> Batch<'a> {
    pub(super) fn new(
        count: usize,
        in_order: bool,
        answer: &'a mut dyn FnMut(usize, Outcome),
    ) -> Self {
        Self {
            in_order,
            states: vec![State::Waiting; count],
            answer,
        }
    }

    /// The child has these works.
    pub(super) fn begin(&mut self, first: usize, count: usize) {
        for state in self.states.iter_mut().skip(first).take(count) {
            *state = State::Begun;
        }
    }

    /// The child has this work, gave no answer to it yet, and where it runs works in order, owes it first.
    pub(super) fn expects(&self, index: usize) -> bool {
        let begun = self.states.get(index) == Some(&State::Begun);
        begun && (!self.in_order || self.first_begun() == Some(index))
    }

    fn first_begun(&self) -> Option<usize> {
        self.states.iter().position(|state| *state == State::Begun)
    }

    pub(super) fn settle(&mut self, index: usize, outcome: Outcome) {
        if let Some(state) = self.states.get_mut(index) {
            *state = State::Settled;
            (self.answer)(index, outcome);
        }
    }

    /// The child is gone: what it may have been running is lost, the rest was not run.
    pub(super) fn abandon(&mut self, error: &ConnectionError) {
        let first_begun = self.first_begun();
        // A child that names its fault stops there: in order, nothing behind that work was begun.
        let named = matches!(error, ConnectionError::ExecutorFault(_));
        for index in 0..self.states.len() {
            let suspect = if self.in_order {
                !named && first_begun == Some(index)
            } else {
                self.states.get(index) == Some(&State::Begun)
            };
            match self.states.get(index) {
                Some(State::Settled) | None => {}
                Some(_) if suspect => self.settle(index, Outcome::Lost(error.to_string())),
                Some(_) => self.settle(index, Outcome::NotRun),
            }
        }
    }
}
