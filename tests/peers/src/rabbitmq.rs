//! RabbitMQ: a quorum queue of tasks and one of outputs, publisher confirms, prefetch, acknowledgements of many. Who waits for an
//! output takes it from its queue.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use futures_util::{FutureExt, StreamExt};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::tcp::{OwnedIdentity, OwnedTLSConfig};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use tokio::task::JoinSet;

use crate::certificates::Certificates;
use crate::server::{Server, free_address, installed};
use crate::work::{Meter, Plan, Row, Work};

const TASKS: &str = "tasks";
const OUTPUTS: &str = "outputs";

pub async fn run(plan: &Plan, certificates: &Certificates, folder: &Path) -> Result<Row> {
    // The one on the path is Debian's wrapper, which wants to be started as the service's user.
    let program = installed(
        &[Path::new("/usr/lib/rabbitmq/bin/rabbitmq-server")],
        "rabbitmq-server",
    )?;
    let epmd = installed(&[Path::new("epmd")], "erlang-base")?;
    let (address, names) = (free_address()?, free_address()?);
    let port = names.port().to_string();
    let names_folder = folder.join("epmd");
    std::fs::create_dir(&names_folder)?;
    let mut command = Command::new(epmd);
    command.args(["-address", "127.0.0.1", "-port", &port]);
    // Stopped after the server, as it is dropped after it.
    let _names = Server::start(&mut command, &names_folder, None)?;
    std::fs::write(
        folder.join("rabbitmq.conf"),
        configuration(certificates, address.port()),
    )?;
    let mut server = Server::start(&mut command_of(&program, folder, &port), folder, None)?;
    server.wait_listening(address).await?;
    let uri = format!("amqps://guest:guest@localhost:{}/%2f", address.port());
    let mut connections = Vec::new();
    for _ in 0..plan.producers + plan.consumers {
        connections.push(
            connect(&uri, certificates)
                .await
                .with_context(|| server.log_end())?,
        );
    }
    let mut channels = Vec::new();
    for connection in &connections {
        channels.push(connection.create_channel().await?);
    }
    declare(channels.first().context("no channel")?).await?;
    let work = Work::new(plan);
    let (mut producers, mut consumers) = (JoinSet::new(), JoinSet::new());
    if work.is_awaited() {
        connections.push(connect(&uri, certificates).await?);
        let channel = connections.last().context("no connection")?;
        consumers.spawn(listen(channel.create_channel().await?, Arc::clone(&work)));
    }
    for channel in channels.drain(..usize::from(plan.producers)) {
        producers.spawn(produce(channel, Arc::clone(&work)));
    }
    for channel in channels {
        consumers.spawn(consume(channel, Arc::clone(&work), plan.prefetch));
    }
    let meter = Meter::start(&server, &work).await?;
    let done = work.finish(producers, &mut consumers).await?;
    let kept = match plan.rate {
        Some(_) => {
            "tasks are on disk, a finished one is removed, its output is kept until it was sent"
        }
        None => plan.kept(),
    };
    let how = format!("one node; flushed before a confirm; {kept}");
    let row = meter.row(
        &server,
        format!("RabbitMQ{}, quorum queue", release()),
        done,
        how,
    )?;
    consumers.shutdown().await;
    Ok(row)
}

fn configuration(certificates: &Certificates, port: u16) -> String {
    let (certificate, key) = certificates.server();
    format!(
        "listeners.tcp = none
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = {}
ssl_options.certfile = {}
ssl_options.keyfile = {}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
",
        certificates.ca().display(),
        certificate.display(),
        key.display()
    )
}

