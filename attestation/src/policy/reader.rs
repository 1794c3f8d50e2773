//! Reads a TOML table key by key and collects every mistake with the path of its key.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use toml::Value;

use super::Allowed;
use crate::text::one_line_of;

/// The mistakes found so far.
#[derive(Default)]
pub(super) struct Reader {
    mistakes: Vec<String>,
}

impl Reader {
    /// What was read, if there was no mistake.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, Vec<String>> {
        match value {
            Some(value) if self.mistakes.is_empty() => Ok(value),
            _ => Err(self.mistakes),
        }
    }

    fn mistake<T>(&mut self, path: &str, text: impl AsRef<str>) -> Option<T> {
        self.mistakes.push(format!("{path}: {}", text.as_ref()));
        None
    }
}

/// More of a text than this tells nobody what it is.
const SEEN_CHARACTERS_MAX: usize = 40;

/// What is wrong with a list that admits nobody.
pub(super) const EMPTY: &str = "wants one entry at least: an empty list admits nobody";

/// A table of which each key is taken once; what is left in the end is unknown.
pub(super) struct Table {
    path: String,
    entries: toml::Table,
}

impl Table {
    pub(super) fn root(entries: toml::Table) -> Self {
        Self {
            path: String::new(),
            entries,
        }
    }

    /// Note every key that nobody took.
    pub(super) fn close(self, reader: &mut Reader) {
        for key in self.entries.keys() {
            let _: Option<()> = reader.mistake(&self.path(key), "unknown key");
        }
    }

    /// Note a mistake of the key's value that only shows beside other values.
    pub(super) fn mistake(&self, reader: &mut Reader, key: &str, text: impl AsRef<str>) {
        let _: Option<()> = reader.mistake(&self.path(key), text);
    }

    pub(super) fn table(&mut self, reader: &mut Reader, key: &str) -> Option<Self> {
        match self.take(reader, key)? {
            Value::Table(entries) => Some(Self {
                path: self.path(key),
                entries,
            }),
            _ => reader.mistake(&self.path(key), "wants a table"),
        }
    }

