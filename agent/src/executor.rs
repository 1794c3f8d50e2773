//! The executor child's supervisor: one thread that starts it, feeds it one run at a time and reports what becomes of each
//! work. When to start, run and kill is the [`crate::machine`]'s to decide.

mod canary;
mod loaded;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use kernels::executor::{
    Clock, ExecutorChild, ExecutorKind, Identity, Killer, Outcome, Program, SpawnError,
    StartedProcess, Work,
};
use protocol::Sha256Digest;
use protocol::lease::LeaseRef;
use tokio::sync::mpsc;

pub use loaded::LoadedLibraries;

use crate::config::{ModelConfig, chain};
use crate::machine::{Answer, Event};
use crate::world::World;

/// Exec, a digest of hundreds of megabytes of libraries, and the first contact with a GPU, which takes tens of seconds on a
/// machine with many of them and no persistence daemon.
const START_LIMIT: Duration = Duration::from_mins(1);
/// An idle child ends at once when it is told to.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(2);
/// The machine sends one command at a time; a place more for the close.
const COMMANDS_MAX: usize = 4;
/// Answers of one run, ahead of the driver.
const EVENTS_MAX: usize = 1_024;

/// What the child must be, and how long one work may take.
#[derive(Debug, Clone)]
pub struct ExecutorSettings {
    pub executable: PathBuf,
    pub module_digest: Sha256Digest,
    /// UUID of the GPU that computes; nothing: the CPU does.
    pub device: Option<String>,
    /// The folder of cuBLASLt, where the dynamic loader does not know it.
    pub cuda_libraries: Option<PathBuf>,
    pub model: Option<ModelConfig>,
    pub task_time_limit: Duration,
}

impl ExecutorSettings {
    fn kind(&self) -> ExecutorKind {
        match self.device {
            Some(_) => ExecutorKind::Cuda,
            None => ExecutorKind::Cpu,
        }
    }

    fn program(&self) -> Program {
        let mut arguments = vec![OsString::from("executor")];
        let mut environment = Vec::new();
        if let Some(model) = &self.model {
            arguments.extend(["--model".into(), model.directory.clone().into()]);
        }
        if let Some(device) = &self.device {
            arguments.extend(["--cuda".into(), device.into()]);
            // Only machine code that was measured runs: what a driver would compile by itself was not.
            environment.push(("CUDA_DISABLE_PTX_JIT".into(), "1".into()));
            environment.push(("CUDA_CACHE_DISABLE".into(), "1".into()));
            let folder = self.cuda_libraries.as_ref();
            environment.extend(folder.map(|folder| ("LD_LIBRARY_PATH".into(), folder.into())));
        }
        Program {
            path: self.executable.clone(),
            arguments,
            environment,
        }
    }
}

/// What the thread is told.
#[derive(Debug)]
enum Command {
    Start,
    Run(Vec<(LeaseRef, Work)>),
    Canary,
    Close,
}

/// The supervisor's handle. Dropping it kills the child.
#[derive(Debug)]
pub struct Executor {
    commands: mpsc::Sender<Command>,
    killer: Arc<Mutex<Option<Killer>>>,
    thread: Option<JoinHandle<()>>,
    libraries: LoadedLibraries,
}

/// Why a child that started is of no use.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("the executor child did not start")]
    Spawn(#[source] SpawnError),
    #[error("the executor child is a `{seen}` executor, not `{wanted}`")]
    Kind {
        seen: ExecutorKind,
        wanted: ExecutorKind,
    },
    #[error("the executor child runs the module {seen}; this worker attested {wanted}")]
    Module {
        seen: Sha256Digest,
        wanted: Sha256Digest,
    },
    #[error("the executor child computes on {seen:?}, not on {wanted:?}")]
    Device {
        seen: Option<String>,
        wanted: Option<String>,
    },
    #[error(
        "the executor child has {}; this worker offers {}",
        shown(*seen),
        shown(*wanted)
    )]
    Model {
        seen: Option<Sha256Digest>,
        wanted: Option<Sha256Digest>,
    },
}

fn shown(model: Option<Sha256Digest>) -> String {
    model.map_or("no model".to_owned(), |digest| {
        format!("the model {digest}")
    })
}

