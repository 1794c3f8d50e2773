//! A new pool's files: two CAs, two certificates, a commented configuration, an appraisal policy to be completed, and the
//! first operator's access token.

mod certificates;
mod templates;

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::Args;

use certificates::PoolCertificates;
pub use certificates::{CertificateError, Hostname, HostnameError};

use crate::commands::AccessError;
use crate::config::DATABASE;
use crate::config::{API_ADDRESS_DEFAULT, WORKER_ADDRESS_DEFAULT};
use crate::store::{AccessRole, OpenError, Store};
use crate::world::{Clock, SystemClock};

/// Only its owner may look into the folders of keys and state.
const PRIVATE_DIR: u32 = 0o700;
const KEY_FILE: u32 = 0o600;
const PUBLIC_FILE: u32 = 0o644;

/// What to write, and where.
#[derive(Debug, Clone, Args)]
pub struct Initialise {
    /// The folder to fill; made if it is not there. Nothing in it is overwritten.
    #[arg(long, value_name = "FOLDER")]
    pub dir: PathBuf,
    /// The name or address that workers and clients dial.
    #[arg(long)]
    pub hostname: Hostname,
    /// Where workers connect.
    #[arg(long, default_value_t = WORKER_ADDRESS_DEFAULT.port())]
    pub worker_port: u16,
    /// Where clients and operators connect.
    #[arg(long, default_value_t = API_ADDRESS_DEFAULT.port())]
    pub api_port: u16,
}

/// Why there is no new pool.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    #[error("the certificates cannot be made")]
    Certificates(#[source] CertificateError),
    #[error("{path} exists already; nothing was overwritten")]
    Exists { path: PathBuf },
    #[error("cannot write {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("the store cannot be made")]
    Store(#[source] OpenError),
    #[error("the first access token cannot be made")]
    Access(#[source] AccessError),
}

/// Writes everything and answers what to tell the operator, the access token included.
pub async fn initialise(options: &Initialise) -> Result<String, InitError> {
    let now_us = SystemClock::start().now_us();
    let certificates = PoolCertificates::generate(&options.hostname, now_us / 1_000_000)
        .map_err(InitError::Certificates)?;
    let files = files(options, &certificates);
    refuse_existing(&options.dir, &files)?;
    for folder in ["", "tls", "collateral", "state"] {
        make_dir(&options.dir.join(folder))?;
    }
    for file in &files {
        write_new(&options.dir.join(file.name), file)?;
    }
    let database = options.dir.join("state").join(DATABASE);
    let store = Store::open(&database).await.map_err(InitError::Store)?;
    let operator = first_operator();
    let made =
        crate::commands::create(&store, operator, AccessRole::Operator, now_us / 1_000).await;
    store.close().await;
    let (_, token) = made.map_err(InitError::Access)?;
    Ok(templates::next_steps(options, token.expose()))
}

fn first_operator() -> protocol::UserName {
    match "operator".parse() {
        Ok(name) => name,
        // A constant that a test parses.
        Err(error) => unreachable!("{error}"),
    }
}

struct NewFile<'a> {
    name: &'static str,
    mode: u32,
    contents: std::borrow::Cow<'a, str>,
}

fn files<'a>(options: &Initialise, certificates: &'a PoolCertificates) -> Vec<NewFile<'a>> {
    let key = |name, contents: &'a str| NewFile {
        name,
        mode: KEY_FILE,
        contents: contents.into(),
    };
    let public = |name, contents: &'a str| NewFile {
        name,
        mode: PUBLIC_FILE,
        contents: contents.into(),
    };
    vec![
        public("tls/pool-ca.pem", &certificates.pool_ca.certificate),
        key("tls/pool-ca.key", &certificates.pool_ca.key),
        public(
            "tls/worker-listener.pem",
            &certificates.worker_listener.certificate,
        ),
        key("tls/worker-listener.key", &certificates.worker_listener.key),
        public("tls/api-ca.pem", &certificates.api_ca.certificate),
        key("tls/api-ca.key", &certificates.api_ca.key),
        public("tls/api.pem", &certificates.api.certificate),
        key("tls/api.key", &certificates.api.key),
        NewFile {
            name: "gateway.toml",
            mode: PUBLIC_FILE,
            contents: templates::configuration(options).into(),
        },
        public("appraisal-policy.toml", templates::APPRAISAL_POLICY),
    ]
}

/// Looks before anything is written, so that a refused run leaves nothing behind.
fn refuse_existing(dir: &Path, files: &[NewFile<'_>]) -> Result<(), InitError> {
    let database = Path::new("state").join(DATABASE);
    let names = files.iter().map(|file| Path::new(file.name));
    for name in names.chain([database.as_path()]) {
        let path = dir.join(name);
        if path.symlink_metadata().is_ok() {
            return Err(InitError::Exists { path });
        }
    }
    Ok(())
}

fn make_dir(path: &Path) -> Result<(), InitError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE_DIR)
        .create(path)
        .map_err(|source| InitError::Write {
            path: path.to_owned(),
            source,
        })
}

fn write_new(path: &Path, file: &NewFile<'_>) -> Result<(), InitError> {
    // The mode is the file's from the start: a key is never readable to others, not even for a moment.
    let opened = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(file.mode)
        .open(path);
    let written = opened.and_then(|mut opened| {
        opened.write_all(file.contents.as_bytes())?;
        opened.sync_all()
    });
    written.map_err(|source| match source.kind() {
        std::io::ErrorKind::AlreadyExists => InitError::Exists {
            path: path.to_owned(),
        },
        _ => InitError::Write {
            path: path.to_owned(),
            source,
        },
    })
}

#[cfg(test)]
mod tests;
