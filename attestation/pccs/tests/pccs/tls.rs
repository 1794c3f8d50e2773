//! A mirror behind TLS: with a CA that is named it is reached, without it is not.

use std::sync::Arc;

use pccs::{Client, FailureKind};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

use crate::world::{World, options, over_nothing};

/// Puts TLS with a self-signed certificate for `localhost` in front of the service; its port and the certificate.
async fn tls_front(world: &World, running: &mut JoinSet<()>) -> (u16, String) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let service = world.server.address();
    running.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut tls) = acceptor.accept(stream).await else {
                continue;
            };
            let mut plain = TcpStream::connect(service).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut tls, &mut plain).await;
        }
    });
    (port, made.cert.pem())
}

#[tokio::test]
async fn a_self_signed_mirror_is_reached_by_its_ca_file_alone() {
    let world = World::new().await;
    let mut running = JoinSet::new();
    let (port, ca) = tls_front(&world, &mut running).await;
    let url = format!("https://localhost:{port}");
    let verifier = world.verifier();
    let acceptance = over_nothing(&verifier);
    let stranger = Client::new(options(&[&url])).unwrap();
    let refused = stranger.fetch(world.family(), &acceptance).await;
    assert_eq!(refused.unwrap_err().kind(), FailureKind::Unreachable);
    assert!(world.server.requests().is_empty());

    let mut options = options(&[&url]);
    options.ca = Some(ca.into_bytes());
    let client = Client::new(options).unwrap();
    client.fetch(world.family(), &acceptance).await.unwrap();
}
