//! Why a command did not do what was asked, as people and scripts read it: what, because of what, and what to try.

use std::error::Error;
use std::fmt::Display;
use std::io;

use protocol::problem::Problem;
use serde_json::json;

use crate::config::ConfigError;
use crate::exit::Exit;
use crate::gateway::GatewayError;
use crate::ledger::LedgerError;
use crate::task::{InputError, ParameterError, PrepareError, SubmitError};
use crate::terminal::{Terminal, escaped, within_line};

/// One failure with its exit code.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    error: Box<dyn Error>,
    remedy: Option<String>,
    problem: Option<Box<Problem>>,
}

/// A failure that is a sentence and nothing more.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Sentence(String);

/// A file of the user's that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct FileError {
    what: String,
    #[source]
    source: io::Error,
}

impl Failure {
    #[must_use]
    pub fn new(exit: Exit, error: impl Error + 'static) -> Self {
        Self {
            exit,
            error: Box::new(error),
            remedy: None,
            problem: None,
        }
    }

    /// A failure without a cause below it.
    #[must_use]
    pub fn sentence(exit: Exit, text: impl Display) -> Self {
        Self::new(exit, Sentence(text.to_string()))
    }

    /// `what` as in "writing out.bin failed".
    #[must_use]
    pub fn file(what: impl Into<String>, source: io::Error) -> Self {
        Self::new(
            Exit::Error,
            FileError {
                what: what.into(),
                source,
            },
        )
    }

    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    #[must_use]
    pub fn with_exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    pub(crate) fn is_broken_pipe(&self) -> bool {
        let error = self.error.downcast_ref::<io::Error>();
        error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// Writes it to standard error.
    pub fn tell(&self, program: &str, terminal: &mut Terminal<'_>) -> io::Result<()> {
        let causes = causes(&*self.error);
        if terminal.style.json {
            let value = json!({"error": {
                "message": self.error.to_string(),
                "causes": causes,
                "remedy": self.remedy,
                "exit": self.exit.code(),
                "problem": self.problem,
            }});
            return writeln!(terminal.errors, "{}", escaped(&value.to_string()));
        }
        terminal.warning(format_args!("{program}: {}", self.error))?;
        if !causes.is_empty() {
            let causes = within_line(&causes.join(": "));
            terminal.warning(format_args!("  because: {causes}"))?;
        }
        if let Some(remedy) = &self.remedy {
            terminal.warning(format_args!("  try: {remedy}"))?;
        }
        Ok(())
    }
}

/// The causes below an error, each once: some libraries repeat a cause's text.
fn causes(error: &dyn Error) -> Vec<String> {
    let mut causes: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if causes.last() != Some(&text) {
            causes.push(text);
        }
        next = cause.source();
    }
    causes
}

impl From<GatewayError> for Failure {
    fn from(error: GatewayError) -> Self {
        Self {
            exit: error.exit(),
            remedy: error.remedy(),
            problem: error.problem().cloned().map(Box::new),
            error: Box::new(error),
        }
    }
}

impl From<SubmitError> for Failure {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Gateway(error) => error.into(),
            SubmitError::Swapped { task, .. } => Self::new(Exit::Findings, error).with_remedy(
                format!("do not use its output; `cocoon cancel {task}`, and tell the operator"),
            ),
        }
    }
}

impl From<PrepareError> for Failure {
    fn from(error: PrepareError) -> Self {
        let remedy = match error {
            PrepareError::Fault(_) => Some("`cocoon operations` lists what each operation takes"),
            PrepareError::NotText { .. } => Some("convert it, as with `iconv -t UTF-8`"),
            PrepareError::Canonical(_) | PrepareError::Random => None,
        };
        Self {
            remedy: remedy.map(str::to_owned),
            ..Self::new(Exit::Error, error)
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Error, error)
            .with_remedy("--help lists the settings and where each may stand")
    }
}

impl From<InputError> for Failure {
    fn from(error: InputError) -> Self {
        Self::new(Exit::Error, error)
    }
}

impl From<ParameterError> for Failure {
    fn from(error: ParameterError) -> Self {
        Self::new(Exit::Error, error)
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::new(Exit::Error, error)
            .with_remedy("move the file away; the task is then treated as one submitted elsewhere")
    }
}

/// Writing the answer failed.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(Exit::Error, error)
    }
}
