//! Takes values out of a TOML table by key path and remembers every mistake; what is left at the end is unknown.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::{Table, Value};

use super::Mistake;

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

    pub(super) fn count(
        &mut self,
        key: &str,
        default: u32,
        range: RangeInclusive<u32>,
    ) -> Option<u32> {
        let count = match self.take(key) {
            None => Some(default),
            Some(value) => value
                .as_integer()
                .and_then(|number| u32::try_from(number).ok())
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
    matches!(key, "worker" | "api" | "metrics" | "attestation" | "tasks")
}
