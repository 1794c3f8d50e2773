//! `output`, and how downloaded bytes reach a file or standard output only after their digest was compared.

use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use protocol::TaskId;
use protocol::api::{OutputView, TaskView};
use serde_json::json;
use tempfile::NamedTempFile;
use tokio::fs::File;

use super::arguments::Output;
use super::{Session, tasks};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::files::folder_of;
use crate::program::World;
use crate::progress;

/// Where an output goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sink {
    Standard,
    File(PathBuf),
}

impl Sink {
    /// `-` is standard output.
    pub(super) fn of(path: &Path) -> Self {
        if path.as_os_str() == "-" {
            Self::Standard
        } else {
            Self::File(path.to_owned())
        }
    }

    /// Mistakes in the path that can be found before there is anything to write.
    pub(super) fn expect_writable(&self) -> Result<(), Failure> {
        let Self::File(path) = self else {
            return Ok(());
        };
        let folder = folder_of(path);
        let problem = if path.is_dir() {
            format!("{} is a folder, and the output is one file", path.display())
        } else if !folder.is_dir() {
            format!("there is no folder {}", folder.display())
        } else {
            return Ok(());
        };
        Err(Failure::sentence(Exit::Error, problem)
            .with_remedy("name a file in a folder that is there with -o"))
    }
}

pub(super) async fn output(
    arguments: &Output,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    let sink = match &arguments.output {
        Some(path) => Sink::of(path),
        None if world.terminals.output => {
            return Err(Failure::sentence(
                Exit::Error,
                "an output is bytes, and standard output is a terminal",
            )
            .with_remedy("name a file with -o, or write -o - to print it all the same"));
        }
        None => Sink::Standard,
    };
    if session.style.json && sink == Sink::Standard {
        return Err(shared_output());
    }
    sink.expect_writable()?;
    let task = session.gateway.task(arguments.task).await?;
    tasks::expect_ours(&task, session)?;
    let content = announced(&task)?;
    save(task.id, content, &sink, session, world).await?;
    let mut terminal = world.terminal(session.style);
    if let Sink::File(path) = &sink {
        if terminal.style.json {
            let path = path.display().to_string();
            terminal.json(&json!({"task": task.id, "output": content, "path": path}))?;
        } else {
            terminal.note(format_args!(
                "{} bytes with digest {}",
                content.bytes, content.sha256
            ))?;
        }
    }
    Ok(Exit::Success)
}

pub(super) fn shared_output() -> Failure {
    let text = "--json and the output cannot share standard output";
    Failure::sentence(Exit::Error, text).with_remedy("name a file with -o")
}

/// The digest and size that the gateway announces for a finished task.
pub(super) fn announced(task: &TaskView) -> Result<OutputView, Failure> {
    task.output.ok_or_else(|| {
        let exit = tasks::exit_of(std::slice::from_ref(task));
        let exit = if exit == Exit::Success {
            Exit::Error
        } else {
            exit
        };
        let text = format!(
            "the task {} has no output: it is {}{}",
            task.id,
            task.state,
            tasks::because(task)
        );
        let failure = Failure::sentence(exit, text);
        if exit == Exit::Findings {
            failure.with_remedy(tasks::how_it_ended(task.id))
        } else {
            failure
        }
    })
}

/// Downloads into a temporary file; only verified bytes go further. Remembers what was downloaded.
pub(super) async fn save(
    id: TaskId,
    content: OutputView,
    sink: &Sink,
    session: &Session,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    match sink {
        Sink::File(path) => {
            let file = download(id, content, folder_of(path), session, world).await?;
            let persisted = file.persist(path);
            persisted.map_err(|error| {
                Failure::file(format!("writing {} failed", path.display()), error.error)
                    .with_remedy(fetch_again(id))
            })?;
        }
        Sink::Standard => {
            let mut file = download(id, content, &std::env::temp_dir(), session, world).await?;
            file.rewind()?;
            std::io::copy(&mut file, world.output)?;
            world.output.flush()?;
        }
    }
    remember(id, content, session, world)
}

/// A small output, in memory.
pub(super) async fn bytes(
    id: TaskId,
    content: OutputView,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Vec<u8>, Failure> {
    let mut file = download(id, content, &std::env::temp_dir(), session, world).await?;
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    remember(id, content, session, world)?;
    Ok(bytes)
}

/// The task is done; only its output is not where it was wanted.
fn fetch_again(id: TaskId) -> String {
    format!("the output is kept: `cocoon output {id} -o FILE`")
}

async fn download(
    id: TaskId,
    content: OutputView,
    folder: &Path,
    session: &Session,
    world: &mut World<'_>,
) -> Result<NamedTempFile, Failure> {
    let failed = |error| {
        Failure::file(
            format!("writing a file in {} failed", folder.display()),
            error,
        )
        .with_remedy(fetch_again(id))
    };
    let file = NamedTempFile::new_in(folder).map_err(failed)?;
    let mut sink = File::from_std(file.as_file().try_clone().map_err(failed)?);
    let style = world.terminal(session.style).style;
    let bar = progress::of_bytes(style, "output", content.bytes);
    let outcome = session
        .gateway
        .download(id, content, &mut sink, |received| {
            bar.set_position(received);
        })
        .await;
    bar.finish_and_clear();
    outcome?;
    sink.sync_all().await.map_err(failed)?;
    Ok(file)
}

/// For `receipt --verify`: the output that this machine has seen.
fn remember(
    id: TaskId,
    content: OutputView,
    session: &Session,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let kept = session.ledger.find(id).and_then(|found| match found {
        Some(mut submission) => {
            submission.output = Some(content);
            session.ledger.keep(&submission)
        }
        None => Ok(()),
    });
    // The output is there; that it will not be remembered is a pity, no failure.
    match kept {
        Ok(()) => Ok(()),
        Err(error) => Ok(world.terminal(session.style).warning(error)?),
    }
}
