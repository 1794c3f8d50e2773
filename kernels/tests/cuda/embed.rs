//! Texts through the language model on the device, against its CPU definition. The model is the published one, in the folder
//! that `COCOON_MODEL` names.

use std::path::PathBuf;

use kernels::embed::Model;
use kernels::executor::{ExecutorChild, Outcome, Program, Work};
use kernels::operations::embed;
use serde_json::json;

use super::{LIMIT, MODEL, Machine, UUID, alone, clock, digest, digested, run, work};

/// Numbers of a vector.
const HIDDEN: usize = 384;
/// The operation's accuracy against a reference in binary32.
const COSINE_MIN: f64 = 0.9999;

#[expect(
    clippy::disallowed_methods,
    reason = "the model is too large to be part of the sources"
)]
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("COCOON_MODEL").map(PathBuf::from);
    if folder.is_none() {
        println!("SKIPPED: COCOON_MODEL names no folder with the model");
    }
    folder
}

/// A child with the model.
pub(crate) fn spawn(machine: &Machine, model: &std::path::Path) -> ExecutorChild {
    let mut program: Program = machine.program(UUID);
    program.environment.push((MODEL.into(), model.into()));
    ExecutorChild::spawn(&program, clock(), LIMIT).unwrap()
}

pub(crate) fn texts(texts: &[&[u8]]) -> Work {
    work("embed", json!({"model": "all-MiniLM-L6-v2"}), texts)
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes
        .as_chunks()
        .0
        .iter()
        .map(|x| f32::from_le_bytes(*x))
        .collect()
}

fn compare(model: &Model, work: &Work, outcome: &Outcome) {
    let Outcome::Done(output) = outcome else {
        panic!("{outcome:?}")
    };
    let inputs: Vec<&[u8]> = work.inputs().iter().map(AsRef::as_ref).collect();
    let mut wanted = vec![0; output.len()];
    embed::run(model, &inputs, &mut wanted).unwrap();
    let (got, counts) = output.split_at(inputs.len() * HIDDEN * 4);
    let (wanted, wanted_counts) = wanted.split_at(got.len());
    assert_eq!(counts, wanted_counts);
    let (got, wanted) = (floats(got), floats(wanted));
    for (text, (got, wanted)) in got.chunks(HIDDEN).zip(wanted.chunks(HIDDEN)).enumerate() {
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            a.iter()
                .zip(b)
                .map(|(a, b)| f64::from(*a) * f64::from(*b))
                .sum()
        };
        let cosine = dot(got, wanted) / (dot(got, got) * dot(wanted, wanted)).sqrt();
        assert!(cosine >= COSINE_MIN, "text {text}: {cosine}");
        let most = got
            .iter()
            .zip(wanted)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max);
        assert!(most <= 2e-3, "text {text}: {most}");
    }
}

#[test]
fn texts_of_several_works_give_what_the_definition_gives() {
    let Some(folder) = folder() else { return };
    let _turn = alone();
    let model = Model::open(&folder).unwrap();
    let machine = Machine::new("");
    let mut child = spawn(&machine, &folder);
    assert_eq!(child.identity().model_digest, Some(model.digest()));
    let long = "confidential computing ".repeat(200);
    let works = [
        texts(&[
            b"The cat sits on the mat.",
            "Die Katze sitzt auf der Matte. \u{1f408}".as_bytes(),
        ]),
        digest(b"between"),
        texts(&[b"", long.as_bytes(), b"a"]),
        texts(&[b"fine", b"\xff is no UTF-8"]),
        texts(&[b"How do I prove what my machine runs?"]),
    ];
    let (seen, end) = run(&mut child, &works, LIMIT);
    end.unwrap();
    assert_eq!(seen[1], digested(b"between"));
    assert!(
        matches!(&seen[3], Outcome::TaskFault(text) if text.contains("not UTF-8")),
        "{:?}",
        seen[3]
    );
    for index in [0, 2, 4] {
        compare(&model, &works[index], &seen[index]);
    }
}

/// Batches of one shape, with other texts: begun step by step, recorded, replayed. In lazy mode nothing is done before it is
/// waited for.
#[test]
fn batches_that_come_again_are_computed_anew() {
    let Some(folder) = folder() else { return };
    let _turn = alone();
    let model = Model::open(&folder).unwrap();
    let machine = Machine::new("FAKE_CUDA_LAZY=1");
    let mut child = spawn(&machine, &folder);
    for animal in ["cat", "dog", "bird", "fish"] {
        let sentence = format!("The {animal} sleeps.");
        let work = texts(&[sentence.as_bytes(), animal.as_bytes()]);
        let (seen, end) = run(&mut child, std::slice::from_ref(&work), LIMIT);
        end.unwrap();
        compare(&model, &work, &seen[0]);
    }
}

#[test]
fn texts_that_this_gpu_cannot_multiply_are_told_so_and_the_child_goes_on() {
    let Some(folder) = folder() else { return };
    let _turn = alone();
    let model = Model::open(&folder).unwrap();
    let machine = Machine::new("FAKE_CUDA_HEURISTIC=15");
    let mut child = spawn(&machine, &folder);
    let works = [texts(&[b"one", b"two"]), texts(&[b"three"])];
    let (seen, end) = run(&mut child, &works, LIMIT);
    end.unwrap();
    for outcome in seen {
        assert!(matches!(outcome, Outcome::NotHere(_)), "{outcome:?}");
    }
    machine.set("");
    let (seen, end) = run(&mut child, &works, LIMIT);
    end.unwrap();
    for (work, outcome) in works.iter().zip(&seen) {
        compare(&model, work, outcome);
    }
}

#[test]
fn without_a_model_texts_are_refused_and_a_folder_without_one_starts_no_child() {
    let _turn = alone();
    let machine = Machine::new("");
    let mut child = machine.spawn();
    let (seen, end) = run(&mut child, &[texts(&[b"a"])], LIMIT);
    end.unwrap();
    assert!(
        matches!(&seen[0], Outcome::TaskFault(text) if text.contains("no operation")),
        "{seen:?}"
    );
    let mut program = machine.program(UUID);
    program
        .environment
        .push((MODEL.into(), "/nonexistent".into()));
    let refused = ExecutorChild::spawn(&program, clock(), LIMIT).unwrap_err();
    let refused = format!("{refused:?}");
    assert!(
        refused.contains("the model cannot be used: cannot read /nonexistent"),
        "{refused}"
    );
}
