//! `completions` and `man`: the command line described to shells and readers, from the one definition that parses it.

use std::path::Path;

use anyhow::{Context, ensure};
use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::{
    answer::Answer,
    arguments::Arguments,
    output::{Document, Section},
};

const PROGRAM: &str = "cocoon-attest";

pub(crate) fn completions(shell: Shell, json: bool) -> anyhow::Result<Answer> {
    ensure!(!json, "a completion script is no JSON; leave --json out");
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), PROGRAM, &mut script);
    Ok(Answer::Script(
        String::from_utf8_lossy(&script).into_owned(),
    ))
}

pub(crate) fn man(dir: Option<&Path>, json: bool) -> anyhow::Result<Answer> {
    let Some(dir) = dir else {
        ensure!(
            !json,
            "a man page is no JSON; name a folder or leave --json out"
        );
        let mut page = Vec::new();
        Man::new(Arguments::command())
            .render(&mut page)
            .context("cannot render the man page")?;
        return Ok(Answer::Script(String::from_utf8_lossy(&page).into_owned()));
    };
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    clap_mangen::generate_to(Arguments::command(), dir)
        .with_context(|| format!("cannot write man pages into {}", dir.display()))?;
    let document = Document::new(
        "cocoon-attest/man/1",
        vec![Section::new("man").field("dir", dir.display().to_string())],
    );
    let note = format!("man pages are in {}", dir.display());
    Ok(Answer::Written(document, note))
}
