//! What the service manager is told. Without one, nothing happens.

use std::time::Duration;

use sd_notify::NotifyState;

/// Speaks to `NOTIFY_SOCKET`.
#[derive(Debug)]
pub struct ServiceManager {
    /// A third of the watchdog's time; nothing without a watchdog.
    watchdog: Option<Duration>,
    watchdog_at: Duration,
    status: String,
}

impl ServiceManager {
    #[must_use]
    pub fn new() -> Self {
        Self {
            watchdog: sd_notify::watchdog_enabled().and_then(|limit| limit.checked_div(3)),
            watchdog_at: Duration::ZERO,
            status: String::new(),
        }
    }

    pub fn ready(&self) {
        notify(&[NotifyState::Ready]);
    }

    pub fn stopping(&self) {
        notify(&[NotifyState::Stopping]);
    }

    /// One line for `systemctl status`; sent when it changed.
    pub fn status(&mut self, status: String) {
        if status != self.status {
            notify(&[NotifyState::Status(&status)]);
            self.status = status;
        }
    }

    /// Says that the driver is alive when it is time to.
    pub fn alive(&mut self, now: Duration) {
        if let Some(interval) = self.watchdog
            && now >= self.watchdog_at
        {
            notify(&[NotifyState::Watchdog]);
            self.watchdog_at = now.saturating_add(interval);
        }
    }

    /// When to call [`ServiceManager::alive`] next.
    #[must_use]
    pub fn wake_at(&self) -> Option<Duration> {
        self.watchdog.map(|_| self.watchdog_at)
    }
}

impl Default for ServiceManager {
    fn default() -> Self {
        Self::new()
    }
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "the service manager does not listen");
    }
}
