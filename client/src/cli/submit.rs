//! `submit`: prepare, upload, queue; with `--wait` also fetch the output and verify the receipt.

use indicatif::ProgressBar;
use protocol::TaskId;
use protocol::api::{OutputView, TaskView};
use protocol::task::TaskState;
use serde_json::{Value, json};

use super::arguments::Submit;
use super::fetch::{self, Sink};
use super::{Session, receipts, tasks};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ledger::Submission;
use crate::program::{StyleFlags, World};
use crate::progress;
use crate::receipt::{Expectation, KnownOutput};
use crate::table::counted;
use crate::task::{Input, Observer, PreparedTask, Schedule, parameters};
use crate::terminal::Style;

/// The operation whose output reads best as lines.
const SHA256_BATCH: &str = "sha256_batch";
const SHA256_BYTES: usize = 32;

/// Everything that can be wrong with a task, found before any network.
pub(super) fn prepare(
    arguments: &Submit,
    style: StyleFlags,
    world: &mut World<'_>,
) -> Result<PreparedTask, Failure> {
    if style.json && arguments.output.as_deref().map(Sink::of) == Some(Sink::Standard) {
        return Err(fetch::shared_output());
    }
    if let Some(path) = &arguments.output {
        Sink::of(path).expect_writable()?;
    }
    let parameters = parameters(&arguments.operation, &arguments.parameters)?;
    let is_standard = |path: &&std::path::PathBuf| path.as_os_str() == "-";
    if arguments.files.iter().filter(is_standard).count() > 1 {
        return Err(Failure::sentence(
            Exit::Error,
            "standard input (`-`) can be one input alone",
        ));
    }
    let mut inputs = Vec::new();
    for path in &arguments.files {
        inputs.push(if path.as_os_str() == "-" {
            Input::from_stream("-", world.input)?
        } else {
            Input::from_file(path)?
        });
    }
    let task = PreparedTask::new(&arguments.operation, arguments.version, parameters, inputs)?;
    let task = task.with_schedule(Schedule {
        priority: arguments.priority,
        deadline_s: arguments.deadline,
        max_attempts: arguments.max_attempts,
        requirements: arguments.requires.requirements(),
    });
    Ok(match &arguments.idempotency_key {
        Some(key) => task.with_idempotency_key(key.clone()),
        None => task,
    })
}

pub(super) async fn run(
    arguments: &Submit,
    prepared: PreparedTask,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    let mut bars = Bars::new(world.terminal(session.style).style);
    let submitted = prepared.submit(&session.gateway, &mut bars).await;
    bars.clear();
    let task = submitted?;
    remember(&prepared, task.id, session, world)?;
    if arguments.wait || arguments.output.is_some() {
        let id = task.id;
        let finished = finish(arguments, &prepared, id, session, world);
        return tasks::until_interrupted(id, finished).await;
    }
    let mut terminal = world.terminal(session.style);
    if terminal.style.json {
        terminal.json(&json!({"task": task, "output": null, "receipt": null}))?;
    } else {
        terminal.line(task.id)?;
        terminal.note(format_args!(
            "{}; `cocoon status {id}` shows where it is, `cocoon explain {id}` why",
            task.state,
            id = task.id
        ))?;
    }
    Ok(Exit::Success)
}

/// Later commands compare with this. That it cannot be kept is told, and no reason to lose the task. A gateway that gives
/// the id of another task would have it forgotten.
fn remember(
    prepared: &PreparedTask,
    id: TaskId,
    session: &Session,
    world: &mut World<'_>,
) -> Result<(), Failure> {
    let names = prepared
        .inputs()
        .iter()
        .map(|input| input.name().to_owned())
        .collect();
    let known = session.ledger.find(id).ok().flatten();
    if known.is_some_and(|known| known.digest != prepared.digest()) {
        let text = format!("the gateway gave this task the id of an earlier one, {id}");
        return Err(Failure::sentence(Exit::Findings, text)
            .with_remedy("do not use its output, and tell the operator"));
    }
    let gateway = session.gateway.address().as_str();
    let submission = Submission::new(
        gateway,
        id,
        prepared.digest(),
        prepared.body().clone(),
        names,
    );
    if let Err(error) = session.ledger.keep(&submission) {
        world.terminal(session.style).warning(format_args!(
            "{error}; `cocoon receipt {id} --verify` will need --task-digest {}",
            prepared.digest()
        ))?;
    }
    Ok(())
}

