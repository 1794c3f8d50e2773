//! `worker`: enrol, watch, drain, remove.

mod show;

use std::path::Path;
use std::time::Duration;

use client::Exit;
use client::failure::Failure;
use client::files::{hand_out_record, write_new};
use client::program::World;
use client::progress;
use client::table::counted;
use client::terminal::Terminal;
use client::view;
use protocol::api::{CreatedWorker, WorkerView};
use serde_json::json;

use crate::Session;
use crate::arguments::{Attestation, Create, Delete, Drain, Worker};
use crate::confirm::confirm;

/// How often a draining worker is looked at: a task seldom ends sooner.
const DRAIN_POLL: Duration = Duration::from_secs(1);

pub(crate) async fn create(
    arguments: &Create,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    // After the gateway answered it would be too late: the secret is given once.
    if let Some(path) = arguments.secret_file.as_ref().filter(|path| path.exists()) {
        let text = format!(
            "{} is there already, and a secret replaces nothing",
            path.display()
        );
        return Err(
            Failure::sentence(Exit::Error, text).with_remedy("name a new file with --secret-file")
        );
    }
    let created = session.gateway.create_worker(&arguments.id).await?;
    let mut terminal = world.terminal(session.style);
    let written = match &arguments.secret_file {
        Some(path) => Some(
            write_new(path, format!("{}\n", created.enrolment_secret).as_bytes()).map(|()| path),
        ),
        None => None,
    };
    match written {
        Some(Ok(path)) => tell_created(&created, Some(path), &mut terminal)?,
        None => tell_created(&created, None, &mut terminal)?,
        Some(Err(failure)) => {
            return Err(failure.with_remedy(format!(
                "the secret is lost: cocoon-admin worker delete --id {0}, then create {0} again",
                created.id
            )));
        }
    }
    Ok(Exit::Success)
}

fn tell_created(
    created: &CreatedWorker,
    secret_file: Option<&Path>,
    terminal: &mut Terminal<'_>,
) -> std::io::Result<()> {
    let id = &created.id;
    if terminal.style.json {
        let secret_file = secret_file.map(|path| path.display().to_string());
        let secret = secret_file.is_none().then_some(&created.enrolment_secret);
        return terminal
            .json(&json!({"id": id, "enrolment_secret": secret, "secret_file": secret_file}));
    }
    terminal.line(format_args!("worker {id} is enrolled"))?;
    match secret_file {
        Some(path) => terminal.line(format_args!(
            "enrolment secret, in {} (mode 0600)",
            path.display()
        ))?,
        None => terminal.line(format_args!(
            "enrolment secret, shown this once: {}",
            created.enrolment_secret
        ))?,
    }
    terminal.note(format_args!(
        "\
Next, on the GPU owner's machine:
  1. Bring the secret there over a channel you trust, into a file that only the worker may read (mode 0600).
  2. In /etc/cocoon/{id}/worker.toml name the worker id {id}, that file, the gateway's worker address and the pool CA file.
  3. systemctl enable --now cocoon-quote.socket cocoon-worker@{id}
Then, here: cocoon-admin worker status --id {id}
It gets tasks once its attestation was appraised and admitted; a refusal is shown there with its code."
    ))
}

pub(crate) async fn list(session: &Session, world: &mut World<'_>) -> Result<Exit, Failure> {
    let list = session.gateway.workers().await?;
    let now_ms = (world.now_ms)();
    let mut terminal = world.terminal(session.style);
    if terminal.style.json {
        terminal.json(&list)?;
    } else {
        terminal.table(&show::table_of(terminal.style, &list.workers, now_ms))?;
    }
    Ok(Exit::Success)
}

pub(crate) async fn status(
    arguments: &Worker,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    let worker = session.gateway.worker(&arguments.id).await?;
    tell(&worker, session, world)
}

pub(crate) async fn explain(
    arguments: &Worker,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    let explanation = session.gateway.explain_worker(&arguments.id).await?;
    let mut terminal = world.terminal(session.style);
    view::explanation(arguments.id.as_str(), &explanation, &mut terminal)?;
    Ok(Exit::Success)
}

pub(crate) async fn drain(
    arguments: &Drain,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    let mut worker = session.gateway.drain_worker(&arguments.id).await?;
    if arguments.wait {
        let style = world.terminal(session.style).style;
        let bar = progress::of_waiting(style, &format!("{} drains", arguments.id));
        while worker.tasks_running > 0 {
            bar.set_message(format!(
                "{} runs {}",
                arguments.id,
                counted_tasks(worker.tasks_running)
            ));
            tokio::time::sleep(DRAIN_POLL).await;
            worker = session.gateway.worker(&arguments.id).await?;
            // Somebody else undrained it: it would never come to rest.
            if !worker.draining {
                bar.finish_and_clear();
                let text = format!("{} no longer drains: it was undrained meanwhile", worker.id);
                return Err(Failure::sentence(Exit::Findings, text));
            }
        }
        bar.finish_and_clear();
    }
    tell_drain(&worker, session, world)
}

pub(crate) async fn undrain(
    arguments: &Worker,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    let worker = session.gateway.undrain_worker(&arguments.id).await?;
    tell_drain(&worker, session, world)
}

pub(crate) async fn delete(
    arguments: &Delete,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    let worker = session.gateway.worker(&arguments.id).await;
    let worker = worker.map_err(|error| error.for_action("delete the worker"))?;
    let running = match worker.tasks_running {
        0 => "It runs nothing".to_owned(),
        count => format!("It runs {}, to be run elsewhere", counted_tasks(count)),
    };
    let question = format!(
        "Delete the worker {}? {running}; its secret admits nobody afterwards.",
        worker.id
    );
    confirm(&question, arguments.yes, world)?;
    session.gateway.delete_worker(&arguments.id).await?;
    let mut terminal = world.terminal(session.style);
    if terminal.style.json {
        terminal.json(&json!({"id": worker.id, "deleted": true}))?;
    } else {
        terminal.line(format_args!("worker {} is deleted", worker.id))?;
    }
    Ok(Exit::Success)
}

pub(crate) async fn attestation(
    arguments: &Attestation,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    let record = session.gateway.worker_attestation(&arguments.id).await?;
    hand_out_record(
        &record,
        arguments.output.as_deref(),
        &mut world.terminal(session.style),
    )?;
    Ok(Exit::Success)
}

fn tell(worker: &WorkerView, session: &Session, world: &mut World<'_>) -> Result<Exit, Failure> {
    let now_ms = (world.now_ms)();
    let mut terminal = world.terminal(session.style);
    if terminal.style.json {
        terminal.json(&json!({ "worker": worker }))?;
    } else {
        show::details(worker, now_ms, &mut terminal)?;
    }
    Ok(Exit::Success)
}

fn counted_tasks(count: u32) -> String {
    counted(u64::from(count), "task")
}

fn tell_drain(
    worker: &WorkerView,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    let mut terminal = world.terminal(session.style);
    if terminal.style.json {
        terminal.json(&json!({ "worker": worker }))?;
    } else if !worker.draining {
        terminal.line(format_args!("worker {} takes work again", worker.id))?;
    } else if worker.tasks_running == 0 {
        terminal.line(format_args!("worker {} is drained", worker.id))?;
    } else {
        terminal.line(format_args!(
            "worker {} drains, {} running",
            worker.id,
            counted_tasks(worker.tasks_running)
        ))?;
    }
    Ok(Exit::Success)
}
