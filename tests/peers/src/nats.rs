//! NATS JetStream: a work queue and a stream of outputs on files, flushed before each confirmation, publications in flight
//! together. Who waits for an output has it from that stream.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_nats::ConnectOptions;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::consumer::{pull, push};
use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context as JetStream};
use futures_util::StreamExt;
use tokio::task::JoinSet;

use crate::certificates::Certificates;
use crate::server::{Server, free_address, installed, version};
use crate::work::{Meter, Plan, Row, Skipped, Work};

const TASKS: &str = "tasks";
const OUTPUTS: &str = "outputs";
/// The first that can flush before it confirms.
const MINOR_MIN: u32 = 10;
/// Flushed one by one, what is in flight takes long on a slow disk.
const CONFIRM_LIMIT: Duration = Duration::from_mins(1);
const WAIT: Duration = Duration::from_millis(200);

pub async fn run(
    plan: &Plan,
    certificates: &Certificates,
    folder: &Path,
    program: &Path,
) -> Result<Row> {
    let program = installed(&[program], "nats-server")?;
    let version = version(&program)?;
    let mut numbers = version
        .split('.')
        .filter_map(|number| number.parse::<u32>().ok());
    if (numbers.next(), numbers.next()) < (Some(2), Some(MINOR_MIN)) {
        let text = format!(
            "nats-server {version} cannot flush before it confirms; 2.{MINOR_MIN} and later can (`--nats-server` names one)"
        );
        return Err(Skipped(text).into());
    }
    let address = free_address()?;
    let configuration = folder.join("nats.conf");
    std::fs::write(&configuration, text(certificates, folder, address.port()))?;
    let mut server = Server::start(
        Command::new(&program).arg("--config").arg(&configuration),
        folder,
        None,
    )?;
    server.wait_listening(address).await?;
    let mut clients = Vec::new();
    for _ in 0..plan.producers + plan.consumers {
        clients.push(
            connect(certificates, address.port())
                .await
                .with_context(|| server.log_end())?,
        );
    }
    let consumer = declare(clients.first().context("no client")?, plan).await?;
    let work = Work::new(plan);
    let (mut producers, mut consumers) = (JoinSet::new(), JoinSet::new());
    if work.is_awaited() {
        let client = connect(certificates, address.port()).await?;
        consumers.spawn(listen(client, Arc::clone(&work)));
    }
    for client in clients.drain(..usize::from(plan.producers)) {
        producers.spawn(produce(client, Arc::clone(&work)));
    }
    for client in clients {
        let consumer: PullConsumer = client
            .get_consumer_from_stream(consumer.as_str(), TASKS)
            .await?;
        consumers.spawn(consume(client, consumer, Arc::clone(&work), plan.prefetch));
    }
    let meter = Meter::start(&server, &work).await?;
    let done = work.finish(producers, &mut consumers).await?;
    let how = format!("sync_interval always; {}", plan.kept());
    let row = meter.row(
        &server,
        format!("NATS {version}, JetStream work queue"),
        done,
        how,
    )?;
    consumers.shutdown().await;
    Ok(row)
}

fn text(certificates: &Certificates, folder: &Path, port: u16) -> String {
    let (certificate, key) = certificates.server();
    format!(
        r#"listen: "127.0.0.1:{port}"
tls {{ cert_file: "{}", key_file: "{}", ca_file: "{}", verify: true }}
jetstream {{ store_dir: "{}", sync_interval: always }}
"#,
        certificate.display(),
        key.display(),
        certificates.ca().display(),
        folder.join("data").display(),
    )
}

async fn connect(certificates: &Certificates, port: u16) -> Result<JetStream> {
    let options = ConnectOptions::new()
        .tls_client_config(certificates.client_config()?)
        .require_tls(true);
    let client = options.connect(format!("tls://localhost:{port}")).await?;
    let builder = jetstream::context::ContextBuilder::new().timeout(CONFIRM_LIMIT);
    Ok(builder.ack_timeout(CONFIRM_LIMIT).build(client))
}

/// The stream and the name of its consumer.
async fn declare(client: &JetStream, plan: &Plan) -> Result<String> {
    let config = |name: &str, retention| Config {
        name: name.to_owned(),
        subjects: vec![name.to_owned()],
        retention,
        storage: StorageType::File,
        ..Config::default()
    };
    let kept = config(OUTPUTS, RetentionPolicy::Limits);
    client.create_stream(kept).await?;
    let stream = client
        .create_stream(config(TASKS, RetentionPolicy::WorkQueue))
        .await?;
    let name = "workers".to_owned();
    stream
        .create_consumer(pull::Config {
            durable_name: Some(name.clone()),
            max_ack_pending: i64::from(plan.window) * 2,
            ..pull::Config::default()
        })
        .await?;
    Ok(name)
}

async fn produce(client: JetStream, work: Arc<Work>) -> Result<()> {
    let send = |batch| {
        let client = client.clone();
        async move { publish(&client, TASKS, batch).await }
    };
    work.send(send).await
}

/// All of them are confirmed.
async fn publish(client: &JetStream, subject: &'static str, messages: Vec<Vec<u8>>) -> Result<()> {
    let mut confirms = Vec::with_capacity(messages.len());
    for message in messages {
        confirms.push(client.publish(subject, message.into()).await?);
    }
    for confirm in confirms {
        confirm.await?;
    }
    Ok(())
}

/// Acknowledgements are sent and not waited for, which favours this server.
async fn consume(
    client: JetStream,
    consumer: PullConsumer,
    work: Arc<Work>,
    prefetch: u16,
) -> Result<()> {
    loop {
        let mut messages = consumer
            .fetch()
            .max_messages(prefetch.into())
            .expires(WAIT)
            .messages()
            .await?;
        let (mut taken, mut outputs) = (Vec::new(), Vec::new());
        while let Some(message) = messages.next().await {
            let message = message.map_err(anyhow::Error::from_boxed)?;
            outputs.push(work.output(&message.payload)?);
            taken.push(message);
        }
        if work.keeps_outputs {
            publish(&client, OUTPUTS, outputs).await?;
        }
        for message in &taken {
            message.ack().await.map_err(anyhow::Error::from_boxed)?;
        }
        work.acknowledged(taken.len());
    }
}

async fn listen(client: JetStream, work: Arc<Work>) -> Result<()> {
    let stream = client.get_stream(OUTPUTS).await?;
    let config = push::OrderedConfig {
        deliver_subject: client.client().new_inbox(),
        ..push::OrderedConfig::default()
    };
    let mut outputs = stream.create_consumer(config).await?.messages().await?;
    while let Some(output) = outputs.next().await {
        work.told(&output?.payload)?;
    }
    bail!("the server ended a consumer")
}
