//! What a gateway does without being asked: collect expired leases, read collateral and appraisal policy again, tell
//! systemd that it lives.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use attestation::AppraisalPolicy;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::gateway::Gateway;
use crate::limits::{COLLATERAL_INTERVAL, EXPIRY_INTERVAL, WATCHDOG_INTERVAL};
use crate::problem::chain;
use crate::world::CollateralSource;

/// Starts all of it; each part ends when the gateway stops.
pub(crate) fn start(
    tasks: &mut JoinSet<&'static str>,
    gateway: &Arc<Gateway>,
    collateral: Arc<dyn CollateralSource>,
    appraisal_policy: PathBuf,
) {
    tasks.spawn(every(EXPIRY_INTERVAL, Arc::clone(gateway), expire));
    tasks.spawn(every(WATCHDOG_INTERVAL, Arc::clone(gateway), watchdog));
    tasks.spawn(reload(Arc::clone(gateway), collateral, appraisal_policy));
}

async fn every<F: Future<Output = ()>>(
    interval: Duration,
    gateway: Arc<Gateway>,
    work: impl Fn(Arc<Gateway>) -> F,
) -> &'static str {
    loop {
        tokio::select! {
            () = gateway.stopping.cancelled() => return "housekeeping",
            () = tokio::time::sleep(interval) => work(Arc::clone(&gateway)).await,
        }
    }
}

async fn expire(gateway: Arc<Gateway>) {
    loop {
        match gateway.store.expire(gateway.now_ms()).await {
            Ok(expired) => {
                let leases = expired.requeued.saturating_add(expired.dead_lettered);
                if leases > 0 {
                    tracing::info!(
                        requeued = expired.requeued,
                        dead_lettered = expired.dead_lettered,
                        "leases ran out"
                    );
                    gateway.metrics.lease_expired(leases);
                }
                if !expired.more || gateway.stopping.is_cancelled() {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "leases cannot be collected");
                return;
            }
        }
    }
}

async fn watchdog(_: Arc<Gateway>) {
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
}

async fn reload(
    gateway: Arc<Gateway>,
    collateral: Arc<dyn CollateralSource>,
    appraisal_policy: PathBuf,
) -> &'static str {
    let mut hangups = signal(SignalKind::hangup()).ok();
    loop {
        let hangup = async {
            match &mut hangups {
                Some(hangups) => hangups.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = gateway.stopping.cancelled() => return "reload",
            _ = hangup => {
                reload_policy(&gateway, &appraisal_policy).await;
                read_collateral(&gateway, &collateral).await;
            }
            () = tokio::time::sleep(COLLATERAL_INTERVAL) => read_collateral(&gateway, &collateral).await,
        }
    }
}

/// Takes what the source has now. What cannot be read is said, and stays as it was.
pub(crate) async fn read_collateral(gateway: &Gateway, source: &Arc<dyn CollateralSource>) {
    let source = Arc::clone(source);
    let reading = match tokio::task::spawn_blocking(move || source.read()).await {
        Ok(reading) => reading,
        Err(error) => {
            tracing::error!(%error, "collateral was not read");
            return;
        }
    };
    for fault in &reading.faults {
        tracing::warn!(error = chain(fault), "collateral cannot be used");
    }
    let shelf = &gateway.relying_party.collateral;
    let faults = reading.faults.len();
    shelf.replace(reading.families(), faults == 0);
    let metrics = &gateway.metrics;
    metrics.collateral(shelf.next_update_s(), shelf.families_count(), faults);
    let now_s = gateway.clock.now_us() / 1_000_000;
    for (family, collateral) in shelf.all() {
        metrics.collateral_left(family, collateral.next_update_s(), now_s);
    }
}

async fn reload_policy(gateway: &Gateway, path: &PathBuf) {
    let text = match tokio::fs::read_to_string(path).await {
        Ok(text) => text,
        Err(error) => {
            tracing::error!(%error, path = %path.display(), "the appraisal policy cannot be read; the former one stays");
            return;
        }
    };
    let policy = match AppraisalPolicy::from_toml(&text) {
        Ok(policy) => policy,
        Err(error) => {
            tracing::error!(
                error = chain(&error),
                "the appraisal policy is refused; the former one stays"
            );
            return;
        }
    };
    if policy.digest() == gateway.relying_party.policy().digest() {
        return;
    }
    tracing::info!(
        sha256 = hex::encode(policy.digest()),
        "new appraisal policy: every session attests again"
    );
    gateway.relying_party.replace_policy(policy);
    gateway.sessions.demand_attestation();
}
