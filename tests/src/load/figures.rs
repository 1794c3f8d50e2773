//! What a run found: one list, printed as a table or as JSON.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context, Result};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde_json::{Map, Value};

use super::clock::ms;

/// Figures in the order in which they are shown.
#[derive(Debug, Default)]
pub(super) struct Figures(Vec<Figure>);

#[derive(Debug)]
struct Figure {
    /// The member's name in JSON, unit last.
    name: String,
    what: String,
    value: f64,
    target: Option<Target>,
}

/// What a figure is to be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }

    fn shown(self, value: f64) -> String {
        let (sign, bound) = match self {
            Self::AtLeast(bound) => ("≥", bound),
            Self::AtMost(bound) => ("≤", bound),
        };
        let verdict = if self.is_met(value) { "met" } else { "MISSED" };
        format!("{sign} {}: {verdict}", number(bound))
    }
}

impl Figures {
    pub(super) fn add(&mut self, name: &str, what: &str, value: f64) {
        self.push(name, what, value, None);
    }

    pub(super) fn add_with_target(&mut self, name: &str, what: &str, value: f64, target: Target) {
        self.push(name, what, value, Some(target));
    }

    fn push(&mut self, name: &str, what: &str, value: f64, target: Option<Target>) {
        self.0.push(Figure {
            name: name.to_owned(),
            what: what.to_owned(),
            value,
            target,
        });
    }

    /// Prints them on standard output.
    pub(super) fn print(&self, json: bool) -> Result<()> {
        let text = if json { self.json()? } else { self.table() };
        writeln!(std::io::stdout(), "{text}").context("cannot print the figures")
    }

    fn json(&self) -> Result<String> {
        let members = self
            .0
            .iter()
            .map(|figure| (figure.name.clone(), Value::from(figure.value)));
        let object: Map<_, _> = members.collect();
        serde_json::to_string_pretty(&object).context("the figures are no JSON")
    }

    fn table(&self) -> String {
        let mut table = Table::new();
        table
            .load_style(presets::ASCII_MARKDOWN)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(["what", "figure", "target"]);
        for figure in &self.0 {
            let target = figure.target.map(|target| target.shown(figure.value));
            table.add_row([
                Cell::new(&figure.what),
                Cell::new(number(figure.value)).set_alignment(CellAlignment::Right),
                Cell::new(target.unwrap_or_default()),
            ]);
        }
        table.to_string()
    }
}

/// Three digits that count, with separators where there are many.
fn number(value: f64) -> String {
    if value.fract() == 0.0 || value >= 1_000.0 {
        return separated(&format!("{value:.0}"));
    }
    match value {
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ if value >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn separated(digits: &str) -> String {
    let mut text = String::new();
    for (position, digit) in digits.char_indices() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Durations of one kind, for their quantiles.
#[derive(Debug)]
pub(super) struct Durations(Vec<Duration>);

impl Durations {
    /// `None`: there are none.
    pub(super) fn new(mut durations: Vec<Duration>) -> Option<Self> {
        durations.sort_unstable();
        (!durations.is_empty()).then_some(Self(durations))
    }

    /// The shortest duration that at least so many of a hundred do not exceed.
    pub(super) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.0.len() * percent).div_ceil(100).max(1);
        let at = self.0.get(rank - 1).or(self.0.last());
        at.copied().unwrap_or_default()
    }

    /// Median, 90th, 99th percentile and the longest, in milliseconds.
    pub(super) fn add_to(
        &self,
        figures: &mut Figures,
        name: &str,
        what: &str,
        targets: [Option<Target>; 4],
    ) {
        let shown = [("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)];
        for ((label, percent), target) in shown.into_iter().zip(targets) {
            let name = format!("{name}_{label}_ms");
            let what = format!("{what}, {label}, ms");
            figures.push(&name, &what, ms(self.percentile(percent)), target);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        let shown = [0.0451, 1.234, 45.67, 456.7, 12_345.6, 1_000_000.0, 10.0].map(number);
        let wanted = ["0.045", "1.23", "45.7", "457", "12,346", "1,000,000", "10"];
        assert_eq!(shown, wanted);
    }

    #[test]
    fn a_percentile_is_a_duration_that_was_seen() {
        let ms = Duration::from_millis;
        let durations = Durations::new((1..=200).rev().map(ms).collect()).unwrap();
        assert_eq!(
            [50, 99, 100].map(|percent| durations.percentile(percent)),
            [ms(100), ms(198), ms(200)]
        );
        let one = Durations::new(vec![ms(7)]).unwrap();
        assert_eq!((one.percentile(50), one.percentile(100)), (ms(7), ms(7)));
        assert!(Durations::new(Vec::new()).is_none());
    }

    #[test]
    fn a_target_that_is_missed_says_so() {
        assert_eq!(Target::AtMost(80.0).shown(80.0), "≤ 80: met");
        assert_eq!(Target::AtLeast(10_000.0).shown(9_999.0), "≥ 10,000: MISSED");
    }

    #[test]
    fn programs_read_the_same_figures() {
        let mut figures = Figures::default();
        figures.add_with_target(
            "rate",
            "tasks a second",
            12_000.5,
            Target::AtLeast(10_000.0),
        );
        assert_eq!(figures.json().unwrap(), "{\n  \"rate\": 12000.5\n}");
        assert!(
            figures
                .table()
                .contains("| tasks a second | 12,000 | ≥ 10,000: met |"),
            "{}",
            figures.table()
        );
    }
}
