//! Ours against candle on the same files: vectors and token counts, alone and in batches.

use kernels::embed::{Model, encoder};
use reference::{Candle, model_folder, sentences};

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(a, b)| f64::from(*a) * f64::from(*b))
            .sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn vectors_and_token_counts_are_candles() {
    let Ok(folder) = model_folder() else {
        println!("SKIPPED: COCOON_MODEL is not set");
        return;
    };
    let (model, candle) = (
        Model::open(&folder).unwrap(),
        Candle::open(&folder).unwrap(),
    );
    let texts = sentences::all();
    let tokens: Vec<_> = texts
        .iter()
        .map(|text| model.tokenizer.tokens(text.as_bytes()).unwrap())
        .collect();
    let vectors = encoder::embed(&model, &tokens);
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    let (wanted, counts) = candle.embed(&texts).unwrap();
    let mut least = 1.0_f64;
    for (index, got) in vectors.chunks_exact(384).enumerate() {
        assert_eq!(tokens[index].len(), counts[index], "{:?}", texts[index]);
        let cosine = cosine(got, &wanted[index]);
        assert!(cosine >= 0.9999, "{cosine} for {:?}", texts[index]);
        least = least.min(cosine);
    }
    println!("{} texts, cosine at least {least}", texts.len());
    assert!(texts.len() >= 60);
}
