//! Where a log parts from a reference: a predicted log, or one recorded on a machine that is known to be good.
//!
//! A register's events are compared in their order; events of different registers may interleave as they like. Behind
//! the first difference of a register nothing is compared: whatever follows may follow from it.

use std::fmt;

use super::{Content, Event, Register, Subject};

/// How an event differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The reference has the same kind of event there, with another digest.
    Changed,
    /// The reference does not have this event.
    Extra,
    /// The reference has an event that this log does not have.
    Missing,
    /// The reference has both events, in another order.
    Moved,
    /// The reference has another event there.
    Replaced,
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Changed => "measured another content",
            Self::Extra => "is not in the reference",
            Self::Missing => "is only in the reference",
            Self::Moved => "stands elsewhere in the reference",
            Self::Replaced => "is another event in the reference",
        })
    }
}

/// The first event of a register that differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Difference<'log> {
    /// The register that it extended.
    pub register: Register,
    /// Its number among the register's events, from 1.
    pub position: usize,
    /// Its number in the whole log, from 1; one past the last where the log ends before it.
    pub entry: usize,
    /// How it differs.
    pub change: Change,
    /// This log's event, unless its events of the register end before it.
    pub event: Option<&'log Event>,
    /// The reference's event, unless its events of the register end before it.
    pub reference: Option<&'log Event>,
    /// The one that is changed, too many or too few.
    named: &'log Event,
}

impl Difference<'_> {
    /// What the event is about that is changed, too many or too few.
    #[must_use]
    pub fn subject(&self) -> Subject {
        Subject::of(self.named)
    }

    /// What most likely changed.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        self.subject().cause()
    }

    /// The name of that event's type.
    #[must_use]
    pub fn type_name(&self) -> String {
        self.named.type_name()
    }
}

/// One line: where, what, how, and the likely cause.
impl fmt::Display for Difference<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            register,
            position,
            change,
            ..
        } = self;
        write!(
            formatter,
            "event {position} of {register} ({}) {change}; likely cause: {}",
            self.subject(),
            self.cause()
        )
    }
}

/// The first difference in the order of the log.
#[must_use]
pub fn first_difference<'log>(
    log: &'log [Event],
    reference: &'log [Event],
) -> Option<Difference<'log>> {
    differences(log, reference).into_iter().next()
}

/// The first difference of each register that differs, in the order of the log.
#[must_use]
pub fn differences<'log>(log: &'log [Event], reference: &'log [Event]) -> Vec<Difference<'log>> {
    let mut differences: Vec<Difference<'log>> = Register::RTMRS
        .into_iter()
        .filter_map(|register| difference(register, log, reference))
        .collect();
    differences.sort_by_key(|difference| difference.entry);
    differences
}

fn difference<'log>(
    register: Register,
    log: &'log [Event],
    reference: &'log [Event],
) -> Option<Difference<'log>> {
    let ours: Vec<(usize, &Event)> = (1..)
        .zip(log)
        .filter(|(_, event)| event.extends() && event.register == register)
        .collect();
    let theirs: Vec<&Event> = reference
        .iter()
        .filter(|event| event.extends() && event.register == register)
        .collect();
    let same = ours
        .iter()
        .zip(&theirs)
        .take_while(|((_, event), reference)| event.digest == reference.digest)
        .count();
    let rest: Vec<&Event> = ours.iter().skip(same).map(|(_, event)| *event).collect();
    let rest_of_reference: Vec<&Event> = theirs.into_iter().skip(same).collect();
    let (change, named) = match (&rest[..], &rest_of_reference[..]) {
        ([], []) => return None,
        ([event, ..], []) => (Change::Extra, *event),
        ([], [reference, ..]) => (Change::Missing, *reference),
        ([event, later @ ..], [reference, later_in_reference @ ..]) => {
            match change((event, later), (reference, later_in_reference)) {
                Change::Missing => (Change::Missing, *reference),
                change => (change, *event),
            }
        }
    };
    Some(Difference {
        register,
        position: same.saturating_add(1),
        entry: ours
            .get(same)
            .map_or(log.len().saturating_add(1), |(entry, _)| *entry),
        change,
        event: rest.first().copied(),
        reference: rest_of_reference.first().copied(),
        named,
    })
}

/// How the first two events that differ relate, each with what comes after it in its own log.
fn change(
    (event, later): (&Event, &[&Event]),
    (reference, later_in_reference): (&Event, &[&Event]),
) -> Change {
    let among = |wanted: &Event, events: &[&Event]| {
        events.iter().any(|event| event.digest == wanted.digest)
    };
    match (among(reference, later), among(event, later_in_reference)) {
        (true, true) => Change::Moved,
        (true, false) => Change::Extra,
        (false, true) => Change::Missing,
        (false, false) if same_kind(event, reference) => Change::Changed,
        (false, false) => Change::Replaced,
    }
}

/// Whether two events measure the same thing, whatever they found.
fn same_kind(event: &Event, reference: &Event) -> bool {
    match (&event.content, &reference.content) {
        (Content::RunTime { name, .. }, Content::RunTime { name: other, .. }) => name == other,
        (
            Content::Firmware { event_type, data },
            Content::Firmware {
                event_type: other_type,
                data: other,
            },
        ) => {
            // Some logs leave out what the digest does not cover; the type is then all that there is to compare.
            let left_out = data.is_empty() || other.is_empty();
            event_type == other_type && (left_out || same_subject(event, reference))
        }
        _ => false,
    }
}

fn same_subject(event: &Event, reference: &Event) -> bool {
    let kind = |event: &Event| std::mem::discriminant(&Subject::of(event));
    kind(event) == kind(reference) && event.variable_name() == reference.variable_name()
}
