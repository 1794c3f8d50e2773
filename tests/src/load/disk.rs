//! The disk's own latency: what a flush costs there, whoever asks for it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use super::clock::now;
use super::figures::{Durations, Figures};

/// What a small transaction writes.
const PAGE: [u8; 4_096] = [7; 4_096];
/// Enough for a 99th percentile, within two seconds on a slow disk.
const FLUSHES: u64 = 300;

/// Flushes of one page.
pub(super) struct Flushes {
    /// To a file that grows with each, as a new log does: the file's length is flushed, too.
    growing: Durations,
    /// To a file that stays as long as it is, as a log does that is used again.
    in_place: Durations,
}

impl Flushes {
    /// Writes pages and flushes each, while nothing else is under way here.
    pub(super) async fn measure(folder: &Path) -> Result<Self> {
        let path = folder.join("flushes");
        tokio::task::spawn_blocking(move || measure(&path)).await?
    }

    pub(super) fn add_to(&self, figures: &mut Figures) {
        let what = "a flush of this disk, in place";
        self.in_place.add_to(figures, "flush", what, [None; 4]);
        let what = "a flush of this disk, growing";
        self.growing
            .add_to(figures, "flush_growing", what, [None; 4]);
    }
}

fn measure(path: &Path) -> Result<Flushes> {
    let shown = path.display();
    let file = File::create(path).with_context(|| format!("cannot create {shown}"))?;
    let pass = || -> Result<Durations> {
        let flushes: std::io::Result<Vec<_>> =
            (0..FLUSHES).map(|page| flush(&file, page)).collect();
        let flushes = flushes.with_context(|| format!("cannot write {shown}"))?;
        Durations::new(flushes).context("no flush was measured")
    };
    let flushes = Flushes {
        growing: pass()?,
        in_place: pass()?,
    };
    std::fs::remove_file(path).with_context(|| format!("cannot remove {shown}"))?;
    Ok(flushes)
}

fn flush(file: &File, page: u64) -> std::io::Result<Duration> {
    let start = now();
    file.write_all_at(&PAGE, page * 4_096)?;
    file.sync_data()?;
    Ok(start.elapsed())
}
