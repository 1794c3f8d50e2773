//! A table of PostgreSQL: inserted in batches, taken with SKIP LOCKED, updated with the output in batches. Who waits for an output has
//! it from a notification.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use tokio::task::JoinSet;
use tokio_postgres::{AsyncMessage, Client, Config};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::certificates::{CLIENT, Certificates};
use crate::server::{Server, free_address, installed, version};
use crate::work::{Meter, Plan, Row, Work};

const BINARIES: [&str; 4] = [
    "/usr/lib/postgresql/15/bin/postgres",
    "/usr/lib/postgresql/16/bin/postgres",
    "/usr/lib/postgresql/17/bin/postgres",
    "postgres",
];
/// That of this program itself, and those that a server keeps for its administrators.
const CONNECTIONS_BESIDE: u32 = 10;
/// Between two tries to connect to a server that starts.
const STARTING: Duration = Duration::from_millis(200);
const STARTING_TRIES: u32 = 100;
/// Between two looks at an empty queue.
const IDLE: Duration = Duration::from_millis(2);

const SCHEMA: &str = "
    CREATE TABLE tasks (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        state smallint NOT NULL DEFAULT 0,
        input bytea NOT NULL,
        lease_expires timestamptz,
        output bytea
    );
    CREATE INDEX queued ON tasks (id) WHERE state = 0;";
