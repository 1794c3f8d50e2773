//! How often what happened, so that a thousand runs can be seen to have met everything.

use protocol::lease::AckOutcome;

macro_rules! tally {
    ($($name:ident),+ $(,)?) => {
        /// Counts of one run, or of many.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub(super) struct Tally {
            $(pub(super) $name: u64,)+
        }

        impl Tally {
            pub(super) fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)+
            }

            pub(super) fn counts(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),+]
            }
        }
    };
}

tally!(
    submissions,
    leases,
    leased_by_commit,
    left_open,
    told_in_vain,
    accepted,
    already_accepted,
    unknown,
    superseded,
    ran_out,
    lost,
    copied,
    late,
    overdue,
    sessions,
    half_open,
    appraised,
    refused,
    reattested,
    crashes,
    stopped,
    killed,
    told_to_stop,
    cut,
    jumps,
    partitions,
    drained,
    removed,
    redriven,
    cancelled,
    acks_cancelled,
    children,
);

impl Tally {
    pub(super) fn acked(&mut self, outcomes: &[AckOutcome]) {
        for outcome in outcomes {
            match outcome {
                AckOutcome::Accepted => self.accepted += 1,
                AckOutcome::AlreadyAccepted => self.already_accepted += 1,
                AckOutcome::Superseded => self.superseded += 1,
                AckOutcome::Cancelled => self.acks_cancelled += 1,
                AckOutcome::UnknownTask => self.unknown += 1,
                AckOutcome::Refused { .. } => {}
            }
        }
    }
}
