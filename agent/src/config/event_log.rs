//! `[event_log]`: where the TD's event logs are. Without it the worker sends none, and a policy may refuse it for that.

use std::path::PathBuf;

use super::Keys;

/// The files that explain the TD's registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventLogConfig {
    /// What firmware, boot loader and kernel wrote: the area that the ACPI table CCEL points at.
    pub ccel: PathBuf,
    /// What was measured into RTMR3 since; `None` where nothing was.
    pub runtime: Option<PathBuf>,
}

/// `None` without the table. A key that is missing or wrong is a mistake, which ends the reading as a whole.
pub(super) fn event_log(keys: &mut Keys) -> Option<EventLogConfig> {
    if !keys.has("event_log") {
        return None;
    }
    let ccel = keys.path("event_log.ccel");
    let runtime = keys
        .has("event_log.runtime")
        .then(|| keys.path("event_log.runtime"))
        .flatten();
    Some(EventLogConfig {
        ccel: ccel?,
        runtime,
    })
}
