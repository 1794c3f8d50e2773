//! Writes `kernels/tests/known-answers/embed.json` as candle computes it:
//! `cargo run --release --manifest-path kernels/reference/Cargo.toml --bin known-answers`.

use anyhow::Result;
use protocol::catalogue::models::ALL_MINILM_L6_V2;
use reference::{Candle, model_folder, sentences};
use serde_json::json;

const FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../tests/known-answers/embed.json"
);

fn main() -> Result<()> {
    let folder = model_folder()?;
    kernels::embed::model::verify(&folder, &ALL_MINILM_L6_V2)?;
    let candle = Candle::open(&folder)?;
    let mut answers = Vec::new();
    for text in sentences::all() {
        // One by one, so that no padding plays a part.
        let (vectors, counts) = candle.embed(&[&text])?;
        let bytes: Vec<u8> = vectors
            .concat()
            .iter()
            .flat_map(|x| x.to_le_bytes())
            .collect();
        answers.push(json!({"text": text, "tokens": counts[0], "vector": hex::encode(bytes)}));
    }
    let lines: Vec<_> = answers.iter().map(|answer| format!("  {answer}")).collect();
    let head =
        json!({"model": ALL_MINILM_L6_V2.name, "digest": ALL_MINILM_L6_V2.digest().to_string()});
    let head = head.to_string();
    let text = format!(
        "{},\n \"answers\": [\n{}\n]}}\n",
        head.trim_end_matches('}'),
        lines.join(",\n")
    );
    Ok(std::fs::write(FILE, text)?)
}