async fn finish(
    arguments: &Submit,
    prepared: &PreparedTask,
    id: TaskId,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Exit, Failure> {
    world
        .terminal(session.style)
        .note(format_args!("task {id}"))?;
    let task = tasks::wait(id, session, world).await?;
    tasks::expect_digest(&task, prepared.digest())?;
    if task.state != TaskState::Succeeded {
        return failed(&task, session, world);
    }
    let content = fetch::announced(&task)?;
    tasks::expect_size(content, prepared.output_bytes())?;
    let expected = Expectation {
        task: id,
        digest: Some(prepared.digest()),
        body: Some(prepared.body().clone()),
        output: Some(KnownOutput {
            content,
            origin: "as the gateway announces it",
        }),
    };
    // The receipt first: only bytes with the digest that it names are handed on.
    let verification = receipts::verify_after_wait(id, &expected, session, world).await?;
    let printed = if verification.holds {
        hand_out(arguments, prepared, id, content, session, world).await?
    } else {
        Value::Null
    };
    let mut terminal = world.terminal(session.style);
    if terminal.style.json {
        terminal.json(&json!({"task": task, "output": printed, "receipt": verification}))?;
    }
    Ok(receipts::exit_of(&verification))
}

/// Writes the output where it was wanted; gives what `--json` says of it, null where nothing was fetched.
async fn hand_out(
    arguments: &Submit,
    prepared: &PreparedTask,
    id: TaskId,
    content: OutputView,
    session: &Session,
    world: &mut World<'_>,
) -> Result<Value, Failure> {
    if let Some(path) = &arguments.output {
        let sink = Sink::of(path);
        fetch::save(id, content, &sink, session, world).await?;
        return Ok(json!({"path": path.display().to_string()}));
    }
    if prepared.body().operation == SHA256_BATCH {
        let digests = fetch::bytes(id, content, session, world).await?;
        return sums(prepared.inputs(), &digests, session, world);
    }
    if !session.style.json {
        world
            .terminal(session.style)
            .line(format_args!("{id} {} bytes", content.bytes))?;
        world
            .terminal(session.style)
            .note(format_args!("fetch them with `cocoon output {id} -o FILE`"))?;
    }
    Ok(Value::Null)
}

/// What sha256sum prints, so that `sha256sum --check` reads it.
fn sums(
    inputs: &[Input],
    digests: &[u8],
    session: &Session,
    world: &mut World<'_>,
) -> Result<Value, Failure> {
    let digests = digests.chunks_exact(SHA256_BYTES).map(hex::encode);
    let rows: Vec<_> = digests.zip(inputs.iter().map(Input::name)).collect();
    // The inputs were digested here before they were submitted: for this operation, the arithmetic can be compared.
    for ((seen, name), input) in rows.iter().zip(inputs) {
        let wanted = input.content().sha256.to_string();
        if *seen != wanted {
            let text =
                format!("the pool's digest of {name} is {seen}; computed here, it is {wanted}");
            return Err(Failure::sentence(Exit::Findings, text).with_remedy(tasks::KEEP_EVIDENCE));
        }
    }
    if !session.style.json {
        for (digest, name) in &rows {
            world.output.write_all(sum_line(digest, name).as_bytes())?;
        }
        world.output.flush()?;
    }
    let rows = rows
        .into_iter()
        .map(|(digest, name)| json!({"sha256": digest, "file": name}));
    Ok(json!({"sums": rows.collect::<Vec<_>>()}))
}

/// A name with a backslash or a line break is escaped, and the line then starts with a backslash.
fn sum_line(digest: &str, name: &str) -> String {
    let escaped = name
        .replace('\\', "\\\\")
        .replace('\n', "\\n")
        .replace('\r', "\\r");
    let mark = if escaped == name { "" } else { "\\" };
    format!("{mark}{digest}  {escaped}\n")
}

fn failed(task: &TaskView, session: &Session, world: &mut World<'_>) -> Result<Exit, Failure> {
    let mut terminal = world.terminal(session.style);
    if terminal.style.json {
        terminal.json(&json!({"task": task, "output": null, "receipt": null}))?;
    }
    Err(Failure::sentence(
        Exit::Findings,
        format_args!(
            "the task {} is {} after {}{}",
            task.id,
            task.state,
            counted(u64::from(task.attempts), "attempt"),
            tasks::because(task)
        ),
    )
    .with_remedy(tasks::how_it_ended(task.id)))
}

/// A progress bar for each upload.
struct Bars {
    style: Style,
    bar: ProgressBar,
}

impl Bars {
    fn new(style: Style) -> Self {
        Self {
            style,
            bar: ProgressBar::hidden(),
        }
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Bars {
    fn upload(&mut self, input: &Input) -> Box<dyn Fn(u64) + Send + Sync> {
        self.clear();
        self.bar = progress::of_bytes(self.style, input.name(), input.content().bytes);
        let bar = self.bar.clone();
        Box::new(move |sent| bar.set_position(sent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_sha256sum() {
        assert_eq!(sum_line("ab", "plain name"), "ab  plain name\n");
        assert_eq!(sum_line("ab", "a\\b\nc"), "\\ab  a\\\\b\\nc\n");
    }
}
