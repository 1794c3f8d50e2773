//! Telling the other gateways: a notification that comes with the commit, or not at all.

use super::super::super::StoreError;
use super::super::super::notice::Notice;
use super::super::value::{Value, values};
use super::Postgres;

/// A notification has less than 8,000 bytes.
const ORDERS_MAX: usize = 20;

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
        let (first, more) = notice
            .orders
            .split_at_checked(ORDERS_MAX)
            .unwrap_or((&notice.orders, &[]));
        let first = text(&Notice {
            orders: first.to_vec(),
            ..notice.clone()
        })?;
        let told = self.query(TELL, &values![&first], |row| row.get(0))?;
        for orders in more.chunks(ORDERS_MAX) {
            let more = text(&Notice {
                origin: notice.origin,
                orders: orders.to_vec(),
                ..Notice::default()
            })?;
            self.query(TELL_MORE, &[Value::from(&more)], |_| Ok(()))?;
        }
        Ok(told.first().copied())
    }
}

fn text(notice: &Notice) -> Result<String, StoreError> {
    let failed = |_| StoreError::Unreadable { what: "a notice" };
    serde_json::to_string(notice).map_err(failed)
}
