//! Texts a second through the executor, tokenising and both copies included, beside sentence-transformers.

use anyhow::Result;

use super::executor::time;
use super::torch_peer::Torch;
use super::{Rows, median, rate, real};
use crate::child::spawn;
use crate::device::Device;
use crate::works::embed;

/// Texts in a task, and words in a text: the script of the peer has the same.
const MIXES: &[(usize, usize)] = &[(32, 8), (256, 30), (256, 250)];
const MIXES_QUICK: &[(usize, usize)] = &[(4, 8)];
/// Tasks in a batch.
const TASKS: usize = 16;
const SAMPLES: usize = 20;

pub(super) fn run(rows: &mut Rows, device: &Device, torch: &Torch, quick: bool) -> Result<()> {
    if device.model.is_none() {
        eprintln!("   embed: SKIPPED, no --model is given");
        return Ok(());
    }
    let mut child = spawn(device)?;
    let (mixes, tasks, samples) = if quick {
        (MIXES_QUICK, 2, 1)
    } else {
        (MIXES, TASKS, SAMPLES)
    };
    for &(count, words) in mixes {
        let works = vec![embed(count, words)?; tasks];
        time(&mut child, &works)?;
        let times = (0..samples).map(|_| time(&mut child, &works));
        let took = median(times.collect::<Result<_>>()?);
        let texts_per_s = rate(real(count * tasks), took);
        let peer = torch.texts_per_s(count, words);
        rows.add(
            "embed",
            &format!("{count} texts of {words} words"),
            format!("{texts_per_s:.0} texts/s"),
            peer.map_or_else(
                || "no sentence-transformers".to_owned(),
                |peer| format!("sentence-transformers {peer:.0} texts/s"),
            ),
            peer.map(|peer| texts_per_s / peer),
        );
    }
    Ok(())
}
