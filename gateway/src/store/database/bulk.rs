//! Statements that write many rows alike. Their texts are made once: PostgreSQL's takes all rows as arrays, SQLite's some at a
//! time, because for each statement it opens the table with all of its indexes, which costs more than a row does.
//!
//! Of a statement that fails half-way SQLite would undo the first half, and keeps a copy of every page that it touches for that.
//! With OR FAIL a change does not: whatever fails takes its operation along, which is undone as a whole. An insert with given keys
//! does so always.

use std::fmt::Write;
use std::sync::OnceLock;

/// Rows of one of SQLite's statements, where they do not follow one another: with more there is little left to gain, and more are left over to go one by one.
pub(super) const SOME: usize = 32;

/// The same statement for one row, for [`SOME`], and for any number.
#[derive(Debug)]
pub(in super::super) struct Texts {
    pub(in super::super) one: String,
    pub(in super::super) some: String,
    pub(super) all: String,
}

/// Rows for a table.
#[derive(Debug)]
pub(in super::super) struct Insert {
    table: &'static str,
    /// Each with PostgreSQL's name for its type.
    columns: &'static [(&'static str, &'static str)],
    /// What stands in other columns of every row.
    constants: &'static [(&'static str, &'static str)],
    ending: &'static str,
    texts: OnceLock<Texts>,
}

impl Insert {
    pub(in super::super) const fn new(
        table: &'static str,
        columns: &'static [(&'static str, &'static str)],
        constants: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self {
            table,
            columns,
            constants,
            ending: "",
            texts: OnceLock::new(),
        }
    }

    /// A row that is there already stays as it is.
    pub(in super::super) const fn unless_there(
        table: &'static str,
        columns: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self {
            table,
            columns,
            constants: &[],
            ending: " ON CONFLICT DO NOTHING",
            texts: OnceLock::new(),
        }
    }

    pub(in super::super) fn texts(&self) -> &Texts {
        self.texts.get_or_init(|| Texts {
            one: self.values(1),
            some: self.values(SOME),
            all: self.arrays(),
        })
    }

    fn head(&self) -> String {
        let columns = self.columns.iter().chain(self.constants);
        let columns: Vec<_> = columns.map(|(name, _)| *name).collect();
        format!("INSERT INTO {} ({})", self.table, columns.join(", "))
    }

    fn values(&self, rows: usize) -> String {
        let mut parameters = 1..;
        let mut row = || {
            let given = parameters.by_ref().take(self.columns.len());
            let given = given.map(|number| format!("?{number}"));
            let constants = self.constants.iter().map(|(_, value)| (*value).to_owned());
            let row: Vec<_> = given.chain(constants).collect();
            format!("({})", row.join(", "))
        };
        let rows: Vec<_> = (0..rows).map(|_| row()).collect();
        format!("{} VALUES {}{}", self.head(), rows.join(", "), self.ending)
    }

    fn arrays(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
        let constants = self.constants.iter().map(|(_, value)| *value);
        let selected: Vec<_> = names.iter().copied().chain(constants).collect();
        let mut arrays = Vec::with_capacity(names.len());
        for (number, (_, kind)) in (1..).zip(self.columns) {
            arrays.push(format!("?{number}::{kind}[]"));
        }
        format!(
            "{} SELECT {} FROM unnest({}) AS given ({}){}",
            self.head(),
            selected.join(", "),
            arrays.join(", "),
            names.join(", "),
            self.ending
        )
    }
}

/// A change of one row, of a run of rows whose keys follow one another, of [`SOME`], and of any number.
#[derive(Debug)]
pub(in super::super) struct ChangeTexts {
    pub(in super::super) one: String,
    pub(in super::super) run: String,
    pub(super) some: String,
    pub(super) all: String,
}

/// One change of many rows, found by their keys. Tasks that come together have keys that follow one another, and SQLite goes from
/// one such row to the next. For scattered ones it makes a table of the keys: cheap for some at a time.
#[derive(Debug)]
pub(in super::super) struct Change {
    /// As far as the name of the key, with which it ends. Its arguments are the same for every row.
    text: &'static str,
    arguments: usize,
    texts: OnceLock<ChangeTexts>,
}

impl Change {
    pub(in super::super) const fn new(text: &'static str, arguments: usize) -> Self {
        Self {
            text,
            arguments,
            texts: OnceLock::new(),
        }
    }

    pub(in super::super) fn texts(&self) -> &ChangeTexts {
        self.texts.get_or_init(|| {
            let first = self.arguments.saturating_add(1);
            let second = first.saturating_add(1);
            let many = self.text.replacen("UPDATE ", "UPDATE OR FAIL ", 1);
            let mut some = format!("{many} IN (?{first}");
            for number in (second..).take(SOME.saturating_sub(1)) {
                // A String takes whatever is written.
                let _ = write!(some, ", ?{number}");
            }
            ChangeTexts {
                one: format!("{} = ?{first}", self.text),
                run: format!("{many} BETWEEN ?{first} AND ?{second}"),
                some: some + ")",
                all: format!("{} = ANY (?{first}::bigint[])", self.text),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_values_or_arrays() {
        const COLUMNS: &[(&str, &str)] = &[("task", "bigint"), ("text", "text")];
        static NOTE: Insert = Insert::new("notes", COLUMNS, &[("state", "'new'")]);
        static ONCE: Insert = Insert::unless_there("notes", COLUMNS);
        let texts = NOTE.texts();
        assert_eq!(
            texts.one,
            "INSERT INTO notes (task, text, state) VALUES (?1, ?2, 'new')"
        );
        assert_eq!(
            texts.all,
            "INSERT INTO notes (task, text, state) SELECT task, text, 'new' \
             FROM unnest(?1::bigint[], ?2::text[]) AS given (task, text)"
        );
        let some = &texts.some;
        assert!(some.starts_with("INSERT INTO notes"), "{some}");
        assert!(
            some.ends_with("(?61, ?62, 'new'), (?63, ?64, 'new')"),
            "{some}"
        );
        assert_eq!(
            ONCE.texts().one,
            "INSERT INTO notes (task, text) VALUES (?1, ?2) ON CONFLICT DO NOTHING"
        );
    }

    #[test]
    fn keys_come_behind_what_is_the_same_for_all() {
        static FINISH: Change = Change::new("UPDATE tasks SET finished_ms = ?1 WHERE number", 1);
        let texts = FINISH.texts();
        assert_eq!(
            texts.one,
            "UPDATE tasks SET finished_ms = ?1 WHERE number = ?2"
        );
        assert_eq!(
            texts.all,
            "UPDATE tasks SET finished_ms = ?1 WHERE number = ANY (?2::bigint[])"
        );
        let some = "UPDATE OR FAIL tasks SET finished_ms = ?1 WHERE number IN (?2, ?3, ";
        assert!(texts.some.starts_with(some), "{}", texts.some);
        assert!(texts.some.ends_with(", ?33)"), "{}", texts.some);
        assert_eq!(
            texts.run,
            "UPDATE OR FAIL tasks SET finished_ms = ?1 WHERE number BETWEEN ?2 AND ?3"
        );
    }
}
