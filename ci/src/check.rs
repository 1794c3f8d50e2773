//! `cargo ci check`: what can be said of the sources without running them.

use anyhow::Result;

use crate::command::{cargo, has_subcommand, step};

pub(crate) fn run() -> Result<()> {
    step("formatting", cargo().args(["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--quiet", "--"];
    step("lints", cargo().args(clippy).args(["-D", "warnings"]))?;
    let doc = [
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
        "--quiet",
    ];
    step(
        "documentation",
        cargo().args(doc).env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    if has_subcommand("deny") {
        let deny = [
            "deny",
            "--workspace",
            "check",
            "licenses",
            "bans",
            "sources",
        ];
        step("licences, bans and sources", cargo().args(deny))?;
    } else {
        eprintln!(
            "── licences, bans and sources: SKIPPED, cargo-deny is not installed (`cargo install cargo-deny`)"
        );
    }
    Ok(())
}
