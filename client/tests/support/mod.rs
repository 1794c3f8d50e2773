//! An HTTPS server on loopback with a certificate of its own making, for a router of fake routes; and the programs run
//! against it as child processes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// The access token that the fakes accept.
pub(crate) const ACCESS_TOKEN: &str = "ccn_test-0123456789";

/// A server that runs until it is dropped.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Configuration, state and CA file of one user.
    pub(crate) home: tempfile::TempDir,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Server {
    /// Serves on a free port, as `localhost`.
    pub(crate) fn start(router: Router) -> Self {
        Self::start_as("localhost", router)
    }

    /// Serves with a certificate for another name.
    pub(crate) fn start_as(name: &str, router: Router) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (acceptor, ca) = acceptor(name);
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join("ca.pem"), ca).unwrap();
        runtime.spawn(serve(listener, acceptor, router));
        Self {
            address,
            home,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    pub(crate) fn ca_file(&self) -> PathBuf {
        self.home.path().join("ca.pem")
    }

    /// The program with an environment that names this server, and nothing else of ours.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = bare(program, self.home.path());
        command
            .env("COCOON_GATEWAY", self.url())
            .env("COCOON_ACCESS_TOKEN", ACCESS_TOKEN)
            .env("COCOON_CA_FILE", self.ca_file());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A test may end inside a runtime of its own, where waiting for another's threads is not permitted.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The program in a home of its own, without any setting.
pub(crate) fn bare(program: &str, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("HOME", home)
        .env("TMPDIR", std::env::temp_dir())
        .current_dir(home)
        .stdin(Stdio::null());
    command
}

async fn serve(listener: std::net::TcpListener, acceptor: TlsAcceptor, router: Router) {
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let (acceptor, router) = (acceptor.clone(), router.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "a fake's connections end with its runtime"
        )]
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = TowerToHyperService::new(router);
            let connection = Builder::new(TokioExecutor::new());
            let _ = connection
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn acceptor(name: &str) -> (TlsAcceptor, String) {
    let certified = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (TlsAcceptor::from(Arc::new(config)), certified.cert.pem())
}

/// What a run of a program left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) output: String,
    pub(crate) errors: String,
}

pub(crate) fn run(command: &mut Command) -> Ran {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    Ran {
        code: status.code().unwrap(),
        output: String::from_utf8(stdout).unwrap(),
        errors: String::from_utf8(stderr).unwrap(),
    }
}

impl Ran {
    /// Holds the exit code to what is wanted, and shows everything when it is not.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(
            self.code, code,
            "output:\n{}\nerrors:\n{}",
            self.output, self.errors
        );
        self
    }

    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            let said = self.errors.contains(part) || self.output.contains(part);
            assert!(
                said,
                "{part:?} is not in output:\n{}\nerrors:\n{}",
                self.output, self.errors
            );
        }
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.output).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}
