//! One model, two renderings: sections of named values, as aligned text or as one JSON object.

use std::{
    borrow::Cow,
    fmt::{Display, Write as _},
};

use attestation::{Outcome, one_line};
use clap::builder::styling::{AnsiColor, Style};
use serde_json::{Map, Value, json};

/// Sections of named values, in the order in which they are read.
#[derive(Debug)]
pub(crate) struct Document {
    /// Names the shape of the JSON; a change that breaks a reader changes the number in it.
    schema: &'static str,
    /// What the document is about, where one schema describes several things.
    kind: Option<&'static str>,
    sections: Vec<Section>,
}

/// A heading with its values.
#[derive(Debug)]
pub(crate) struct Section {
    name: Cow<'static, str>,
    fields: Vec<(&'static str, Value)>,
}

impl Document {
    pub(crate) fn new(schema: &'static str, sections: Vec<Section>) -> Self {
        Self {
            schema,
            kind: None,
            sections,
        }
    }

    /// Names what the document is about.
    pub(crate) fn of_kind(self, kind: &'static str) -> Self {
        Self {
            kind: Some(kind),
            ..self
        }
    }

    /// `{"schema": …, "<section>": {"<field>": …}}`.
    pub(crate) fn to_json(&self) -> Value {
        let sections = self.sections.iter().map(|section| {
            let fields: Map<String, Value> = section
                .fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone()))
                .collect();
            (section.name.clone().into_owned(), Value::Object(fields))
        });
        let mut object: Map<String, Value> = Map::new();
        object.insert("schema".to_owned(), json!(self.schema));
        if let Some(kind) = self.kind {
            object.insert("kind".to_owned(), json!(kind));
        }
        object.extend(sections);
        Value::Object(object)
    }

    /// Headings flush left, values aligned under each other.
    pub(crate) fn to_text(&self) -> String {
        let fields = self.sections.iter().flat_map(|section| &section.fields);
        let width = fields.map(|(name, _)| name.len()).max().unwrap_or_default();
        let mut text = String::new();
        for (position, section) in self.sections.iter().enumerate() {
            if position > 0 {
                text.push('\n');
            }
            let _ = writeln!(text, "{}", spaced(&section.name));
            for (name, value) in &section.fields {
                let mut name = spaced(name);
                for line in lines(value) {
                    let _ = writeln!(text, "  {name:width$}  {line}");
                    name.clear();
                }
            }
        }
        text
    }
}

impl Section {
    pub(crate) fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            fields: Vec::new(),
        }
    }

    /// Adds a value; the text shows underscores of the name as spaces.
    pub(crate) fn field(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.fields.push((name, value.into()));
        self
    }

    /// Adds bytes, in hexadecimal.
    pub(crate) fn bytes(self, name: &'static str, bytes: impl AsRef<[u8]>) -> Self {
        self.field(name, hex::encode(bytes))
    }
}

/// Whether colours are shown; words in them are never told apart by colour alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    /// A word in the colour of how it ended.
    pub(crate) fn word(self, outcome: Outcome, word: &str) -> String {
        let style = match outcome {
            Outcome::Pass => AnsiColor::Green.on_default(),
            Outcome::Fail => AnsiColor::Red.on_default().bold(),
            Outcome::Skip => Style::new().dimmed(),
        };
        self.styled(style, word)
    }

    fn styled(self, style: Style, word: &str) -> String {
        if self.0 {
            format!("{style}{word}{style:#}")
        } else {
            word.to_owned()
        }
    }

    /// A word of something that deserves a second look.
    pub(crate) fn warning(self, word: &str) -> String {
        self.styled(AnsiColor::Yellow.on_default(), word)
    }

    /// The outcome itself.
    pub(crate) fn outcome(self, outcome: Outcome) -> String {
        self.word(outcome, &outcome.to_string())
    }
}

/// A number of things, for people.
pub(crate) fn counted<N: Copy + Display + PartialEq + From<u8>>(count: N, thing: &str) -> String {
    if count == N::from(1) {
        format!("1 {thing}")
    } else {
        format!("{count} {thing}s")
    }
}

fn spaced(name: &str) -> String {
    name.replace('_', " ")
}

/// A list of objects has a line for each; anything else has one.
fn lines(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) if values.iter().any(Value::is_object) => {
            values.iter().map(value_text).collect()
        }
        value => vec![value_text(value)],
    }
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Null => "absent".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) if text.is_empty() => "none".to_owned(),
        Value::String(text) => one_line(text),
        Value::Array(values) if values.is_empty() => "none".to_owned(),
        Value::Array(values) => values.iter().map(value_text).collect::<Vec<_>>().join(" "),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| format!("{} {}", spaced(name), value_text(value)))
            .collect::<Vec<_>>()
            .join("; "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    //! Tests of what a value may look like.

    use super::*;

    #[test]
    fn a_list_of_objects_has_a_line_for_each() {
        let entries = json!([{ "subject": "CN=x" }, { "subject": "CN=y" }]);
        let section = Section::new("device").field("certificates", entries);
        assert_eq!(
            Document::new("test/1", vec![section]).to_text(),
            "device\n  certificates  subject CN=x\n                subject CN=y\n"
        );
    }

    #[test]
    fn one_thing_is_not_several() {
        assert_eq!(counted(1_usize, "mistake"), "1 mistake");
        assert_eq!(counted(0_u64, "day"), "0 days");
    }

    #[test]
    fn a_warning_is_yellow_where_there_are_colours() {
        assert_eq!(Paint(true).warning("x"), "\u{1b}[33mx\u{1b}[0m");
        assert_eq!(Paint(false).warning("x"), "x");
    }

    #[test]
    fn a_value_cannot_leave_its_line() {
        let section =
            Section::new("pck_certificate").field("subject", "CN=x\r\nACCEPTED\u{1b}[2J\u{202e}");
        let text = Document::new("test/1", vec![section]).to_text();
        assert_eq!(
            text,
            "pck certificate\n  subject  CN=x\\u{d}\\u{a}ACCEPTED\\u{1b}[2J\\u{202e}\n"
        );
    }
}
