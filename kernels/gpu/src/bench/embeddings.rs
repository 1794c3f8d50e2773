//! Texts a second through the executor, tokenising and both copies included, beside sentence-transformers with the same
//! texts all at once, in the best of its batch sizes, in binary32 and in binary16.

use anyhow::Result;

use super::executor::time;
use super::torch_peer::Torch;
use super::{Rows, median, rate, real};
use crate::child::spawn;
use crate::device::Device;
use crate::works::{embed_texts, text_of};

/// A name, and how many words the text of a number has: the script of the peer has the same.
type Mix = (&'static str, fn(usize) -> usize);
const MIXES: [Mix; 3] = [
    ("8 words", |_| 8),
    ("1 to 250 words", |number| 1 + number * 37 % 250),
    ("250 words", |_| 250),
];
/// Texts in a task, and tasks in a batch.
const TEXTS: usize = 256;
const TASKS: usize = 16;
const SAMPLES: usize = 20;
const TEXTS_QUICK: usize = 4;

pub(super) fn run(rows: &mut Rows, device: &Device, torch: &Torch, quick: bool) -> Result<()> {
    if device.model.is_none() {
        eprintln!("   embed: SKIPPED, no --model is given");
        return Ok(());
    }
    let mut child = spawn(device)?;
    let (texts, tasks, samples) = if quick {
        (TEXTS_QUICK, 2, 1)
    } else {
        (TEXTS, TASKS, SAMPLES)
    };
    for (name, words_of) in MIXES {
        let work = |task: usize| {
            let numbers = task * texts..(task + 1) * texts;
            embed_texts(numbers.map(|number| text_of(number, words_of(number))))
        };
        let works: Vec<_> = (0..tasks).map(work).collect::<Result<_>>()?;
        time(&mut child, &works)?;
        let times = (0..samples).map(|_| time(&mut child, &works));
        let took = median(times.collect::<Result<_>>()?);
        let texts_per_s = rate(real(texts * tasks), took);
        for precision in ["binary32", "binary16"] {
            let peer = torch.texts_per_s(name, precision);
            rows.add(
                "embed",
                &format!("{} texts of {name}", texts * tasks),
                format!("{texts_per_s:.0} texts/s"),
                peer.map_or_else(
                    || format!("no sentence-transformers, {precision}"),
                    |peer| format!("sentence-transformers, {precision}: {peer:.0} texts/s"),
                ),
                peer.map(|peer| texts_per_s / peer),
            );
        }
    }
    Ok(())
}
