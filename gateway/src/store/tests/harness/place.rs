//! Where a test's store keeps everything, and goes with it.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};

use tempfile::TempDir;

use crate::store::{Location, Server};

/// The address of a server to use; without it the test starts one of its own from the installed binaries.
const SERVER: &str = "COCOON_POSTGRES";

/// Which database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

pub(crate) enum Place {
    Folder(TempDir),
    Schema(Schema),
}

impl Place {
    pub(crate) async fn new(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => Self::Folder(tempfile::tempdir().unwrap()),
            Kind::Postgres => Self::Schema(Schema::create().await),
        }
    }

    pub(crate) fn location(&self) -> Location {
        match self {
            Self::Folder(folder) => Location::File(folder.path().join("gateway.sqlite")),
            Self::Schema(schema) => schema.location(),
        }
    }

    /// Of SQLite.
    pub(crate) fn file(&self) -> PathBuf {
        match self.location() {
            Location::File(file) => file,
            Location::Server(server) => panic!("{server} is no file"),
        }
    }

    /// Runs statements beside the store, as nobody but a test does.
    pub(crate) async fn run(&self, sql: &str) {
        match self {
            Self::Folder(_) => rusqlite::Connection::open(self.file())
                .unwrap()
                .execute_batch(sql)
                .unwrap(),
            Self::Schema(schema) => execute(&schema.address(), sql).await,
        }
    }

    /// Runs a statement in a session that lasts as long as what this answers.
    pub(crate) async fn hold(&self, sql: &str) -> tokio_postgres::Client {
        let Self::Schema(schema) = self else {
            panic!("SQLite has no sessions");
        };
        let client = connect(&schema.address()).await;
        client.batch_execute(sql).await.unwrap();
        client
    }

    /// The number that a query answers with, beside the store.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        match self {
            Self::Folder(_) => rusqlite::Connection::open(self.file())
                .unwrap()
                .query_row(sql, [], |row| row.get(0))
                .unwrap(),
            Self::Schema(schema) => {
                let client = connect(&schema.address()).await;
                client.query_one(sql, &[]).await.unwrap().get(0)
            }
        }
    }
}

/// A schema of its own on a server that tests share.
pub(crate) struct Schema {
    server: String,
    name: String,
}

impl Schema {
    async fn create() -> Self {
        let mut random = [0; 8];
        getrandom::fill(&mut random).unwrap();
        let schema = Self {
            server: server().await,
            name: format!("test_{}", hex::encode(random)),
        };
        execute(&schema.server, &format!("CREATE SCHEMA {}", schema.name)).await;
        schema
    }

    fn address(&self) -> String {
        let Self { server, name } = self;
        format!("{server} options='-c search_path={name}'")
    }

    fn location(&self) -> Location {
        Location::Server(Arc::new(Server::new(&self.address(), None, None).unwrap()))
    }
}

async fn connect(address: &str) -> tokio_postgres::Client {
    let connected = tokio_postgres::connect(address, tokio_postgres::NoTls).await;
    let (client, connection) = connected.unwrap();
    #[expect(clippy::disallowed_methods, reason = "it ends with its client")]
    tokio::spawn(connection);
    client
}

async fn execute(address: &str, sql: &str) {
    connect(address).await.batch_execute(sql).await.unwrap();
}

async fn server() -> String {
    #[expect(
        clippy::disallowed_methods,
        reason = "a test is configured by its environment"
    )]
    let named = std::env::var(SERVER);
    match named {
        Ok(address) => address,
        Err(_) => tokio::task::spawn_blocking(|| OWN.get_or_init(OwnServer::start).address.clone())
            .await
            .unwrap(),
    }
}

static OWN: OnceLock<OwnServer> = OnceLock::new();

/// Ends when this process does: it reads from a pipe.
struct OwnServer {
    address: String,
    _process: Child,
}

impl OwnServer {
    fn start() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/postgres/server.sh");
        let mut process = Command::new(script)
            .args(["-c", "fsync=off"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut address = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut address).unwrap();
        assert!(
            !address.is_empty(),
            "no PostgreSQL server: install one (Debian: postgresql), or name one in {SERVER}"
        );
        Self {
            address: address.trim_end().to_owned(),
            _process: process,
        }
    }
}
