//! What others see of a worker: its probes, its metrics, and what systemd shows.

use std::time::Duration;

use super::Driver;
use crate::health::Shown;
use crate::machine::Tick;

/// As often as they are read.
const GPUS_INTERVAL: Duration = Duration::from_secs(1);

impl Driver {
    pub(super) fn report(&mut self, tick: Tick) {
        let shown = Shown {
            tasks_held: self.machine.tasks_held(),
            connected: self.machine.is_connected(),
            ready: self.machine.is_ready(),
            quarantine: self.machine.quarantine(),
        };
        self.parts.health.turned(tick.now, shown);
        self.parts.gauges.set(shown, self.machine.counts());
        if tick.now >= self.gpus_at {
            self.gpus_at = tick.now.saturating_add(GPUS_INTERVAL);
            self.parts.gauges.set_gpus(&self.parts.telemetry.latest());
        }
        self.manager.alive(tick.now);
        let state = if shown.connected {
            "connected"
        } else {
            "not connected"
        };
        self.manager.status(format!(
            "{state} to {}",
            self.parts.connector.gateway.address
        ));
    }
}
