//! The encoder against the definition written out in binary64, on a small model of random numbers; what a model's files
//! must not be; and text of any bytes.

use proptest::prelude::*;
use protocol::Sha256Digest;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

use super::encoder;
use super::model::{Model, ModelError};
use super::tokenizer::TEXT_TOKENS_MAX;

mod definition;

pub(crate) const HIDDEN: usize = 24;
const INTERMEDIATE: usize = 40;
const WORDS: &[&str] = &[
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "c", "##a", "##b", "##c", "ab", "zebra", ",",
];

fn config() -> Value {
    json!({
        "hidden_size": HIDDEN,
        "num_attention_heads": 3,
        "num_hidden_layers": 2,
        "intermediate_size": INTERMEDIATE,
        "vocab_size": WORDS.len(),
        "max_position_embeddings": 300,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "position_embedding_type": "absolute",
        "architectures": ["BertModel"],
    })
}

fn tokenizer() -> Value {
    let vocabulary: serde_json::Map<_, _> = (0_u32..)
        .zip(WORDS)
        .map(|(id, word)| ((*word).to_owned(), id.into()))
        .collect();
    let special = |id: u32, content| {
        json!({"id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false})
    };
    json!({
        "version": "1.0",
        "truncation": {"max_length": 8, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 16}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": [special(0, "[PAD]"), special(1, "[UNK]"), special(2, "[CLS]"), special(3, "[SEP]")],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary},
    })
}

/// A tensor by name.
#[derive(Clone)]
struct Tensor {
    name: String,
    shape: Vec<usize>,
    dtype: Dtype,
    bytes: Vec<u8>,
}

/// Numbers between −0.5 and 0.5 that look random: xorshift (Marsaglia, 2003).
fn noise(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        f32::from(u16::try_from(state >> 16).unwrap()) / 65_536.0 - 0.5
    };
    (0..count).map(|_| next()).collect()
}

fn tensors() -> Vec<Tensor> {
    let mut tensors = Vec::new();
    let mut add = |name: String, shape: &[usize]| {
        let seed = u32::try_from(tensors.len()).unwrap() + 1;
        let numbers = noise(seed, shape.iter().product());
        let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        tensors.push(Tensor {
            name,
            shape: shape.to_vec(),
            dtype: Dtype::F32,
            bytes,
        });
    };
    for (table, rows) in [("word", WORDS.len()), ("position", 300), ("token_type", 2)] {
        add(
            format!("embeddings.{table}_embeddings.weight"),
            &[rows, HIDDEN],
        );
    }
    let mut norms = vec!["embeddings.LayerNorm".to_owned()];
    let mut dense = Vec::new();
    for layer in 0..2 {
        let name = |part: &str| format!("encoder.layer.{layer}.{part}");
        for part in ["self.query", "self.key", "self.value", "output.dense"] {
            dense.push((name(&format!("attention.{part}")), HIDDEN, HIDDEN));
        }
        dense.push((name("intermediate.dense"), INTERMEDIATE, HIDDEN));
        dense.push((name("output.dense"), HIDDEN, INTERMEDIATE));
        norms.push(name("attention.output.LayerNorm"));
        norms.push(name("output.LayerNorm"));
    }
    for norm in norms {
        add(format!("{norm}.weight"), &[HIDDEN]);
        add(format!("{norm}.bias"), &[HIDDEN]);
    }
    for (name, outputs, inputs) in dense {
        add(format!("{name}.weight"), &[outputs, inputs]);
        add(format!("{name}.bias"), &[outputs]);
    }
    add("pooler.dense.bias".to_owned(), &[HIDDEN]);
    tensors
}

fn file(tensors: &[Tensor]) -> Vec<u8> {
    let views = tensors.iter().map(|tensor| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes).unwrap();
        (tensor.name.clone(), view)
    });
    safetensors::serialize(views, None).unwrap()
}

fn parse(config: &Value, tokenizer: &Value, weights: &[u8]) -> Result<Model, ModelError> {
    let [config, tokenizer] = [config, tokenizer].map(|json| serde_json::to_vec(json).unwrap());
    Model::parse(&config, &tokenizer, weights, Sha256Digest::of(b"model"))
}

pub(crate) fn model() -> Model {
    parse(&config(), &tokenizer(), &file(&tensors())).unwrap()
}

fn tokens(model: &Model, texts: &[&str]) -> Vec<Vec<u32>> {
    let tokens = texts
        .iter()
        .map(|text| model.tokenizer.tokens(text.as_bytes()));
    tokens.collect::<Result<_, _>>().unwrap()
}

#[test]
fn the_encoder_is_the_definition() {
    let model = model();
    let long = "zebra a, ".repeat(200);
    let texts = ["ab", "", "a b c", "nothing known", &long, "cab, abba!"];
    let tokens = tokens(&model, &texts);
    let vectors = encoder::embed(&model, &tokens);
    assert_eq!(vectors.len(), texts.len() * HIDDEN);
    for (tokens, got) in tokens.iter().zip(vectors.chunks_exact(HIDDEN)) {
        let wanted = definition::embed(&tensors(), tokens);
        for (got, wanted) in got.iter().zip(wanted) {
            assert!(
                (f64::from(*got) - wanted).abs() < 2e-5,
                "{got} is not {wanted}"
            );
        }
    }
}

