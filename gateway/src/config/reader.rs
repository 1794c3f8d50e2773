//! Takes values out of a TOML table by key path and remembers every mistake; what is left at the end is unknown.

use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::{Table, Value};
use zeroize::Zeroizing;

use super::Mistake;
use crate::problem::chain;
use crate::store::{Location, Server};

/// A longer file is not a password.
const PASSWORD_BYTES_MAX: usize = 4_096;

pub(super) struct Reader<'a> {
    table: Table,
    folder: &'a Path,
    mistakes: Vec<Mistake>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(table: Table, folder: &'a Path) -> Self {
        Self {
            table,
            folder,
            mistakes: Vec::new(),
        }
    }

    /// All mistakes, unknown keys last.
    pub(super) fn finish(mut self) -> Vec<Mistake> {
        let table = std::mem::take(&mut self.table);
        self.refuse_rest("", table);
        self.mistakes
    }

    /// A required path.
    pub(super) fn path(&mut self, key: &str) -> Option<PathBuf> {
        match self.take(key) {
            Some(Value::String(text)) if !text.is_empty() => Some(self.folder.join(text)),
            Some(_) => self.mistake(key, "must be a path, in quotes"),
            None => self.mistake(key, "is missing: a path, in quotes"),
        }
    }

    /// A path that may be left out. A mistake is `None` too, and no configuration comes of it.
    pub(super) fn optional_path(&mut self, key: &str) -> Option<PathBuf> {
        match self.take(key) {
            None => None,
            Some(Value::String(text)) if !text.is_empty() => Some(self.folder.join(text)),
            Some(_) => self.mistake(key, "must be a path, in quotes"),
        }
    }

    /// A list of base URLs, empty if it is left out.
    pub(super) fn sources(&mut self, key: &str, count_max: usize) -> Option<Vec<pccs::Source>> {
        let wanted = format!("must be a list of at most {count_max} URLs, each in quotes");
        let list = match self.take(key) {
            None => return Some(Vec::new()),
            Some(Value::Array(list)) if list.len() <= count_max => list,
            Some(_) => return self.mistake(key, &wanted),
        };
        let mut sources = Vec::new();
        for value in &list {
            let Some(text) = value.as_str() else {
                return self.mistake(key, &wanted);
            };
            match text.parse() {
                Ok(source) => sources.push(source),
                Err(error) => return self.mistake(key, &format!("has `{text}`: {error}")),
            }
        }
        Some(sources)
    }

    /// The PostgreSQL server that the section names, or else this file.
    pub(super) fn location(&mut self, section: &str, file: PathBuf) -> Option<Location> {
        let (address, password, ca) = (
            format!("{section}.address"),
            format!("{section}.password_file"),
            format!("{section}.ca"),
        );
        let (password_file, ca_file) = (self.optional_path(&password), self.optional_path(&ca));
        let text = match self.take(&address) {
            Some(Value::String(text)) => text,
            Some(_) => return self.mistake(&address, "must be a PostgreSQL address, in quotes"),
            None if password_file.is_none() && ca_file.is_none() => {
                return Some(Location::File(file));
            }
            None => return self.mistake(&address, "is missing: a PostgreSQL address, in quotes"),
        };
        let known = match password_file.map(|path| read_password(&path)).transpose() {
            Ok(known) => known,
            Err(problem) => return self.mistake(&password, &problem),
        };
        let known = known.as_deref().map(String::as_str);
        match Server::new(&text, known, ca_file.as_deref()) {
            Ok(server) => Some(Location::Server(Arc::new(server))),
            Err(error) => self.mistake(&address, &chain(&error)),
        }
    }

    pub(super) fn address(&mut self, key: &str, default: SocketAddr) -> Option<SocketAddr> {
        let wanted = "must be an address with a port, such as \"127.0.0.1:9464\" or \"[::]:8443\"";
        match self.take(key) {
            None => Some(default),
            Some(Value::String(text)) => match text.parse() {
                Ok(address) => Some(address),
                Err(_) => self.mistake(key, wanted),
            },
            Some(_) => self.mistake(key, wanted),
        }
    }

    pub(super) fn seconds(
        &mut self,
        key: &str,
        default: u32,
        range: RangeInclusive<u32>,
    ) -> Option<Duration> {
        let seconds = self.count(key, default, range);
        seconds.map(|seconds| Duration::from_secs(u64::from(seconds)))
    }

    pub(super) fn count<N>(&mut self, key: &str, default: N, range: RangeInclusive<N>) -> Option<N>
    where
        N: TryFrom<i64> + PartialOrd + fmt::Display,
    {
        let count = match self.take(key) {
            None => Some(default),
            Some(value) => value
                .as_integer()
                .and_then(|number| N::try_from(number).ok())
                .filter(|number| range.contains(number)),
        };
        if count.is_none() {
            let (min, max) = range.into_inner();
            return self.mistake(key, &format!("must be a whole number from {min} to {max}"));
        }
        count
    }

    fn mistake<T>(&mut self, key: &str, problem: &str) -> Option<T> {
        self.mistakes.push(Mistake {
            key: key.to_owned(),
            problem: problem.to_owned(),
        });
        None
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        match key.split_once('.') {
            None => self.table.remove(key),
            Some((section, key)) => self.table.get_mut(section)?.as_table_mut()?.remove(key),
        }
    }

    fn refuse_rest(&mut self, prefix: &str, table: Table) {
        for (key, value) in table {
            let path = format!("{prefix}{key}");
            match value {
                Value::Table(section) if prefix.is_empty() && is_section(&key) => {
                    self.refuse_rest(&format!("{path}."), section);
                }
                _ if prefix.is_empty() && is_section(&key) => {
                    let _: Option<()> = self.mistake(&path, "must be a table");
                }
                _ => {
                    let _: Option<()> = self.mistake(&path, "is not a key of this file");
                }
            }
        }
    }
}

fn is_section(key: &str) -> bool {
    matches!(
        key,
        "database" | "worker" | "api" | "metrics" | "attestation" | "tasks"
    )
}

/// The first line of a file.
fn read_password(path: &Path) -> Result<Zeroizing<String>, String> {
    let read = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = read.map_err(|error| format!("names {}: {error}", path.display()))?;
    let password = text.lines().next().unwrap_or_default();
    if password.is_empty() || password.len() > PASSWORD_BYTES_MAX {
        return Err(format!("names {}, which holds no password", path.display()));
    }
    Ok(Zeroizing::new(password.to_owned()))
}
