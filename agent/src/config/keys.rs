//! Reading a TOML table key by key: what is asked for is taken out, what is left over at the end is unknown.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use toml::{Table, Value};

/// One mistake, with the path of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub key: String,
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.key, self.what)
    }
}

/// A table that is being read. Paths are dotted, at most two deep, as in `gateway.address`.
#[derive(Debug)]
pub struct Keys {
    table: Table,
    mistakes: Vec<Mistake>,
}

impl Keys {
    #[must_use]
    pub fn new(table: Table) -> Self {
        Self {
            table,
            mistakes: Vec::new(),
        }
    }

    /// Every mistake: those found on the way, and whatever nobody asked for.
    #[must_use]
    pub fn finish(mut self) -> Vec<Mistake> {
        for (key, value) in std::mem::take(&mut self.table) {
            match value {
                Value::Table(inner) => {
                    for name in inner.keys() {
                        self.mistake(&format!("{key}.{name}"), "there is no such key");
                    }
                }
                _ => self.mistake(&key, "there is no such key"),
            }
        }
        self.mistakes
    }

    pub fn mistake(&mut self, key: &str, what: impl Into<String>) {
        self.mistakes.push(Mistake {
            key: key.to_owned(),
            what: what.into(),
        });
    }

    /// The value, or nothing and a mistake that names the error and its causes.
    pub fn attempt<T, E: Error>(&mut self, key: &str, result: Result<T, E>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.mistake(key, chain(&error));
                None
            }
        }
    }

    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        match key.split_once('.') {
            Some((outer, inner)) => self
                .table
                .get(outer)
                .and_then(Value::as_table)
                .is_some_and(|table| table.contains_key(inner)),
            None => self.table.contains_key(key),
        }
    }

    /// A required text that is not empty.
    pub fn text(&mut self, key: &str) -> Option<String> {
        match self.required(key)? {
            Value::String(text) if !text.is_empty() => Some(text),
            other => self.expected(key, "a text that is not empty", &other),
        }
    }

    /// A required absolute path: what it is relative to must not depend on where a process was started.
    pub fn path(&mut self, key: &str) -> Option<PathBuf> {
        let path = PathBuf::from(self.text(key)?);
        if path.is_absolute() {
            Some(path)
        } else {
            self.mistake(key, "expected an absolute path");
            None
        }
    }

    /// A required text of a type that reads itself.
    pub fn parsed<T: FromStr<Err: Error>>(&mut self, key: &str) -> Option<T> {
        let text = self.text(key)?;
        self.attempt(key, text.parse())
    }

    /// A whole number from `min` to `max`, or `default` when the key is absent.
    pub fn whole_or(&mut self, key: &str, default: u64, min: u64, max: u64) -> Option<u64> {
        let Some(value) = self.take(key) else {
            return Some(default);
        };
        let number = value
            .as_integer()
            .and_then(|number| u64::try_from(number).ok());
        match number {
            Some(number) if (min..=max).contains(&number) => Some(number),
            _ => self.expected(key, &format!("a whole number from {min} to {max}"), &value),
        }
    }

    /// A required list.
    pub fn list(&mut self, key: &str) -> Option<Vec<Value>> {
        match self.required(key)? {
            Value::Array(list) => Some(list),
            other => self.expected(key, "a list", &other),
        }
    }

    fn expected<T>(&mut self, key: &str, what: &str, seen: &Value) -> Option<T> {
        self.mistake(key, format!("expected {what}, not {seen}"));
        None
    }

    fn required(&mut self, key: &str) -> Option<Value> {
        let value = self.take(key);
        if value.is_none() {
            self.mistake(key, "missing");
        }
        value
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        let Some((outer, inner)) = key.split_once('.') else {
            return self.table.remove(key);
        };
        let table = self.table.get_mut(outer)?.as_table_mut()?;
        table.remove(inner)
    }
}

/// An error and its causes in one line.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
