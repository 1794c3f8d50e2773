//! The migrations, in each database's own words.

use std::borrow::Cow;

/// In order; a released one is never edited.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_initial.sql"),
    include_str!("migrations/0002_blob_sums.sql"),
    include_str!("migrations/0003_flows_end.sql"),
    include_str!("migrations/0004_counts_of_flows.sql"),
    include_str!("migrations/0005_fewer_indexes.sql"),
    include_str!("migrations/0006_batches_counted.sql"),
];

/// What the two databases call the same thing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    /// A key that the database gives out.
    key: &'static str,
    /// A key that the gateway gives out.
    row_key: &'static str,
    integer: &'static str,
    bytes: &'static str,
    table: &'static str,
    /// A table that is its primary key's index.
    keyed_table: &'static str,
}

pub(super) const SQLITE: Dialect = Dialect {
    key: "INTEGER PRIMARY KEY",
    row_key: "INTEGER PRIMARY KEY",
    integer: "INTEGER",
    bytes: "BLOB",
    table: "STRICT",
    keyed_table: "STRICT, WITHOUT ROWID",
};

pub(super) const POSTGRES: Dialect = Dialect {
    key: "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
    row_key: "BIGINT PRIMARY KEY",
    integer: "BIGINT",
    bytes: "BYTEA",
    table: "",
    keyed_table: "",
};

/// How many migrations this gateway knows.
pub(super) const VERSION: usize = MIGRATIONS.len();

/// Those that a database which has seen `seen` of them still needs.
pub(super) fn migrations(dialect: Dialect, seen: usize) -> impl Iterator<Item = String> {
    MIGRATIONS
        .iter()
        .skip(seen)
        .map(move |migration| dialect.write(migration))
}

impl Dialect {
    fn write(self, migration: &str) -> String {
        let words = [
            ("{key}", self.key),
            ("{row_key}", self.row_key),
            ("{integer}", self.integer),
            ("{bytes}", self.bytes),
            ("{table}", self.table),
            ("{keyed_table}", self.keyed_table),
        ];
        let written = words
            .iter()
            .fold(Cow::Borrowed(migration), |text, (word, own)| {
                Cow::Owned(text.replace(word, own))
            });
        written.into_owned()
    }
}
