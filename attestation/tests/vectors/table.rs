//! The conformance table: one line a file, with what was expected and what we say of it.
//!
//! `cargo ci vectors` runs these tests and puts their lines into one table; the mark in front tells it which they are.

/// Opens each line of the table; a tab follows, and stands between the columns.
const MARK: &str = "vector";

/// The rows of one test.
#[derive(Default)]
pub(crate) struct Table {
    rows_count: usize,
    wrong: Vec<String>,
}

impl Table {
    /// Adds a row and prints it.
    pub(crate) fn row(&mut self, file: &str, expected: &str, got: &str, fits: bool) {
        let verdict = if fits { "ok" } else { "WRONG" };
        println!("{MARK}\t{verdict}\t{file}\t{expected}\t{got}");
        self.rows_count += 1;
        if !fits {
            self.wrong
                .push(format!("{file}: expected {expected}, got {got}"));
        }
    }

    /// Ends the table. Fewer rows than expected are a table that looks at too little.
    pub(crate) fn close(self, rows_count_min: usize) {
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
        assert!(
            self.rows_count >= rows_count_min,
            "only {} rows",
            self.rows_count
        );
    }
}
