//! `cocoon` against a fake gateway on loopback: every command as a child process, every failure by its exit code.

#[path = "../support/mod.rs"]
#[cfg(test)]
mod support;

#[cfg(test)]
mod command_line;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod in_process;
#[cfg(test)]
mod library;
#[cfg(test)]
mod receipts;
#[cfg(test)]
mod tasks;
