//! Redis Streams: a consumer group, outputs in a hash, an append-only file that is flushed before any answer. Who waits for an output
//! has it from a channel.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::io::tcp::TcpSettings;
use redis::streams::{StreamReadOptions, StreamReadReply};
use redis::{
    AsyncCommands, AsyncConnectionConfig, Client, ClientTlsConfig, IntoConnectionInfo,
    TlsCertificates,
};
use tokio::task::JoinSet;

use crate::certificates::Certificates;
use crate::server::{Server, free_address, installed, version};
use crate::work::{Meter, Plan, Row, Work};

const STREAM: &str = "tasks";
const GROUP: &str = "workers";
/// By the id of their task.
const OUTPUTS: &str = "outputs";
/// Of outputs that somebody waits for. Nothing that is published is sent before the flush; who is not there misses it.
const CHANNEL: &str = "told";
const BLOCK_MS: usize = 200;
/// A thousand entries and their flush, on a busy machine.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);

pub async fn run(plan: &Plan, certificates: &Certificates, folder: &Path) -> Result<Row> {
    let program = installed(&[Path::new("redis-server")], "redis-server")?;
    let address = free_address()?;
    let mut server = Server::start(
        &mut command(&program, certificates, folder, address.port()),
        folder,
        None,
    )?;
    server.wait_listening(address).await?;
    let (certificate, key) = certificates.client();
    let tls = TlsCertificates {
        client_tls: Some(ClientTlsConfig {
            client_cert: std::fs::read(certificate)?,
            client_key: std::fs::read(key)?,
        }),
        root_cert: Some(std::fs::read(certificates.ca())?),
    };
    let info = format!("rediss://127.0.0.1:{}", address.port()).into_connection_info()?;
    // As the other clients do by themselves.
    let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
    let client = Client::build_with_tls(info, tls)?;
    let mut first = connect(&client).await?;
    let _: () = first.xgroup_create_mkstream(STREAM, GROUP, "0").await?;
    let mut connections = Vec::new();
    for _ in 0..plan.producers + plan.consumers {
        connections.push(connect(&client).await?);
    }
    let work = Work::new(plan);
    let (mut producers, mut consumers) = (JoinSet::new(), JoinSet::new());
    if work.is_awaited() {
        let mut told = client.get_async_pubsub().await.context("no connection")?;
        told.subscribe(CHANNEL).await?;
        consumers.spawn(listen(told, Arc::clone(&work)));
    }
    for connection in connections.drain(..usize::from(plan.producers)) {
        producers.spawn(produce(connection, Arc::clone(&work)));
    }
    for (number, connection) in connections.into_iter().enumerate() {
        consumers.spawn(consume(
            connection,
            Arc::clone(&work),
            plan.prefetch,
            number,
        ));
    }
    let meter = Meter::start(&server, &work).await?;
    let done = work.finish(producers, &mut consumers).await?;
    let name = format!("Redis {}, stream with a group", version(&program)?);
    let how = format!("appendfsync always; {}", plan.kept());
    meter.row(&server, name, done, how)
}

fn command(program: &Path, certificates: &Certificates, folder: &Path, port: u16) -> Command {
    let (certificate, key) = certificates.server();
    let mut command = Command::new(program);
    command.args([
        "--port",
        "0",
        "--bind",
        "127.0.0.1",
        "--tls-port",
        &port.to_string(),
    ]);
    command.args([
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--save",
        "",
    ]);
    command.args(["--tls-auth-clients", "yes", "--daemonize", "no"]);
    command.arg("--dir").arg(folder);
    command
        .arg("--tls-cert-file")
        .arg(certificate)
        .arg("--tls-key-file")
        .arg(key);
    command.arg("--tls-ca-cert-file").arg(certificates.ca());
    command
}

async fn connect(client: &Client) -> Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_LIMIT));
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    connection.await.context("no connection")
}

/// A batch is one pipeline; its answers come after the flush.
async fn produce(connection: MultiplexedConnection, work: Arc<Work>) -> Result<()> {
    let send = |batch: Vec<Vec<u8>>| {
        let mut connection = connection.clone();
        async move {
            let mut pipeline = redis::pipe();
            for payload in &batch {
                pipeline.xadd(STREAM, "*", &[("input", payload)]).ignore();
            }
            Ok(pipeline.query_async(&mut connection).await?)
        }
    };
    work.send(send).await
}

async fn consume(
    mut connection: MultiplexedConnection,
    work: Arc<Work>,
    prefetch: u16,
    number: usize,
) -> Result<()> {
    let options = StreamReadOptions::default()
        .group(GROUP, format!("worker-{number}"))
        .count(prefetch.into())
        .block(BLOCK_MS);
    loop {
        let reply: Option<StreamReadReply> = connection
            .xread_options(&[STREAM], &[">"], &options)
            .await?;
        let entries: Vec<_> = reply
            .into_iter()
            .flat_map(|reply| reply.keys)
            .flat_map(|key| key.ids)
            .collect();
        if entries.is_empty() {
            continue;
        }
        let mut outputs = Vec::with_capacity(entries.len());
        for entry in &entries {
            let input: Vec<u8> = entry.get("input").context("an entry without its input")?;
            outputs.push((entry.id.as_str(), work.output(&input)?));
        }
        let ids: Vec<&str> = entries.iter().map(|entry| entry.id.as_str()).collect();
        let mut pipeline = redis::pipe();
        // An output and the end of its task come together or not at all.
        pipeline.atomic();
        if work.keeps_outputs {
            pipeline.hset_multiple(OUTPUTS, &outputs).ignore();
        }
        if work.is_awaited() {
            for (_, output) in &outputs {
                pipeline.publish(CHANNEL, output).ignore();
            }
        }
        pipeline
            .xack(STREAM, GROUP, &ids)
            .ignore()
            .xdel(STREAM, &ids)
            .ignore();
        let () = pipeline.query_async(&mut connection).await?;
        work.acknowledged(ids.len());
    }
}

async fn listen(mut told: PubSub, work: Arc<Work>) -> Result<()> {
    let mut messages = told.on_message();
    while let Some(message) = messages.next().await {
        work.told(message.get_payload_bytes())?;
    }
    bail!("the server ended a subscription")
}