impl Executor {
    /// Starts the thread; the child waits for [`Executor::start`].
    pub fn new(
        settings: ExecutorSettings,
        world: &World,
    ) -> io::Result<(Self, mpsc::Receiver<Event>)> {
        let (commands, received) = mpsc::channel(COMMANDS_MAX);
        let (events, reported) = mpsc::channel(EVENTS_MAX);
        let killer = Arc::new(Mutex::new(None));
        let libraries = LoadedLibraries::default();
        let supervisor = Supervisor {
            libraries: libraries.clone(),
            settings,
            clock: Arc::clone(&world.monotonic),
            wall_ms: Arc::clone(&world.wall_ms),
            events,
            killer: Arc::clone(&killer),
            child: None,
        };
        let thread = std::thread::Builder::new()
            .name("executor".to_owned())
            .spawn(move || supervisor.supervise(received))?;
        let executor = Self {
            commands,
            killer,
            thread: Some(thread),
            libraries,
        };
        Ok((executor, reported))
    }

    /// Answered with [`Event::RunnerStarted`] or [`Event::RunnerStartFailed`].
    pub fn start(&self) {
        self.command(Command::Start);
    }

    /// Answered with one [`Event::Answered`] for each work, then [`Event::RunEnded`].
    pub fn run(&self, works: Vec<(LeaseRef, Work)>) {
        self.command(Command::Run(works));
    }

    /// Answered with [`Event::CanaryEnded`].
    pub fn canary(&self) {
        self.command(Command::Canary);
    }

    /// What the child loaded.
    #[must_use]
    pub fn libraries(&self) -> LoadedLibraries {
        self.libraries.clone()
    }

    /// Kills the child, whatever it does. The run ends with lost works.
    pub fn kill(&self) {
        if let Some(killer) = &*self.killer.lock().unwrap_or_else(PoisonError::into_inner) {
            killer.kill();
        }
    }

    /// Answered with [`Event::RunnerClosed`] when the child is gone.
    pub fn close(&self) {
        self.command(Command::Close);
    }

    /// The machine never has two commands outstanding, so there is always a place.
    fn command(&self, command: Command) {
        if let Err(error) = self.commands.try_send(command) {
            tracing::error!(%error, "the executor's thread takes no command");
        }
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.kill();
        // The thread ends by itself when its commands do; to wait for it here could block the runtime.
        drop(self.thread.take());
    }
}

struct Supervisor {
    settings: ExecutorSettings,
    clock: Clock,
    wall_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    events: mpsc::Sender<Event>,
    killer: Arc<Mutex<Option<Killer>>>,
    child: Option<ExecutorChild>,
    libraries: LoadedLibraries,
}

impl Supervisor {
    fn supervise(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(command) = commands.blocking_recv() {
            match command {
                Command::Start => self.start(),
                Command::Run(works) => self.run(works),
                Command::Canary => self.canary(),
                Command::Close => break,
            }
        }
        self.set_killer(None);
        if let Some(child) = self.child.take() {
            let exit = child.shutdown(SHUTDOWN_LIMIT);
            tracing::debug!(?exit, "the executor child ended");
        }
        self.tell(Event::RunnerClosed);
    }

    fn start(&mut self) {
        match self.spawn() {
            Ok(child) => {
                let in_order = child.identity().in_order;
                tracing::info!(process = child.process_id(), executor = %child.identity().kind, "executor child started");
                if self.libraries.set(&child.identity().libraries) {
                    tracing::warn!("the executor child loaded other libraries than the one before");
                    self.tell(Event::DevicesChanged);
                }
                self.child = Some(child);
                self.tell(Event::RunnerStarted { in_order });
            }
            Err(error) => {
                self.set_killer(None);
                tracing::error!(error = chain(&error), "no executor child");
                self.tell(Event::RunnerStartFailed);
            }
        }
    }

    fn spawn(&self) -> Result<ExecutorChild, StartError> {
        let process = StartedProcess::start(&self.settings.program()).map_err(StartError::Spawn)?;
        // A worker that stops does not wait for a greeting.
        self.set_killer(Some(process.killer()));
        let child = process
            .greet(Arc::clone(&self.clock), START_LIMIT)
            .map_err(StartError::Spawn)?;
        compare(child.identity(), &self.settings)?;
        Ok(child)
    }