const SUBMIT: &str = "INSERT INTO tasks (input) SELECT * FROM unnest($1::bytea[])";
const LEASE: &str = "
    UPDATE tasks SET state = 1, lease_expires = now() + interval '30 s'
    WHERE id IN (SELECT id FROM tasks WHERE state = 0 ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING id, input";
const ACK: &str = "
    UPDATE tasks SET state = 2, output = done.output
    FROM unnest($1::bigint[], $2::bytea[]) AS done (id, output)
    WHERE tasks.id = done.id AND tasks.state = 1";

pub async fn run(plan: &Plan, certificates: &Certificates, folder: &Path) -> Result<Row> {
    let program = installed(&BINARIES.map(Path::new), "postgresql")?;
    let connections = u32::from(plan.producers) + u32::from(plan.consumers) + 1;
    let (mut server, config) = start(&program, certificates, folder, connections)?;
    server.wait_listening(address(&config)?).await?;
    let tls = MakeRustlsConnect::new(certificates.client_config()?);
    let mut connections = JoinSet::new();
    let client = first(&config, &tls, &mut connections).await?;
    client.batch_execute(SCHEMA).await?;
    let flushes = flushes(&client).await?;
    let (mut producers, mut consumers) = (JoinSet::new(), JoinSet::new());
    let mut clients = Vec::new();
    for _ in 0..plan.producers + plan.consumers {
        clients.push(connect(&config, &tls, &mut connections).await?);
    }
    let work = Work::new(plan);
    if work.is_awaited() {
        let (client, told) = subscribe(&config, &tls).await?;
        consumers.spawn(listen(client, told, Arc::clone(&work)));
    }
    for client in clients.drain(..usize::from(plan.producers)) {
        producers.spawn(produce(client, Arc::clone(&work)));
    }
    for client in clients {
        consumers.spawn(consume(client, Arc::clone(&work), plan.prefetch));
    }
    let meter = Meter::start(&server, &work).await?;
    let done = work.finish(producers, &mut consumers).await?;
    let name = format!("PostgreSQL {}, SKIP LOCKED", version(&program)?);
    let mut row = meter.row(
        &server,
        name,
        done,
        "synchronous_commit; tasks and outputs are on disk".to_owned(),
    )?;
    consumers.shutdown().await;
    // The server's statistics of its log lag a second behind.
    tokio::time::sleep(Duration::from_secs(2)).await;
    row.flushes = Some((self::flushes(&client).await? - flushes) / f64::from(done));
    Ok(row)
}

fn address(config: &Config) -> Result<std::net::SocketAddr> {
    let port = config.get_ports().first().context("no port")?;
    Ok(([127, 0, 0, 1], *port).into())
}

/// A cluster of its own. The server refuses to run as root, so it then runs as the package's user.
/// For so many connections, and its own.
fn start(
    program: &Path,
    certificates: &Certificates,
    folder: &Path,
    connections: u32,
) -> Result<(Server, Config)> {
    let user = unprivileged()?;
    let data = folder.join("data");
    let tls = folder.join("tls");
    std::fs::create_dir(&tls)?;
    let (certificate, key) = certificates.server();
    for (from, name) in [
        (certificates.ca(), "ca.pem"),
        (certificate, "server.pem"),
        (key, "server.key"),
    ] {
        std::fs::copy(from, tls.join(name))?;
    }
    own(folder, user)?;
    let initdb = program.with_file_name("initdb");
    let mut initialise = Command::new(&initdb);
    initialise
        .args([
            "--auth=trust",
            "--encoding=UTF8",
            "--no-locale",
            "--username",
            CLIENT,
            "--pgdata",
        ])
        .arg(&data);
    run_as(&mut initialise, user)?;
    let rules = format!("hostssl all {CLIENT} 127.0.0.1/32 cert\n");
    std::fs::write(data.join("pg_hba.conf"), rules)?;
    let address = free_address()?;
    let mut command = Command::new(program);
    command
        .arg("-D")
        .arg(&data)
        .args(["-h", "127.0.0.1", "-p", &address.port().to_string()]);
    let folder_text = folder.display().to_string();
    for setting in [
        format!("unix_socket_directories={folder_text}"),
        format!(
            "max_connections={}",
            connections.saturating_add(CONNECTIONS_BESIDE)
        ),
        "ssl=on".to_owned(),
        format!("ssl_ca_file={folder_text}/tls/ca.pem"),
        format!("ssl_cert_file={folder_text}/tls/server.pem"),
        format!("ssl_key_file={folder_text}/tls/server.key"),
        "fsync=on".to_owned(),
        "synchronous_commit=on".to_owned(),
        // What any guide to a busy server sets first.
        "shared_buffers=512MB".to_owned(),
        "max_wal_size=4GB".to_owned(),
    ] {
        command.args(["-c", &setting]);
    }
    let server = Server::start(&mut command, folder, user)?;
    let mut config = Config::new();
    config
        .host("localhost")
        .hostaddr([127, 0, 0, 1].into())
        .port(address.port());
    config
        .user(CLIENT)
        .dbname("postgres")
        .ssl_mode(tokio_postgres::config::SslMode::Require);
    Ok((server, config))
}

/// Whom to be instead of root: the user `postgres`.
fn unprivileged() -> Result<Option<(u32, u32)>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    let line = users
        .lines()
        .find_map(|line| line.strip_prefix("postgres:"));
    let mut fields = line
        .context("there is no user `postgres`")?
        .split(':')
        .skip(1);
    let mut number = || {
        fields
            .next()
            .and_then(|field| field.parse().ok())
            .context("no number in /etc/passwd")
    };
    Ok(Some((number()?, number()?)))
}

fn own(folder: &Path, user: Option<(u32, u32)>) -> Result<()> {
    let Some((uid, gid)) = user else {
        return Ok(());
    };
    // The folder around it must let that user through.
    let around = folder.parent().context("the folder has one around it")?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o711);
    std::fs::set_permissions(around, mode)?;
    let tls = folder.join("tls");
    let mut paths = vec![folder.to_owned(), tls.clone()];
    for entry in std::fs::read_dir(&tls)? {
        paths.push(entry?.path());
    }
    for path in paths {
        std::os::unix::fs::chown(&path, Some(uid), Some(gid))?;
        let mode = if path.is_dir() { 0o700 } else { 0o600 };
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    }
    Ok(())
}

fn run_as(command: &mut Command, user: Option<(u32, u32)>) -> Result<()> {
    if let Some((uid, gid)) = user {
        std::os::unix::process::CommandExt::uid(command, uid);
        std::os::unix::process::CommandExt::gid(command, gid);
    }
    let output = command
        .current_dir("/")
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?} failed: {errors}");
    Ok(())
}