fn command_of(program: &Path, folder: &Path, names_port: &str) -> Command {
    let path = |name: &str| folder.join(name);
    let mut command = Command::new(program);
    let files: [(&str, PathBuf); 7] = [
        ("HOME", folder.to_owned()),
        ("RABBITMQ_MNESIA_BASE", path("data")),
        ("RABBITMQ_LOG_BASE", path("logs")),
        ("RABBITMQ_CONFIG_FILE", path("rabbitmq.conf")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins")),
        ("RABBITMQ_PID_FILE", path("pid")),
        ("RABBITMQ_CONF_ENV_FILE", path("no-environment")),
    ];
    command.envs(files);
    command.env("RABBITMQ_NODENAME", "cocoon-peers@localhost");
    command
        .env("ERL_EPMD_PORT", names_port)
        .env("ERL_EPMD_ADDRESS", "127.0.0.1");
    // What Erlang nodes say to each other stays on this machine.
    command.env(
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
        "-kernel inet_dist_use_interface {127,0,0,1}",
    );
    command
}

/// The release, as its folder is named.
fn release() -> String {
    let libraries = std::fs::read_dir("/usr/lib/rabbitmq/lib")
        .into_iter()
        .flatten()
        .flatten();
    let mut names = libraries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let release = names.find_map(|name| name.strip_prefix("rabbitmq_server-").map(str::to_owned));
    release.map_or_else(String::new, |release| format!(" {release}"))
}

async fn connect(uri: &str, certificates: &Certificates) -> Result<Connection> {
    let (certificate, key) = certificates.client();
    let tls = OwnedTLSConfig {
        identity: Some(OwnedIdentity::PKCS8 {
            pem: std::fs::read(certificate)?,
            key: std::fs::read(key)?,
        }),
        cert_chain: Some(std::fs::read_to_string(certificates.ca())?),
    };
    let runtime = lapin::runtime::default_runtime()?;
    Ok(Connection::connect_with_config(uri, ConnectionProperties::default(), tls, runtime).await?)
}

async fn declare(channel: &Channel) -> Result<()> {
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    for queue in [TASKS, OUTPUTS] {
        let (options, arguments) = (QueueDeclareOptions::durable(), arguments.clone());
        channel
            .queue_declare(queue.into(), options, arguments)
            .await?;
    }
    Ok(())
}

async fn produce(channel: Channel, work: Arc<Work>) -> Result<()> {
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    let send = |batch: Vec<Vec<u8>>| {
        let channel = channel.clone();
        async move { publish(&channel, TASKS, &batch).await }
    };
    work.send(send).await
}

/// All of them are confirmed.
async fn publish(channel: &Channel, queue: &str, messages: &[Vec<u8>]) -> Result<()> {
    let persistent = BasicProperties::default().with_delivery_mode(2);
    let mut confirms = Vec::with_capacity(messages.len());
    for message in messages {
        let (options, properties) = (BasicPublishOptions::default(), persistent.clone());
        let published =
            channel.basic_publish("".into(), queue.into(), options, message, properties);
        confirms.push(published.await?);
    }
    for confirm in confirms {
        if !matches!(confirm.await?, Confirmation::Ack(_)) {
            bail!("the server did not confirm a message");
        }
    }
    Ok(())
}

/// Whatever is at hand is acknowledged together.
async fn consume(channel: Channel, work: Arc<Work>, prefetch: u16) -> Result<()> {
    channel
        .basic_qos(prefetch, BasicQosOptions::default())
        .await?;
    let options = BasicConsumeOptions::default();
    let mut deliveries = channel
        .basic_consume(TASKS.into(), "".into(), options, FieldTable::default())
        .await?;
    channel
        .confirm_select(ConfirmSelectOptions::default())
        .await?;
    while let Some(delivery) = deliveries.next().await {
        let mut latest = delivery?;
        let mut outputs = vec![work.output(&latest.data)?];
        while outputs.len() < usize::from(prefetch) / 2 {
            let Some(Some(delivery)) = deliveries.next().now_or_never() else {
                break;
            };
            latest = delivery?;
            outputs.push(work.output(&latest.data)?);
        }
        let count = outputs.len();
        if work.keeps_outputs {
            publish(&channel, OUTPUTS, &outputs).await?;
        }
        latest.ack(BasicAckOptions { multiple: true }).await?;
        work.acknowledged(count);
    }
    bail!("the server ended a consumer")
}

async fn listen(channel: Channel, work: Arc<Work>) -> Result<()> {
    let options = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let mut outputs = channel
        .basic_consume(OUTPUTS.into(), "".into(), options, FieldTable::default())
        .await?;
    while let Some(output) = outputs.next().await {
        work.told(&output?.data)?;
    }
    bail!("the server ended a consumer")
}
