//! Telling the other gateways: a notification that comes with the commit, or not at all.

use super::super::super::StoreError;
use super::super::super::notice::Notice;
use super::super::value::{Value, values};
use super::Postgres;

/// Classes and orders in one notification, which has less than 8,000 bytes: neither has more than some 300.
const PARTS_MAX: usize = 20;

/// Its payload is the number of the commit and the notice. Commits have consecutive numbers, in their order: one transaction
/// writes at a time.
const TELL: &str = "
    UPDATE gateway_state SET commits = commits + 1
    RETURNING commits, pg_notify('gateway_' || current_schema(), commits || ' ' || ?1)";
const TELL_MORE: &str = "
    SELECT pg_notify('gateway_' || current_schema(), commits || ' ' || ?1) FROM gateway_state";

impl Postgres {
    /// The number of the commit; `None` where there is nothing to tell.
    pub(in super::super) fn tell(&self, notice: &Notice) -> Result<Option<u64>, StoreError> {
        if notice.queued.is_empty() && !notice.moved && notice.orders.is_empty() {
            return Ok(None);
        }
        let mut parts = parts(notice).into_iter();
        let first = text(&parts.next().unwrap_or_default())?;
        let told = self.query(TELL, &values![&first], |row| row.get(0))?;
        for part in parts {
            let more = text(&part)?;
            self.query(TELL_MORE, &[Value::from(&more)], |_| Ok(()))?;
        }
        Ok(told.first().copied())
    }
}

/// The notice in as many as it takes.
fn parts(notice: &Notice) -> Vec<Notice> {
    let chunks = notice.queued.chunks(PARTS_MAX).map(|queued| Notice {
        queued: queued.to_vec(),
        ..Notice::default()
    });
    let orders = notice.orders.chunks(PARTS_MAX).map(|orders| Notice {
        orders: orders.to_vec(),
        ..Notice::default()
    });
    let mut parts: Vec<_> = chunks.chain(orders).collect();
    if parts.is_empty() {
        parts.push(Notice::default());
    }
    for part in &mut parts {
        part.origin = notice.origin;
        part.moved = notice.moved;
    }
    parts
}

fn text(notice: &Notice) -> Result<String, StoreError> {
    let failed = |_| StoreError::Unreadable { what: "a notice" };
    serde_json::to_string(notice).map_err(failed)
}
