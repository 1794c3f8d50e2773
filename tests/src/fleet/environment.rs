//! What a shell needs to speak to a fleet.

use std::fmt::Write;

use anyhow::{Context, Result};

use super::{Fleet, binary, setup};

/// Writes `env`, a file to source in a shell: the pool's address, roots and access tokens, and the binaries on the path.
pub fn write_environment(fleet: &Fleet) -> Result<()> {
    let binaries = binary("cocoon")?;
    let binaries = binaries.parent().context("a binary has a folder")?;
    let mut text = "# Made by the devnet.\n".to_owned();
    for (name, value) in fleet.environment() {
        writeln!(text, "export {name}={}", quoted(&value))?;
    }
    // One shell acts as both: the operator's commands carry the operator's token.
    let operator = quoted(fleet.operator_access());
    writeln!(
        text,
        "cocoon-admin() {{ COCOON_ACCESS_TOKEN={operator} command cocoon-admin \"$@\"; }}"
    )?;
    let binaries = quoted(&binaries.display().to_string());
    writeln!(text, "export PATH={binaries}:\"$PATH\"")?;
    writeln!(text, "echo 'SIMULATED pool: its quotes prove nothing.' >&2")?;
    setup::write_private(&fleet.path("env"), &text)
}

/// One word of a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_folders_name_cannot_end_its_quotes() {
        assert_eq!(super::quoted("/tmp/it's"), r"'/tmp/it'\''s'");
    }
}