    fn run(&mut self, works: Vec<(LeaseRef, Work)>) {
        let (leases, works): (Vec<_>, Vec<_>) = works.into_iter().unzip();
        let Some(mut child) = self.child.take() else {
            for lease in leases {
                self.tell(Event::Answered {
                    lease,
                    answer: Answer::NotRun,
                });
            }
            return self.tell(Event::RunEnded { child_lost: true });
        };
        let in_order = child.identity().runs_in_order(&works);
        let alone = in_order || works.len() == 1;
        let mut before_ms = (self.wall_ms)();
        // A batch may be cut into several runs; the works of one start together.
        let started_ms = Cell::new(before_ms);
        let ended = child.run_observed(
            &works,
            self.settings.task_time_limit,
            &mut || started_ms.set((self.wall_ms)()),
            &mut |index, outcome| {
                let finished_ms = (self.wall_ms)();
                if let Some(&lease) = leases.get(index) {
                    let times = [started_ms.get(), finished_ms];
                    let busy_ms = finished_ms.saturating_sub(before_ms);
                    let answer = answer(outcome, times, busy_ms, alone);
                    self.tell(Event::Answered { lease, answer });
                }
                before_ms = finished_ms;
                if in_order {
                    // Works run one after another: the next one starts where this one ended.
                    started_ms.set(finished_ms);
                }
            },
        );
        match ended {
            Ok(()) => self.child = Some(child),
            Err(error) => {
                tracing::warn!(error = chain(&error), "the executor child is lost");
                self.set_killer(None);
            }
        }
        self.tell(Event::RunEnded {
            child_lost: self.child.is_none(),
        });
    }

    fn canary(&mut self) {
        let mut child = self.child.take();
        let passed = child.as_mut().is_some_and(canary::passes);
        // One that did not pass is killed where it is dropped.
        self.child = child.filter(|_| passed);
        if !passed {
            self.set_killer(None);
        }
        self.tell(Event::CanaryEnded { passed });
    }

    fn set_killer(&self, killer: Option<Killer>) {
        *self.killer.lock().unwrap_or_else(PoisonError::into_inner) = killer;
    }

    /// Blocks while the driver is behind. When the driver is gone there is nobody to tell.
    fn tell(&self, event: Event) {
        let _ = self.events.blocking_send(event);
    }
}

/// Whether the child is what this worker attested and offers.
fn compare(identity: &Identity, settings: &ExecutorSettings) -> Result<(), StartError> {
    let (seen, wanted) = (identity.kind, settings.kind());
    if seen != wanted {
        return Err(StartError::Kind { seen, wanted });
    }
    let (seen, wanted) = (&identity.device, &settings.device);
    if seen != wanted {
        return Err(StartError::Device {
            seen: seen.clone(),
            wanted: wanted.clone(),
        });
    }
    let (seen, wanted) = (identity.module_digest, settings.module_digest);
    if seen != wanted {
        return Err(StartError::Module { seen, wanted });
    }
    let model = settings.model.as_ref();
    let (seen, wanted) = (identity.model_digest, model.map(|model| model.digest));
    if seen != wanted {
        return Err(StartError::Model { seen, wanted });
    }
    Ok(())
}

/// `alone`: nothing else ran when the work was lost, if it was.
fn answer(
    outcome: Outcome,
    [started_ms, finished_ms]: [u64; 2],
    busy_ms: u64,
    alone: bool,
) -> Answer {
    match outcome {
        Outcome::Done(output) => Answer::Done {
            sha256: Sha256Digest::of(&output),
            output: Bytes::from(output),
            started_ms,
            finished_ms,
            busy_ms,
        },
        Outcome::TaskFault(message) => Answer::TaskFault(message),
        Outcome::NotHere(message) => Answer::NotHere(message),
        Outcome::ExecutorFault(message) | Outcome::Lost(message) if alone => Answer::Lost(message),
        Outcome::ExecutorFault(message) | Outcome::Lost(message) => Answer::Suspect(message),
        Outcome::NotRun => Answer::NotRun,
    }
}
