//! Accepts worker connections, within the limits on how many may be before the gate.

use std::net::SocketAddr;
use std::sync::Arc;

use channel::GatewayTls;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::driver;
use super::gates::{GatePass, Gates};
use crate::gateway::Gateway;
use crate::listener::accept;

/// Serves workers until the gateway stops; then every connection ends in order.
pub(crate) async fn serve(gateway: Arc<Gateway>, listener: TcpListener, tls: GatewayTls) {
    let gates = Gates::new(gateway.metrics.gates_in_flight());
    let mut connections = JoinSet::new();
    while let Some((stream, peer)) = accept(&listener, &gateway.stopping).await {
        while connections.try_join_next().is_some() {}
        match gates.enter(peer.ip()) {
            Ok(pass) => {
                let connection = connection(Arc::clone(&gateway), tls.clone(), stream, peer, pass);
                connections.spawn(connection);
            }
            Err(full) => gateway.metrics.connection_refused("worker", full.label()),
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn connection(
    gateway: Arc<Gateway>,
    tls: GatewayTls,
    stream: TcpStream,
    peer: SocketAddr,
    pass: GatePass,
) {
    // Small messages both ways; without it each waits for the other side's delayed acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%peer, %error, "a worker connection closed at once");
        return;
    }
    let admitted = tokio::select! {
        admitted = driver::admit(&gateway, &tls, stream, peer) => admitted,
        () = gateway.stopping.cancelled() => None,
    };
    drop(pass);
    if let Some(admitted) = admitted {
        driver::drive(&gateway, admitted).await;
    }
}
