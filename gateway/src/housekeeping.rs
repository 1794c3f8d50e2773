//! What a gateway does without being asked: collect expired leases, add up what workers have done, forget old tasks, remove blobs, read collateral and appraisal policy again, tell
//! systemd that it lives.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::blobs::BlobError;
use crate::gateway::Gateway;
use crate::limits::{
    COLLATERAL_INTERVAL, COLLECT_INTERVAL, COUNT_INTERVAL, EXPIRY_INTERVAL, PRUNE_INTERVAL,
    PRUNE_PAUSE, REAPPRAISAL_PROGRESS, WATCHDOG_INTERVAL, WORKER_CLAIM,
};
use crate::policy_file;
use crate::problem::chain;
use crate::references;
use crate::store::{Age, ClaimsBefore, PrunePlace, StoreError};
use crate::world::CollateralSource;

/// Starts all of it; each part ends when the gateway stops.
pub(crate) fn start(
    tasks: &mut JoinSet<&'static str>,
    gateway: &Arc<Gateway>,
    collateral: Arc<dyn CollateralSource>,
) {
    tasks.spawn(every(EXPIRY_INTERVAL, Arc::clone(gateway), expire));
    tasks.spawn(every(
        EXPIRY_INTERVAL,
        Arc::clone(gateway),
        cancel_abandoned,
    ));
    tasks.spawn(every(COUNT_INTERVAL, Arc::clone(gateway), count));
    tasks.spawn(obey(Arc::clone(gateway)));
    tasks.spawn(every(PRUNE_INTERVAL, Arc::clone(gateway), prune));
    tasks.spawn(every(COLLECT_INTERVAL, Arc::clone(gateway), collect));
    tasks.spawn(every(WATCHDOG_INTERVAL, Arc::clone(gateway), watchdog));
    tasks.spawn(reload(Arc::clone(gateway), collateral));
    tasks.spawn(follow_reappraisals(Arc::clone(gateway)));
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

/// Does to this gateway's sessions what another gateway on the same database was asked for.
async fn obey(gateway: Arc<Gateway>) -> &'static str {
    loop {
        tokio::select! {
            () = gateway.stopping.cancelled() => return "orders of other gateways",
            order = gateway.store.order() => gateway.obey(order),
        }
    }
}

async fn cancel_abandoned(gateway: Arc<Gateway>) {
    for (scope, tasks) in gateway.abandoned.take() {
        if let Err(error) = gateway.cancel(scope, tasks).await {
            tracing::error!(error = chain(&error), "abandoned tasks cannot be cancelled");
        }
    }
}

async fn count(gateway: Arc<Gateway>) {
    if let Err(error) = gateway.store.count_succeeded().await {
        tracing::error!(
            error = chain(&error),
            "what workers have done cannot be added up"
        );
    }
}

async fn prune(gateway: Arc<Gateway>) {
    let mut forgotten = 0_u64;
    let mut place = PrunePlace::START;
    // The same for all of a pass: what its tasks need must not grow old on the way.
    let now_ms = gateway.now_ms();
    let age = Age {
        before_ms: now_ms.saturating_sub(gateway.retention_ms),
        now_ms,
    };
    while !gateway.stopping.is_cancelled() {
        match gateway.store.prune(place, age).await {
            Ok(pruned) => {
                forgotten = forgotten.saturating_add(pruned.tasks);
                match pruned.next {
                    Some(next) => place = next,
                    None => break,
                }
            }
            Err(error) => {
                tracing::error!(error = chain(&error), "old tasks cannot be forgotten");
                break;
            }
        }
        tokio::time::sleep(PRUNE_PAUSE).await;
    }
    if forgotten > 0 {
        tracing::info!(
            tasks = forgotten,
            "tasks past their retention are forgotten"
        );
    }
}

async fn collect(gateway: Arc<Gateway>) {
    let worker_claim_ms = u64::try_from(WORKER_CLAIM.as_millis()).unwrap_or(u64::MAX);
    let now_ms = gateway.now_ms();
    let stored_before = ClaimsBefore {
        users_ms: now_ms.saturating_sub(gateway.retention_ms),
        workers_ms: now_ms.saturating_sub(worker_claim_ms),
    };
    loop {
        match gateway.store.end_blob_claims(stored_before).await {
            Ok(true) => tokio::time::sleep(PRUNE_PAUSE).await,
            Ok(false) => break,
            Err(error) => {
                tracing::error!(error = chain(&error), "old claims on blobs cannot be ended");
                return;
            }
        }
    }
    let unreferenced = |blobs| {
        let store = gateway.store.clone();
        async move { Ok(store.unreferenced_blobs(blobs).await?) }
    };
    let collected = tokio::select! {
        () = gateway.stopping.cancelled() => return,
        collected = gateway.blobs.collect::<_, CollectError>(unreferenced) => collected,
    };
    match collected {
        Ok(0) => {}
        Ok(blobs) => tracing::info!(blobs, "blobs that nobody needs are removed"),
        Err(error) => tracing::error!(error = chain(&error), "blobs cannot be collected"),
    }
}

/// Why a collection of blobs broke off; the next one goes on.
#[derive(Debug, thiserror::Error)]
enum CollectError {
    #[error("the files cannot be gone through")]
    Blobs(#[from] BlobError),
    #[error("the store cannot be asked")]
    Store(#[from] StoreError),
}

async fn watchdog(_: Arc<Gateway>) {
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
}

async fn reload(gateway: Arc<Gateway>, collateral: Arc<dyn CollateralSource>) -> &'static str {
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
                if let Err(error) = policy_file::reload(&gateway).await {
                    tracing::error!(error = chain(&error), "the former appraisal policy stays");
                }
            }
            () = tokio::time::sleep(COLLATERAL_INTERVAL) => {}
        }
        read_collateral(&gateway, &collateral).await;
        references::read(&gateway).await;
    }
}

/// Says how far it has come when policy or collateral were replaced. The sessions' drivers do it themselves.
async fn follow_reappraisals(gateway: Arc<Gateway>) -> &'static str {
    let mut replacements = gateway.relying_party.in_force.replacements();
    let mut outdated_before = 0;
    loop {
        tokio::select! {
            () = gateway.stopping.cancelled() => return "reappraisals",
            _ = replacements.changed() => {}
            () = tokio::time::sleep(REAPPRAISAL_PROGRESS), if outdated_before > 0 => {}
        }
        let (open, outdated) = gateway.sessions.outdated();
        if outdated == outdated_before {
            continue;
        }
        outdated_before = outdated;
        let tally = &gateway.relying_party.tally;
        tracing::info!(
            open,
            outdated,
            reappraised_in_all = tally.reappraised.load(Ordering::Relaxed),
            cut_in_all = tally.cut.load(Ordering::Relaxed),
            "live sessions are appraised again"
        );
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
    for family in shelf.replace(reading.families(), faults == 0) {
        tracing::info!(%family, "new collateral: this family's sessions are appraised again");
    }
    let metrics = &gateway.metrics;
    metrics.collateral(shelf.next_update_s(), shelf.families_count(), faults);
    let now_s = gateway.clock.now_us() / 1_000_000;
    for (family, shelved) in shelf.all() {
        metrics.collateral_left(family, shelved.collateral.next_update_s(), now_s);
    }
}