/// It listens a moment before it serves.
async fn first(
    config: &Config,
    tls: &MakeRustlsConnect,
    connections: &mut JoinSet<()>,
) -> Result<Client> {
    for _ in 0..STARTING_TRIES {
        if let Ok(client) = connect(config, tls, connections).await {
            return Ok(client);
        }
        tokio::time::sleep(STARTING).await;
    }
    connect(config, tls, connections).await
}

async fn connect(
    config: &Config,
    tls: &MakeRustlsConnect,
    connections: &mut JoinSet<()>,
) -> Result<Client> {
    let (client, connection) = config.connect(tls.clone()).await?;
    connections.spawn(async {
        let _ = connection.await;
    });
    Ok(client)
}

async fn produce(client: Client, work: Arc<Work>) -> Result<()> {
    let submit = client.prepare(SUBMIT).await?;
    let client = Arc::new(client);
    let send = |batch: Vec<Vec<u8>>| {
        let (client, submit) = (Arc::clone(&client), submit.clone());
        async move {
            client.execute(&submit, &[&batch]).await?;
            Ok(())
        }
    };
    work.send(send).await
}

async fn consume(client: Client, work: Arc<Work>, prefetch: u16) -> Result<()> {
    let ack = if work.is_awaited() {
        format!(
            "WITH ended AS ({ACK} RETURNING done.output)
             SELECT pg_notify('told', encode(output, 'hex')) FROM ended"
        )
    } else {
        ACK.to_owned()
    };
    let (lease, ack) = (client.prepare(LEASE).await?, client.prepare(&ack).await?);
    loop {
        let rows = client.query(&lease, &[&i64::from(prefetch)]).await?;
        if rows.is_empty() {
            tokio::time::sleep(IDLE).await;
            continue;
        }
        let ids: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        let outputs: Vec<Vec<u8>> = rows
            .iter()
            .map(|row| work.output(row.get(1)))
            .collect::<Result<_>>()?;
        let done = if work.is_awaited() {
            client.query(&ack, &[&ids, &outputs]).await?.len()
        } else {
            client.execute(&ack, &[&ids, &outputs]).await?.try_into()?
        };
        work.acknowledged(done);
    }
}

/// What a client is told, from now on.
async fn subscribe(
    config: &Config,
    tls: &MakeRustlsConnect,
) -> Result<(Client, impl Stream<Item = Result<Vec<u8>>> + use<>)> {
    let (client, mut connection) = config.connect(tls.clone()).await?;
    let messages = stream::poll_fn(move |context| connection.poll_message(context));
    let told =
        messages
            .map_err(anyhow::Error::from)
            .try_filter_map(async |message| match message {
                AsyncMessage::Notification(told) => Ok(Some(bytes(told.payload())?)),
                _ => Ok(None),
            });
    let mut told = Box::pin(told);
    // Nobody else drives this connection.
    tokio::select! {
        listening = client.batch_execute("LISTEN told") => listening?,
        early = told.next() => bail!("the server ended a connection: {early:?}"),
    }
    Ok((client, told))
}

fn bytes(hexadecimal: &str) -> Result<Vec<u8>> {
    let pairs = hexadecimal.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
    bytes
        .collect::<Option<_>>()
        .context("a notification that is not hexadecimal")
}

/// The client keeps the connection.
async fn listen(
    _client: Client,
    told: impl Stream<Item = Result<Vec<u8>>>,
    work: Arc<Work>,
) -> Result<()> {
    let mut told = std::pin::pin!(told);
    while let Some(output) = told.next().await {
        work.told(&output?)?;
    }
    bail!("the server ended a subscription")
}

/// Flushes of the write-ahead log since the server's start.
async fn flushes(client: &Client) -> Result<f64> {
    let row = client
        .query_one("SELECT wal_sync::float8 FROM pg_stat_wal", &[])
        .await?;
    Ok(row.get(0))
}
