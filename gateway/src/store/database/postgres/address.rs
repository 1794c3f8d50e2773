//! Where a PostgreSQL server is, and how it is spoken to.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::super::StoreError;

/// A server that does not answer is not waited for.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server that says nothing for so long, though it was asked, is gone.
const SILENCE: Duration = Duration::from_secs(30);

/// What a gateway relies on, whatever the server's own settings say.
///
/// - A commit is on disk before it is answered.
/// - A gateway that hangs in a transaction, or is not to be reached any more, does not hold up the others: its transaction is
///   ended, and they wait for longer. Nothing else ends a statement or a connection that has nothing to say.
/// - Every statement that runs for each task has an index. A plan is made once, perhaps while the tables are still small, so
///   the planner is not to prefer reading all of them; and there is nothing to compile.
const SETTINGS: &str = "
    SET synchronous_commit = on;
    SET idle_in_transaction_session_timeout = '10s';
    SET tcp_user_timeout = '15s';
    SET lock_timeout = '30s';
    SET statement_timeout = 0;
    SET idle_session_timeout = 0;
    SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off;
    SET enable_bitmapscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET jit = off;";

/// Why there is no such server.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    #[error("is no PostgreSQL address: expected as in postgresql://cocoon@db.example/cocoon")]
    Parse(#[source] tokio_postgres::Error),
    #[error(
        "names a server on another machine without TLS, and what is stored there is secret: leave out `sslmode`"
    )]
    Plain,
    #[error("cannot read the CA certificates {path}")]
    Ca {
        path: PathBuf,
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    #[error("{path} holds no CA certificate")]
    NoCa { path: PathBuf },
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
}

/// A server, a database on it, and how to get there. Shows no password.
#[derive(Clone)]
pub struct Server {
    config: Config,
    tls: MakeRustlsConnect,
}

impl Server {
    /// Reads an address as `psql` takes it: `postgresql://user@host/database`, or `host=/run/postgresql user=…`. TLS is
    /// required of every server on another machine; its certificate is to be from one of `ca`, or else of the platform's
    /// CAs.
    pub fn new(
        address: &str,
        password: Option<&str>,
        ca: Option<&Path>,
    ) -> Result<Self, AddressError> {
        let mut config = Config::from_str(address).map_err(AddressError::Parse)?;
        if let Some(password) = password {
            config.password(password);
        }
        if !is_on_this_machine(&config) {
            match config.get_ssl_mode() {
                SslMode::Disable => return Err(AddressError::Plain),
                _ => config.ssl_mode(SslMode::Require),
            };
        }
        if config.get_application_name().is_none() {
            config.application_name("cocoon-gateway");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE);
        }
        config.keepalives_idle(SILENCE);
        config.keepalives_interval(SILENCE / 3);
        config.keepalives_retries(3);
        // Of several hosts the one that takes writes, whichever that is now.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let tls = MakeRustlsConnect::new(tls(ca)?);
        Ok(Self { config, tls })
    }

    /// A connection with everything set; it is driven by the runtime in which this is called.
    pub(super) async fn connect(&self) -> Result<Client, StoreError> {
        let connecting = async {
            let (client, connection) = self.config.connect(self.tls.clone()).await?;
            #[expect(
                clippy::disallowed_methods,
                reason = "it ends with its runtime, and its error is that of every later call"
            )]
            tokio::spawn(connection);
            client.batch_execute(SETTINGS).await?;
            Ok(client)
        };
        in_time(connecting).await
    }

    /// A connection that its caller drives.
    pub(super) async fn connect_to_listen(&self) -> Result<(Client, Listening), StoreError> {
        in_time(async { Ok(self.config.connect(self.tls.clone()).await?) }).await
    }
}

/// The handshakes behind the connection may hang, too.
async fn in_time<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let late = std::io::Error::from(std::io::ErrorKind::TimedOut);
    match tokio::time::timeout(SILENCE, work).await {
        Ok(done) => done,
        Err(_) => Err(StoreError::Database(Arc::new(late))),
    }
}

