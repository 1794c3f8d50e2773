//! Hearing of the other gateways' commits.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use protocol::TaskId;
use protocol::lease::OperationId;
use protocol::task::TaskState;
use tokio::sync::{mpsc, oneshot};
use tokio_postgres::{AsyncMessage, Client, Notification};

use super::super::super::notice::{Notice, Notices};
use super::super::super::watch::Step;
use super::super::super::{Class, StoreError};
use super::super::connection::Chain;
use super::address::Listening;
use super::open::TAKE_RUNNING;
use super::{Own, Server};

/// From a lost connection to the next try.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);
/// Watched tasks are read at most so often, however many commits there are.
const READ_PAUSE: Duration = Duration::from_millis(2);

/// Notifications that wait to be read; where there are more, everything is read again.
const WAITING_MAX: usize = 1_024;

/// Everything that waits, with the number of the commit until which it counts.
const QUEUED: &str = "
    SELECT commits, operation, version, requirements, queued::bigint FROM gateway_state
    LEFT JOIN (SELECT operation, version, requirements, sum(queued) AS queued FROM flows WHERE queued > 0
               GROUP BY operation, version, requirements) AS waiting ON TRUE";

/// A thread with a connection of its own, from now until it is dropped.
#[derive(Debug)]
pub(in super::super) struct Listener {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    pub(in super::super) fn start(
        server: &Arc<Server>,
        notices: &Arc<Notices>,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (server, notices) = (Arc::clone(server), Arc::clone(notices));
        let runtime = Own::start()?;
        let builder = std::thread::Builder::new().name("store-listener".to_owned());
        let thread = builder.spawn(move || {
            let listening = async {
                tokio::select! {
                    () = listen(&server, &notices) => {}
                    _ = stopped => {}
                }
                Ok::<_, StoreError>(())
            };
            // It ends when it is told to.
            let _ = runtime.block_on(listening);
        })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn listen(server: &Server, notices: &Notices) {
    loop {
        if let Err(error) = hear(server, notices).await {
            tracing::error!(error = %Chain(&error), %server, "other gateways are not heard: connecting again");
        }
        tokio::time::sleep(RECONNECT_PAUSE).await;
    }
}

/// One connection, until it is lost.
async fn hear(server: &Server, notices: &Notices) -> Result<(), StoreError> {
    let (client, connection) = server.connect_to_listen().await?;
    let (heard, mut notifications) = mpsc::channel(WAITING_MAX);
    let missed = AtomicBool::new(false);
    let driven = async {
        tokio::select! {
            lost = drive(connection, heard, &missed) => lost,
            never = follow(&client, notices, &mut notifications, &missed) => never,
        }
    };
    driven.await
}

/// Moves the connection's bytes, and what the server says by itself.
async fn drive(
    mut connection: Listening,
    heard: mpsc::Sender<Notification>,
    missed: &AtomicBool,
) -> Result<(), StoreError> {
    let mut messages = stream::poll_fn(|context| connection.poll_message(context));
    while let Some(message) = messages.next().await {
        match message? {
            AsyncMessage::Notification(notification) => {
                // Not to wait for room: what its reader waits for may lie behind it on the same connection.
                let is_missed = heard.try_send(notification).is_err();
                missed.fetch_or(is_missed, Ordering::Relaxed);
            }
            AsyncMessage::Notice(notice) => tracing::debug!(%notice, "the database says"),
            _ => {}
        }
    }
    Ok(())
}

async fn follow(
    client: &Client,
    notices: &Notices,
    notifications: &mut mpsc::Receiver<Notification>,
    missed: &AtomicBool,
) -> Result<(), StoreError> {
    client.batch_execute("SET idle_session_timeout = 0").await?;
    client.batch_execute(TAKE_RUNNING).await?;
    let channel: String = client
        .query_one("SELECT quote_ident('gateway_' || current_schema())", &[])
        .await?
        .try_get(0)?;
    // First listen, then read: what is committed in between is known twice and counted once.
    client.batch_execute(&format!("LISTEN {channel}")).await?;
    read_queued(client, notices).await?;
    read_watched(client, notices).await?;
    loop {
        let Some(first) = notifications.recv().await else {
            return Ok(());
        };
        let mut moved = apply(notices, &first);
        while let Ok(next) = notifications.try_recv() {
            moved |= apply(notices, &next);
        }
        if missed.swap(false, Ordering::Relaxed) {
            tracing::warn!("notifications of other gateways are missed: reading everything again");
            read_queued(client, notices).await?;
            moved = true;
        }
        if moved {
            read_watched(client, notices).await?;
            tokio::time::sleep(READ_PAUSE).await;
        }
    }
}

fn apply(notices: &Notices, notification: &Notification) -> bool {
    let parsed = notification
        .payload()
        .split_once(' ')
        .and_then(|(commit, notice)| {
            let notice: Notice = serde_json::from_str(notice).ok()?;
            Some((commit.parse().ok()?, notice))
        });
    let Some((commit, notice)) = parsed else {
        tracing::warn!(
            "a notification of another gateway cannot be read: is it of another version?"
        );
        return true;
    };
    notices.heard(commit, notice)
}

async fn read_queued(client: &Client, notices: &Notices) -> Result<(), StoreError> {
    let reading = notices.read();
    let rows = client.query(QUEUED, &[]).await?;
    let mut commit = 0;
    let mut queued = Vec::with_capacity(rows.len());
    for row in &rows {
        commit = u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or_default();
        let Some(name) = row.try_get(1)? else {
            continue;
        };
        let requirements = serde_json::from_str(row.try_get(3)?);
        let class = Class {
            operation: OperationId {
                name,
                version: u32::try_from(row.try_get::<_, i64>(2)?).unwrap_or_default(),
            },
            requirements: requirements.map_err(|_| StoreError::Unreadable { what: "a demand" })?,
        };
        queued.push((class, row.try_get(4)?));
    }
    reading.done(commit, &queued);
    Ok(())
}

/// Whoever waits here for a task hears of what became of it elsewhere.
async fn read_watched(client: &Client, notices: &Notices) -> Result<(), StoreError> {
    let watched = notices.watched();
    if watched.is_empty() {
        return Ok(());
    }
    let ids: Vec<Vec<u8>> = watched
        .iter()
        .map(|task| task.to_bytes().to_vec())
        .collect();
    let sql = "SELECT id, state FROM tasks WHERE id = ANY($1)";
    let rows = client.query(sql, &[&ids]).await?;
    let unreadable = StoreError::Unreadable { what: "a task" };
    let mut moved = Vec::with_capacity(rows.len());
    for row in &rows {
        let id: [u8; 16] = row
            .try_get::<_, &[u8]>(0)?
            .try_into()
            .map_err(|_| unreadable.clone())?;
        let state: TaskState = row
            .try_get::<_, &str>(1)?
            .parse()
            .map_err(|_| unreadable.clone())?;
        moved.push(Step::to(TaskId::from_bytes(id), state));
    }
    notices.watchers().moved(&moved);
    Ok(())
}
