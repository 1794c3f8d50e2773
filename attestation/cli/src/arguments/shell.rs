//! Arguments of the commands about the command line itself: schemas, completions, man pages.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use clap_complete::Shell;

/// Print the JSON Schema of an output, or list them.
///
/// Each JSON output names its schema in the member `schema`: `cocoon-attest/verify/1` is described by `verify`.
#[derive(Debug, Args)]
#[command(after_help = help!(
    yes: "the schema or the list was printed",
    findings: "never; nothing is judged",
    examples:
        "cocoon-attest schema",
        "cocoon-attest schema verify > verify.schema.json",
))]
pub(crate) struct Schema {
    /// Which output; without it, all are listed.
    #[arg(value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// Print a completion script for a shell.
#[derive(Debug, Args)]
#[command(after_help = help!(
    yes: "the script was printed",
    findings: "never; nothing is judged",
    examples:
        "cocoon-attest completions bash > /etc/bash_completion.d/cocoon-attest",
))]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Print the man page, or write one for each command into a folder.
#[derive(Debug, Args)]
#[command(after_help = help!(
    yes: "the pages were printed or written",
    findings: "never; nothing is judged",
    examples:
        "cocoon-attest man | man -l -",
        "cocoon-attest man /usr/local/share/man/man1",
))]
pub(crate) struct Man {
    /// The folder to write into.
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
}
