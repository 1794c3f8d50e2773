//! Accepts worker connections, within the limits on how many may be before the gate.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use channel::GatewayTls;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::driver;
use super::gates::{GatePass, Gates};
use super::router::router;
use crate::gateway::Gateway;
use crate::listener::accept;

/// Serves workers until the gateway stops; then every connection ends in order.
pub(crate) async fn serve(gateway: Arc<Gateway>, listener: TcpListener, tls: GatewayTls) {
    let gates = Gates::new(gateway.metrics.gates_in_flight());
    let router = router(gateway.metrics.clone());
    let mut connections = JoinSet::new();
    while let Some((stream, peer)) = accept(&listener, &gateway.stopping).await {
        while connections.try_join_next().is_some() {}
        match gates.enter(peer.ip()) {
            Ok(pass) => {
                let arrival = Arrival { stream, peer, pass };
                let connection =
                    connection(Arc::clone(&gateway), tls.clone(), router.clone(), arrival);
                connections.spawn(connection);
            }
            Err(full) => gateway.metrics.connection_refused("worker", full.label()),
        }
    }
    while connections.join_next().await.is_some() {}
}

/// A connection that was accepted.
struct Arrival {
    stream: TcpStream,
    peer: SocketAddr,
    pass: GatePass,
}

async fn connection(gateway: Arc<Gateway>, tls: GatewayTls, router: Router, arrival: Arrival) {
    let Arrival { stream, peer, pass } = arrival;
    // Small messages both ways; without it each waits for the other side's delayed acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "a worker connection closed at once");
        return;
    }
    // On the heap, where it goes away: what a handshake holds would otherwise be held by every session for its whole life.
    let admitting = Box::pin(driver::admit(&gateway, &tls, stream, peer));
    let admitted = tokio::select! {
        admitted = admitting => admitted,
        () = gateway.stopping.cancelled() => None,
    };
    drop(pass);
    if let Some(admitted) = admitted {
        driver::drive(&gateway, router, admitted).await;
    }
}
