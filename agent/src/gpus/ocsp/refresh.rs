//! The background task that asks the responder: one request at a time, each certificate before its response ends.

use std::sync::Arc;
use std::time::Duration;

use attestation::gpu::{OcspError, OcspRequestError, OcspStanding, ocsp_request, ocsp_standing};
use tokio_util::sync::CancellationToken;

use super::held::{Answer, Good, Pair};
use super::{Responder, ResponderError, Staples};
use crate::config::chain;
use crate::world::World;

/// The wall clock may be set, so it is looked at again after this at the latest.
const SLEEP_MAX: Duration = Duration::from_mins(10);

/// Why a certificate has no response of its own.
#[derive(Debug, thiserror::Error)]
enum RefreshError {
    #[error("no request can be made for the certificate")]
    Request(#[source] OcspRequestError),
    #[error("no response")]
    Responder(#[source] ResponderError),
    #[error("the response does not hold")]
    Response(#[source] OcspError),
    #[error("the responder does not know the certificate")]
    Unknown,
}

/// Keeps the staples fresh until `stop`.
pub async fn refresh(
    staples: Arc<Staples>,
    responder: Responder,
    world: World,
    stop: CancellationToken,
) {
    let refreshing = async {
        let mut changes = staples.changed.subscribe();
        loop {
            changes.mark_unchanged();
            let now_s = world.unix_s();
            let due = staples.held().due(now_s);
            if let Some((key, pair)) = due {
                let answer = answer(&responder, &pair, now_s).await;
                let random = (world.random)();
                let answered = staples.held().answered(key, answer, now_s, random);
                if let Err(error) = answered {
                    tracing::warn!(
                        error = chain(&error),
                        "the OCSP response for a GPU's certificate is no news"
                    );
                }
                staples.changed.send_replace(());
                continue;
            }
            let wait = staples.held().due_at_s().map_or(SLEEP_MAX, |due_s| {
                Duration::from_secs(due_s.saturating_sub(now_s)).min(SLEEP_MAX)
            });
            tokio::select! {
                _ = changes.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    };
    stop.run_until_cancelled(refreshing).await;
}

async fn answer(responder: &Responder, pair: &Pair, now_s: u64) -> Answer {
    match fetch(responder, pair, now_s).await {
        Ok(answer) => answer,
        Err(RefreshError::Response(OcspError::Revoked {
            revoked_at_s,
            this_update_s,
        })) => {
            tracing::error!(revoked_at_s, "NVIDIA revoked a certificate of a GPU");
            Answer::Revoked { this_update_s }
        }
        Err(error) => {
            tracing::warn!(
                error = chain(&error),
                "no OCSP response for a GPU's certificate"
            );
            Answer::Failed
        }
    }
}

async fn fetch(responder: &Responder, pair: &Pair, now_s: u64) -> Result<Answer, RefreshError> {
    let request = ocsp_request(&pair.certificate, &pair.issuer).map_err(RefreshError::Request)?;
    let response = responder
        .ask(request)
        .await
        .map_err(RefreshError::Responder)?;
    let standing = ocsp_standing(&response, &pair.certificate, &pair.issuer, now_s);
    match standing.map_err(RefreshError::Response)? {
        OcspStanding::Good {
            this_update_s,
            next_update_s,
        } => Ok(Answer::Good(Good {
            response,
            this_update_s,
            next_update_s,
        })),
        OcspStanding::Unknown | OcspStanding::NotStapled => Err(RefreshError::Unknown),
    }
}
