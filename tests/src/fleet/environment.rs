//! What a shell needs to speak to a fleet.

use std::fmt::Write;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result};

use super::{Fleet, binary, setup};

/// Writes `env`, a file to source in any POSIX shell: the pool's address, roots and access tokens, and the binaries on the
/// path.
pub fn write_environment(fleet: &Fleet) -> Result<()> {
    let binaries = binary("cocoon")?;
    let binaries = binaries.parent().context("a binary has a folder")?;
    let mut text = "# Made by the devnet.\n".to_owned();
    for (name, value) in fleet.environment() {
        writeln!(text, "export {name}={}", quoted(&value))?;
    }
    let scripts = fleet.path("bin");
    write_admin(&scripts, binaries, fleet.operator_access())?;
    let [scripts, binaries] = [&scripts, binaries].map(shown);
    writeln!(text, "export PATH={scripts}:{binaries}:\"$PATH\"")?;
    writeln!(text, "echo 'SIMULATED pool: its quotes prove nothing.' >&2")?;
    setup::write_private(&fleet.path("env"), &text)
}

/// One shell acts as both: the operator's commands carry the operator's access token. A script, because a function's name with
/// a hyphen is bash's alone.
fn write_admin(scripts: &Path, binaries: &Path, access_token: &str) -> Result<()> {
    let name = "cocoon-admin";
    let (program, access_token) = (shown(&binaries.join(name)), quoted(access_token));
    let text = format!("#!/bin/sh\nCOCOON_ACCESS_TOKEN={access_token} exec {program} \"$@\"\n");
    std::fs::create_dir_all(scripts).context("cannot create the folder of scripts")?;
    let script = scripts.join(name);
    setup::write_private(&script, &text)?;
    std::fs::set_permissions(&script, Permissions::from_mode(0o700))
        .context("cannot make a script executable")
}

fn shown(path: &Path) -> String {
    quoted(&path.display().to_string())
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
