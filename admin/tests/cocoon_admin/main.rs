//! `cocoon-admin` against a fake gateway on loopback: every command as a child process.

#[path = "../../../client/tests/support/mod.rs"]
#[cfg(test)]
mod support;

#[cfg(test)]
mod command_line;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod operate;