/// What a connection reads from.
pub(super) type Listening =
    tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.config.get_dbname().or(self.config.get_user());
        write!(formatter, "PostgreSQL database {}", name.unwrap_or("?"))?;
        for (position, host) in self.config.get_hosts().iter().enumerate() {
            let joint = if position == 0 { " on" } else { "," };
            match host {
                Host::Tcp(name) => write!(formatter, "{joint} {name}")?,
                Host::Unix(path) => write!(formatter, "{joint} {}", path.display())?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Server({self})")
    }
}

/// An address that is given goes before the name that it is given for.
fn is_on_this_machine(config: &Config) -> bool {
    let addresses = config.get_hostaddrs();
    if addresses.is_empty() {
        config.get_hosts().iter().all(is_here)
    } else {
        addresses.iter().all(std::net::IpAddr::is_loopback)
    }
}

fn is_here(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            let address = name.parse::<std::net::IpAddr>();
            name == "localhost" || address.is_ok_and(|address| address.is_loopback())
        }
    }
}

fn tls(ca: Option<&Path>) -> Result<ClientConfig, AddressError> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        add_file(&mut roots, path)?;
    } else {
        let platform = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(platform.certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(AddressError::Tls)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn add_file(roots: &mut RootCertStore, path: &Path) -> Result<(), AddressError> {
    let failed = |source| AddressError::Ca {
        path: path.to_owned(),
        source,
    };
    for certificate in CertificateDer::pem_file_iter(path).map_err(failed)? {
        let certificate = certificate.map_err(failed)?;
        roots.add(certificate).map_err(AddressError::Tls)?;
    }
    if roots.is_empty() {
        return Err(AddressError::NoCa {
            path: path.to_owned(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{AddressError, Server};

    #[test]
    fn a_server_elsewhere_is_never_spoken_to_without_tls() {
        let plain = Server::new("postgresql://u@db.example/c?sslmode=disable", None, None);
        assert!(matches!(plain, Err(AddressError::Plain)));
        let silent = Server::new("postgresql://u@db.example/c", None, None).unwrap();
        let required = tokio_postgres::config::SslMode::Require;
        assert_eq!(silent.config.get_ssl_mode(), required);
        for elsewhere in [
            "host=/run/postgresql,10.0.0.7 user=u sslmode=disable",
            "hostaddr=10.0.0.7 user=u sslmode=disable",
            "host=localhost hostaddr=10.0.0.7 user=u sslmode=disable",
        ] {
            let refused = Server::new(elsewhere, None, None);
            assert!(matches!(refused, Err(AddressError::Plain)), "{elsewhere}");
        }
    }

    #[test]
    fn one_on_this_machine_needs_none() {
        for address in [
            "postgresql://u@localhost/c?sslmode=disable",
            "postgresql://u@127.0.0.1/c?sslmode=disable",
            "host=/run/postgresql user=u sslmode=disable",
            "host=db.example hostaddr=127.0.0.1 user=u sslmode=disable",
        ] {
            Server::new(address, None, None).unwrap();
        }
    }

    #[test]
    fn what_is_shown_has_no_password() {
        let server = Server::new("postgresql://u:secret@localhost/c", Some("hidden"), None);
        let shown = format!("{0} {0:?}", server.unwrap());
        assert_eq!(
            shown,
            "PostgreSQL database c on localhost Server(PostgreSQL database c on localhost)"
        );
    }

    #[test]
    fn what_is_no_address_or_no_ca_is_refused() {
        let nonsense = Server::new("gateway.sqlite", None, None);
        assert!(matches!(nonsense, Err(AddressError::Parse(_))));
        let folder = tempfile::tempdir().unwrap();
        let (absent, empty) = (folder.path().join("no.pem"), folder.path().join("empty"));
        std::fs::write(&empty, "").unwrap();
        let with = |ca| Server::new("postgresql://localhost/c", None, Some(ca));
        assert!(matches!(with(&absent), Err(AddressError::Ca { .. })));
        assert!(matches!(with(&empty), Err(AddressError::NoCa { .. })));
    }
}
