//! Embeddings per second, ours against candle, alternately in one run: `COCOON_MODEL=… cargo bench --manifest-path
//! kernels/reference/Cargo.toml`. Prints a table in Markdown.

use std::time::{Duration, Instant};

use anyhow::Result;
use kernels::embed::{Model, encoder};
use reference::{Candle, model_folder, sentences};
use rustix::time::{ClockId, clock_gettime};

/// Each side of each mix is repeated for at least this long.
const MEASURE: Duration = Duration::from_secs(4);
/// The sides take turns, so that a change of the machine's clock meets both.
const TURNS: u32 = 4;

struct Spent {
    wall: Duration,
    cpu: Duration,
    texts: usize,
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}

fn measure(spent: &mut Spent, texts: usize, mut run: impl FnMut() -> Result<()>) -> Result<()> {
    let (wall, cpu) = (Instant::now(), cpu_time());
    while wall.elapsed() < MEASURE / TURNS {
        run()?;
        spent.texts += texts;
    }
    spent.wall += wall.elapsed();
    spent.cpu += cpu_time().saturating_sub(cpu);
    Ok(())
}

fn ours(model: &Model, texts: &[&str]) -> Result<()> {
    let tokens = texts
        .iter()
        .map(|text| model.tokenizer.tokens(text.as_bytes()));
    let tokens = tokens.collect::<Result<Vec<_>, _>>()?;
    std::hint::black_box(encoder::embed(model, &tokens));
    Ok(())
}

fn mixes() -> Vec<(&'static str, Vec<String>)> {
    let sentences = || {
        sentences::SHORT
            .iter()
            .skip(2)
            .map(|text| (*text).to_owned())
    };
    let long = sentences::SHORT.join(" ");
    let words: Vec<_> = "the quick brown fox jumps over the lazy dog and runs into the dark forest"
        .split(' ')
        .cycle()
        .take(250)
        .collect();
    let of_words = |count: usize| words[..count].join(" ");
    vec![
        ("1 text of 16 tokens", vec![of_words(14)]),
        ("1 text of 252 tokens", vec![of_words(250)]),
        ("32 texts of 16 tokens", vec![of_words(14); 32]),
        ("32 texts of 128 tokens", vec![of_words(126); 32]),
        ("8 texts of 252 tokens", vec![of_words(250); 8]),
        (
            "58 sentences, 5 to 60 tokens",
            sentences().take(58).collect(),
        ),
        (
            "58 sentences and 2 of 256 tokens",
            sentences().take(58).chain([long.clone(), long]).collect(),
        ),
    ]
}

fn main() -> Result<()> {
    let folder = model_folder()?;
    let (model, candle) = (Model::open(&folder)?, Candle::open(&folder)?);
    println!("| mix | ours/s | candle/s | ratio | CPU ms each, ours | candle |");
    println!("|---|---|---|---|---|---|");
    for (name, texts) in mixes() {
        let texts: Vec<_> = texts.iter().map(String::as_str).collect();
        let none = || Spent {
            wall: Duration::ZERO,
            cpu: Duration::ZERO,
            texts: 0,
        };
        let (mut own, mut other) = (none(), none());
        for _ in 0..TURNS {
            measure(&mut own, texts.len(), || ours(&model, &texts))?;
            measure(&mut other, texts.len(), || candle.embed(&texts).map(drop))?;
        }
        let rate = |spent: &Spent| {
            f64::from(u32::try_from(spent.texts).unwrap_or(u32::MAX)) / spent.wall.as_secs_f64()
        };
        let cpu = |spent: &Spent| {
            spent.cpu.as_secs_f64() * 1e3
                / f64::from(u32::try_from(spent.texts).unwrap_or(u32::MAX))
        };
        println!(
            "| {name} | {:.1} | {:.1} | {:.2} | {:.2} | {:.2} |",
            rate(&own),
            rate(&other),
            rate(&own) / rate(&other),
            cpu(&own),
            cpu(&other)
        );
    }
    Ok(())
}