#[test]
fn a_texts_vector_is_the_same_whatever_lies_beside_it() {
    let model = model();
    let texts: Vec<_> = (0..150)
        .map(|count| "a zebra, ".repeat(count % 50))
        .collect();
    let texts: Vec<_> = texts.iter().map(String::as_str).collect();
    let tokens = tokens(&model, &texts);
    let together = encoder::embed(&model, &tokens);
    for (index, (tokens, together)) in tokens.iter().zip(together.chunks_exact(HIDDEN)).enumerate()
    {
        let alone = encoder::embed(&model, std::slice::from_ref(tokens));
        for (alone, together) in alone.iter().zip(together) {
            assert!((alone - together).abs() < 1e-5, "text {index}");
        }
    }
    assert!(encoder::embed(&model, &[]).is_empty());
}

#[test]
fn tokens_are_the_tokenizers_and_never_padding() {
    let model = model();
    let all = tokens(&model, &["abc, Zebra", "", "\u{0}\u{fffd} x"]);
    assert_eq!(all[0], [2, 10, 9, 12, 11, 3]);
    assert_eq!(all[1], [2, 3]);
    let long = tokens(&model, &[&"a ".repeat(1_000)]);
    assert_eq!(long[0].len(), TEXT_TOKENS_MAX);
    assert_eq!(long[0].last(), Some(&3));
}

#[test]
fn text_that_is_not_utf_8_is_refused_by_name() {
    let refused = model().tokenizer.tokens(b"ab \xff").unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the text is not UTF-8: byte 3 begins no character"
    );
}

proptest! {
    #[test]
    fn text_of_any_bytes_has_tokens_or_an_error(bytes: Vec<u8>, text: String) {
        let model = model();
        drop(model.tokenizer.tokens(&bytes));
        let count = model.tokenizer.tokens(text.as_bytes()).unwrap().len();
        prop_assert!((2..=TEXT_TOKENS_MAX).contains(&count));
    }
}

#[test]
fn a_configuration_that_the_encoder_cannot_follow_is_refused() {
    for (key, value) in [
        ("hidden_act", json!("relu")),
        ("position_embedding_type", json!("relative_key")),
        ("layer_norm_eps", json!(1e-5)),
        ("hidden_size", json!(0)),
        ("vocab_size", json!(u32::MAX)),
        ("num_attention_heads", json!(5)),
    ] {
        let mut config = config();
        config[key] = value;
        let refused = parse(&config, &tokenizer(), &file(&tensors())).unwrap_err();
        assert!(
            matches!(refused, ModelError::ConfigValue { key: seen, .. } if seen == key),
            "{refused}"
        );
    }
    let refused = parse(&json!({}), &tokenizer(), &[]).unwrap_err();
    assert!(matches!(refused, ModelError::Config(_)));
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let refused = parse(&config(), &json!({}), &[]).unwrap_err();
    assert!(matches!(refused, ModelError::Tokenizer(_)));
    let mut larger = tokenizer();
    larger["model"]["vocab"]["lion"] = json!(WORDS.len());
    let refused = parse(&config(), &larger, &[]).unwrap_err();
    assert!(matches!(
        refused,
        ModelError::Vocabulary {
            token: 13,
            vocabulary: 13
        }
    ));
}

#[test]
fn weights_that_do_not_fit_are_refused_and_named() {
    let refused = |change: &dyn Fn(&mut Vec<Tensor>)| {
        let mut tensors = tensors();
        change(&mut tensors);
        parse(&config(), &tokenizer(), &file(&tensors)).unwrap_err()
    };
    let name = "embeddings.LayerNorm.bias";
    let at = |tensors: &Vec<Tensor>| {
        tensors
            .iter()
            .position(|tensor| tensor.name == name)
            .unwrap()
    };
    let error = refused(&|tensors| drop(tensors.remove(at(tensors))));
    assert!(matches!(error, ModelError::TensorMissing(seen) if seen == name));
    let error = refused(&|tensors| {
        let index = at(tensors);
        tensors[index].shape = vec![2, HIDDEN / 2];
    });
    assert!(matches!(error, ModelError::TensorShape { name: seen, .. } if seen == name));
    let error = refused(&|tensors| {
        let index = at(tensors);
        tensors[index].dtype = Dtype::I32;
    });
    assert!(matches!(error, ModelError::TensorType { name: seen, .. } if seen == name));
    let error = refused(&|tensors| {
        let index = at(tensors);
        tensors[index].bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    assert!(matches!(error, ModelError::TensorNumber(seen) if seen == name));
    let error = refused(&|tensors| {
        let mut more = tensors[0].clone();
        more.name = "encoder.layer.2.output.dense.weight".to_owned();
        tensors.push(more);
    });
    assert!(matches!(error, ModelError::TensorUnknown(seen) if seen.contains("layer.2")));
    let whole = file(&tensors());
    let error = parse(&config(), &tokenizer(), &whole[..whole.len() - 1]).unwrap_err();
    assert!(matches!(error, ModelError::Weights(_)));
}

#[test]
fn a_folder_with_other_files_is_refused_before_anything_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let refused = Model::open(folder.path()).unwrap_err();
    assert!(matches!(refused, ModelError::Read { path, .. } if path.ends_with("config.json")));
    std::fs::write(folder.path().join("config.json"), b"{}").unwrap();
    let refused = Model::open(folder.path()).unwrap_err();
    assert!(matches!(refused, ModelError::Size { wanted: 612, .. }));
    std::fs::write(folder.path().join("config.json"), [b' '; 612]).unwrap();
    let refused = Model::open(folder.path()).unwrap_err();
    assert!(matches!(refused, ModelError::Digest { .. }));
}
