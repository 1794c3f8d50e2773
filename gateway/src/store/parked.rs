//! A worker's wish for tasks that waits in the store: the commit that queues some also leases them to it.

use protocol::lease::Lease;

use super::database::{Answer, WriteScope, pending};
use super::{LeaseError, StoreError, Wake, WorkWatch};

type Leased = Result<Vec<Lease>, LeaseError>;

/// A lease that waits. Dropped, it waits no more; one that a commit took up in that moment runs out by itself.
#[derive(Debug)]
pub struct ParkedLease {
    watch: WorkWatch,
    answer: Answer<Leased>,
}

/// How it ended.
#[derive(Debug)]
pub enum ParkEnd {
    /// Leased, and on disk, or of tasks that nobody else has heard of before they are; none, where others were quicker or what was
    /// queued is kept from this worker.
    Leased(Leased),
    /// Something is queued that no commit of this gateway could give it: its turn to look.
    Look(Wake),
}

impl ParkedLease {
    pub(super) fn new(
        watch: WorkWatch,
        lease: impl Fn(&mut WriteScope<'_>) -> Result<Leased, StoreError> + Send + 'static,
    ) -> Self {
        let (operation, answer) = pending(lease, None);
        watch.park(operation);
        Self { watch, answer }
    }

    /// Whether it still waits: neither a commit nor its turn has come.
    #[cfg(test)]
    pub(crate) fn is_in_line(&self) -> bool {
        self.watch.is_in_line()
    }

    /// Whether tasks wait now that such a worker may have.
    #[cfg(test)]
    pub(crate) fn has_queued(&self) -> bool {
        self.watch.has_queued()
    }

    /// Ends once. Safe to cancel.
    pub async fn ended(&mut self) -> ParkEnd {
        tokio::select! {
            wake = self.watch.woken() => ParkEnd::Look(wake),
            leased = &mut self.answer, if !self.answer.is_terminated() => match leased {
                Ok(leased) => ParkEnd::Leased(leased.result.unwrap_or_else(|error| Err(LeaseError::Store(error)))),
                // It is to look; or the writer is gone, with the lease and the wish to wake it.
                Err(_) => match self.watch.called().await {
                    Some(wake) => ParkEnd::Look(wake),
                    None => ParkEnd::Leased(Err(LeaseError::Store(StoreError::Closed))),
                },
            }
        }
    }

    /// Waits no more. What a commit has leased to it in this moment comes all the same.
    pub async fn leave(mut self) -> Option<ParkEnd> {
        if self.watch.leave() {
            return None;
        }
        Some(self.ended().await)
    }
}
