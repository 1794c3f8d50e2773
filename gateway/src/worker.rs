//! The worker listener: attested connections only. What a handler here is given came out of the gate.

mod acks;
mod connection;
mod control;
mod driver;
mod gates;
mod leases;
mod listener;
mod message;
mod payloads;
mod reappraising;
mod router;
mod sessions;

pub(crate) use listener::serve;
pub(crate) use sessions::{Command, LiveSession, Sessions};

/// The routes of an open session, for the simulation, which has no connections.
#[cfg(test)]
pub(crate) fn session_router(
    gateway: &std::sync::Arc<crate::gateway::Gateway>,
    session: &std::sync::Arc<LiveSession>,
) -> axum::Router {
    let (control, _) = tokio::sync::oneshot::channel();
    let metrics = gateway.metrics.clone();
    let attested = connection::AttestedConnection::new(
        std::sync::Arc::clone(gateway),
        std::sync::Arc::clone(session),
        control,
    );
    router::router(metrics).layer(axum::Extension(attested))
}