    /// An array of tables, at least one.
    pub(super) fn tables<T>(
        &mut self,
        reader: &mut Reader,
        key: &str,
        read: fn(&mut Reader, Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let path = self.path(key);
        let Value::Array(values) = self.take(reader, key)? else {
            return reader.mistake(&path, "wants an array of tables");
        };
        if values.is_empty() {
            return reader.mistake(&path, EMPTY);
        }
        let entries = values
            .into_iter()
            .enumerate()
            .map(|(index, value)| match value {
                Value::Table(entries) => read(
                    reader,
                    Self {
                        path: format!("{path}[{index}]"),
                        entries,
                    },
                ),
                _ => reader.mistake(&format!("{path}[{index}]"), "wants a table"),
            });
        // Read them all before giving up, so that every mistake is found.
        entries.collect::<Vec<_>>().into_iter().collect()
    }

    /// Note every entry of an array that measures what an earlier one does: a transcript could name the one or the other.
    pub(super) fn distinct<T, K: Ord>(
        &self,
        reader: &mut Reader,
        key: &str,
        entries: Option<&[T]>,
        measured: fn(&T) -> K,
    ) {
        let mut first = BTreeMap::new();
        for (index, entry) in entries.unwrap_or_default().iter().enumerate() {
            let earlier = *first.entry(measured(entry)).or_insert(index);
            if earlier != index {
                let text = format!("has the measurements of {key}[{earlier}]");
                self.mistake(reader, &format!("{key}[{index}]"), text);
            }
        }
    }

    pub(super) fn number(
        &mut self,
        reader: &mut Reader,
        key: &str,
        range: RangeInclusive<u32>,
    ) -> Option<u32> {
        let value = self.take(reader, key)?;
        match value
            .as_integer()
            .and_then(|number| u32::try_from(number).ok())
        {
            Some(number) if range.contains(&number) => Some(number),
            _ => {
                let (start, end) = (range.start(), range.end());
                let wanted = if start == end {
                    start.to_string()
                } else {
                    format!("a number from {start} to {end}")
                };
                let seen = seen(&value);
                reader.mistake(&self.path(key), format!("wants {wanted}, not {seen}"))
            }
        }
    }

    /// A text that has one permitted value today.
    pub(super) fn word(&mut self, reader: &mut Reader, key: &str, word: &str) -> Option<()> {
        self.choice(reader, key, &[(word, ())])
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        reader: &mut Reader,
        key: &str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let value = self.take(reader, key)?;
        let chosen = choices
            .iter()
            .find(|(word, _)| value.as_str() == Some(word));
        if let Some((_, meaning)) = chosen {
            return Some(*meaning);
        }
        let words: Vec<_> = choices
            .iter()
            .map(|(word, _)| format!("`{word}`"))
            .collect();
        let (words, seen) = (words.join(" or "), seen(&value));
        reader.mistake(&self.path(key), format!("wants {words}, not {seen}"))
    }

    /// A table from names to texts.
    pub(super) fn map<K: Ord, V>(
        &mut self,
        reader: &mut Reader,
        key: &str,
        parse_key: fn(&str) -> Result<K, String>,
        parse: fn(&str) -> Result<V, String>,
    ) -> Option<BTreeMap<K, V>> {
        let table = self.table(reader, key)?;
        let entries = table.entries.iter().map(|(name, value)| {
            let path = table.path(name);
            let name = match parse_key(name) {
                Ok(name) => Some(name),
                Err(mistake) => reader.mistake(&path, mistake),
            };
            name.zip(text(reader, &path, value, parse))
        });
        entries.collect::<Vec<_>>().into_iter().collect()
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    pub(super) fn value<T>(
        &mut self,
        reader: &mut Reader,
        key: &str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = self.take(reader, key)?;
        text(reader, &self.path(key), &value, parse)
    }

    pub(super) fn set<T: Ord>(
        &mut self,
        reader: &mut Reader,
        key: &str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Option<BTreeSet<T>> {
        let value = self.take(reader, key)?;
        set(reader, &self.path(key), value, parse)
    }

    /// A list of what is allowed, of which an empty one admits nobody.
    pub(super) fn list<T: Ord>(
        &mut self,
        reader: &mut Reader,
        key: &str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Option<BTreeSet<T>> {
        let values = self.set(reader, key, parse)?;
        some(reader, &self.path(key), values)
    }

    pub(super) fn any_or_list<T: Ord>(
        &mut self,
        reader: &mut Reader,
        key: &str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Option<Allowed<T>> {
        self.word_or_list(reader, key, "any", parse)
    }

    /// A list, or the word that stands for [`Allowed::Any`] in its place.
    pub(super) fn word_or_list<T: Ord>(
        &mut self,
        reader: &mut Reader,
        key: &str,
        word: &str,
        parse: fn(&str) -> Result<T, String>,
    ) -> Option<Allowed<T>> {
        match self.take(reader, key)? {
            Value::String(text) if text == word => Some(Allowed::Any),
            value @ Value::Array(_) => {
                let path = self.path(key);
                let values = set(reader, &path, value, parse)?;
                some(reader, &path, values).map(Allowed::Listed)
            }
            value => {
                let seen = seen(&value);
                reader.mistake(
                    &self.path(key),
                    format!("wants a list or `{word}`, not {seen}"),
                )
            }
        }
    }

    fn take(&mut self, reader: &mut Reader, key: &str) -> Option<Value> {
        match self.entries.remove(key) {
            Some(value) => Some(value),
            None => reader.mistake(&self.path(key), "missing"),
        }
    }

    fn path(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

fn set<T: Ord>(
    reader: &mut Reader,
    path: &str,
    value: Value,
    parse: fn(&str) -> Result<T, String>,
) -> Option<BTreeSet<T>> {
    let Value::Array(values) = value else {
        return reader.mistake(path, format!("wants a list, not {}", seen(&value)));
    };
    let values = values.iter().enumerate();
    let parsed =
        values.map(|(index, value)| text(reader, &format!("{path}[{index}]"), value, parse));
    parsed.collect::<Vec<_>>().into_iter().collect()
}

/// A value as a person finds it again.
fn seen(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let beginning = one_line_of(text.chars().take(SEEN_CHARACTERS_MAX));
            let more = if text.chars().count() > SEEN_CHARACTERS_MAX {
                "…"
            } else {
                ""
            };
            format!("`{beginning}{more}`")
        }
        Value::Integer(number) => number.to_string(),
        other => match other.type_str() {
            kind @ "array" => format!("an {kind}"),
            kind => format!("a {kind}"),
        },
    }
}

/// What is not empty.
fn some<T>(reader: &mut Reader, path: &str, values: BTreeSet<T>) -> Option<BTreeSet<T>> {
    if values.is_empty() {
        return reader.mistake(path, EMPTY);
    }
    Some(values)
}

/// What a template has where only its user knows the value. Never a value, not even where any text would be one.
const BLANK: &str = "FILL-IN";

fn text<T>(
    reader: &mut Reader,
    path: &str,
    value: &Value,
    parse: fn(&str) -> Result<T, String>,
) -> Option<T> {
    let parsed = match value.as_str() {
        None => Err("wants a text".to_owned()),
        Some(BLANK) => Err("is still to be filled in".to_owned()),
        Some(text) => parse(text),
    };
    match parsed {
        Ok(value) => Some(value),
        Err(mistake) => reader.mistake(path, mistake),
    }
}
