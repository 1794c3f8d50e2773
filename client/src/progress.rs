//! Progress of long work, drawn only where somebody looks: on a terminal, without `--quiet` and `--json`.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressFinish, ProgressStyle};

use crate::terminal::{Style, plain};

const TICK: Duration = Duration::from_millis(120);
const BYTES_TEMPLATE: &str =
    "{msg} [{bar:30}] {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}";
const WAIT_TEMPLATE: &str = "{spinner} {msg} {elapsed}";

/// Bytes out of a known number.
#[must_use]
pub fn of_bytes(style: Style, what: &str, total: u64) -> ProgressBar {
    bar(style, Some(total), BYTES_TEMPLATE, what)
}

/// Waiting for something of unknown length.
#[must_use]
pub fn of_waiting(style: Style, what: &str) -> ProgressBar {
    let bar = bar(style, None, WAIT_TEMPLATE, what);
    if is_shown(style) {
        bar.enable_steady_tick(TICK);
    }
    bar
}

fn bar(style: Style, total: Option<u64>, template: &str, what: &str) -> ProgressBar {
    let target = if is_shown(style) {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    // Its line goes with it, also where the work is given up in the middle.
    let bar = ProgressBar::with_draw_target(total, target).with_finish(ProgressFinish::AndClear);
    // The templates are constants; a mistake in one costs the looks, not the work.
    let look =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(look.progress_chars("=> "));
    bar.set_message(plain(what));
    bar
}

/// Whether progress is drawn at all.
#[must_use]
pub const fn is_shown(style: Style) -> bool {
    style.progress && !style.quiet && !style.json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_well_formed() {
        for template in [BYTES_TEMPLATE, WAIT_TEMPLATE] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }

    #[test]
    fn nothing_is_drawn_where_nobody_looks() {
        assert!(of_bytes(Style::default(), "upload", 1).is_hidden());
        let on_terminal = Style {
            progress: true,
            ..Style::default()
        };
        assert!(is_shown(on_terminal));
        assert!(!is_shown(Style {
            quiet: true,
            ..on_terminal
        }));
        assert!(!is_shown(Style {
            json: true,
            ..on_terminal
        }));
    }
}
