//! What libFuzzer says of a run: its final statistics and its last line of progress.

use std::fmt;

/// One run in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statistics {
    /// Inputs tried.
    pub(crate) executions: u64,
    /// Inputs tried in a second.
    pub(crate) rate: u64,
    /// Edges of the program's control flow that some input reached.
    pub(crate) coverage: u64,
    /// Inputs kept, because each reaches something that no other does.
    pub(crate) corpus: u64,
}

impl Statistics {
    /// Reads libFuzzer's output. What it does not say is 0.
    pub(crate) fn read(text: &str) -> Self {
        let stat = |name: &str| {
            let line = text.lines().rev().find_map(|line| line.strip_prefix(name));
            line.and_then(|value| value.trim().parse().ok())
                .unwrap_or(0)
        };
        let progress = text
            .lines()
            .rev()
            .find(|line| line.starts_with('#') && line.contains(" cov: "));
        let number_after = |label: &str| {
            let words = progress.unwrap_or_default().split_whitespace();
            let value = words
                .skip_while(|word| *word != label)
                .nth(1)
                .unwrap_or_default();
            // The corpus is shown with its size: `34/120Kb`.
            value
                .split('/')
                .next()
                .and_then(|number| number.parse().ok())
                .unwrap_or(0)
        };
        Self {
            executions: stat("stat::number_of_executed_units:"),
            rate: stat("stat::average_exec_per_sec:"),
            coverage: number_after("cov:"),
            corpus: number_after("corp:"),
        }
    }
}

impl fmt::Display for Statistics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:>9} executions {:>7}/s  coverage {:>6}  corpus {:>5}",
            self.executions, self.rate, self.coverage, self.corpus
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Statistics;

    #[test]
    fn statistics_are_those_of_the_end() {
        let text = "INFO: Seed: 1\n\
            #2\tINITED cov: 40 ft: 41 corp: 1/1b exec/s: 0 rss: 40Mb\n\
            #9000\tDONE   cov: 57 ft: 99 corp: 34/120Kb lim: 4096 exec/s: 900 rss: 50Mb\n\
            Done 9000 runs in 10 second(s)\n\
            stat::number_of_executed_units: 9000\n\
            stat::average_exec_per_sec:     900\n";
        let read = Statistics::read(text);
        let wanted = Statistics {
            executions: 9000,
            rate: 900,
            coverage: 57,
            corpus: 34,
        };
        assert_eq!(read, wanted);
        assert_eq!(
            Statistics::read("Segmentation fault"),
            Statistics::default()
        );
    }
}
