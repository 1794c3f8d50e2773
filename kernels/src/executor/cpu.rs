//! The executor of a worker without a GPU: the CPU definitions, one work after another; texts of neighbouring works together.

use std::io;
use std::path::Path;
use std::sync::Arc;

use protocol::Sha256Digest;

use super::{Answer, Executor, ExecutorKind, Fault, Identity, PlacedWork};
use crate::embed::{Model, ModelError};
use crate::module;
use crate::operations::{self, embed};

/// Runs the CPU definitions of [`operations`].
#[derive(Debug, Clone)]
pub struct CpuExecutor {
    module_digest: Sha256Digest,
    model: Option<Arc<Model>>,
}

/// Why there is no executor on the CPU.
#[derive(Debug, thiserror::Error)]
pub enum CpuStartError {
    #[error("the running executable cannot be read")]
    Executable(#[source] io::Error),
    #[error("the model cannot be used")]
    Model(#[source] ModelError),
}

impl CpuExecutor {
    /// Of the running executable, with the model in this folder if there is one.
    pub fn start(model: Option<&Path>) -> Result<Self, CpuStartError> {
        let digest = module::executable_digest().map_err(CpuStartError::Executable)?;
        let executor = Self::new(digest);
        match model.map(Model::open) {
            Some(Ok(model)) => Ok(executor.with_model(model)),
            Some(Err(error)) => Err(CpuStartError::Model(error)),
            None => Ok(executor),
        }
    }

    /// `module_digest` is that of the running executable, see [`crate::module::executable_digest`].
    #[must_use]
    pub const fn new(module_digest: Sha256Digest) -> Self {
        Self {
            module_digest,
            model: None,
        }
    }

    /// With the model that `embed` computes with.
    #[must_use]
    pub fn with_model(self, model: Model) -> Self {
        // Makes the threads that texts are shared out to, before a sandbox may forbid to make any.
        let _ = rayon::current_num_threads();
        Self {
            model: Some(Arc::new(model)),
            ..self
        }
    }
}

impl Executor for CpuExecutor {
    fn identity(&self) -> Identity {
        Identity {
            kind: ExecutorKind::Cpu,
            module_digest: self.module_digest,
            model_digest: self.model.as_deref().map(Model::digest),
            in_order: true,
            device: None,
            libraries: Vec::new(),
        }
    }

    fn run(&mut self, works: &mut [PlacedWork<'_>], answer: Answer<'_>) {
        let mut first = 0;
        let has_model = |work: &PlacedWork<'_>| work.call.operation().model().is_some();
        for works in works.chunk_by_mut(|a, b| has_model(a) == has_model(b)) {
            let count = works.len();
            match &self.model {
                Some(model) if works.first().is_some_and(has_model) => {
                    embed_together(model, first, works, answer);
                }
                _ => one_by_one(first, works, answer),
            }
            first += count;
        }
    }
}

fn one_by_one(first: usize, works: &mut [PlacedWork<'_>], answer: Answer<'_>) {
    for (index, work) in (first..).zip(works) {
        let outcome = operations::run(&work.call, &work.inputs, work.output);
        answer(index, outcome.map_err(|error| Fault::of_task(&error)));
    }
}

fn embed_together(model: &Model, first: usize, works: &mut [PlacedWork<'_>], answer: Answer<'_>) {
    let mut group = embed::Group::default();
    for (index, work) in (first..).zip(works) {
        match embed::tokens(&model.tokenizer, &work.inputs) {
            Ok(texts) => group.push(index, texts, work.output),
            Err(error) => answer(index, Err(Fault::of_task(&error))),
        }
        if group.is_full() {
            std::mem::take(&mut group).finish(model, |index| answer(index, Ok(())));
        }
    }
    group.finish(model, |index| answer(index, Ok(())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::embed::encoder;
    use crate::embed::tests::{HIDDEN, model};
    use protocol::catalogue::Call;
    use serde_json::json;

    fn call(operation: &str, input_bytes: &[u64]) -> Call {
        let parameters = match operation {
            "embed" => json!({"model": "all-MiniLM-L6-v2"}),
            _ => json!({}),
        };
        let parameters = serde_json::from_value(parameters).unwrap();
        Call::parse(operation, 1, &parameters, input_bytes).unwrap()
    }

    /// The outcome of each work, which has its output behind it.
    fn outcomes(
        executor: &mut CpuExecutor,
        works: &[(&str, &[&[u8]])],
    ) -> Vec<(Result<(), Fault>, Vec<u8>)> {
        let mut outputs: Vec<_> = works
            .iter()
            .map(|(operation, inputs)| match *operation {
                "embed" => vec![0; inputs.len() * (HIDDEN * 4 + 4)],
                _ => vec![0; inputs.len() * 32],
            })
            .collect();
        let placed = works.iter().zip(&mut outputs);
        let placed = placed.map(|((operation, inputs), output)| PlacedWork {
            call: call(operation, &vec![1; inputs.len()]),
            inputs: inputs.to_vec(),
            output,
        });
        let mut seen = vec![None; works.len()];
        executor.run(&mut placed.collect::<Vec<_>>(), &mut |index, outcome| {
            assert_eq!(seen[index].replace(outcome), None, "work {index} twice");
        });
        seen.into_iter().map(Option::unwrap).zip(outputs).collect()
    }

    #[test]
    fn texts_of_several_works_are_computed_together_and_one_bad_text_spoils_its_own_work_alone() {
        let mut executor = CpuExecutor::new(Sha256Digest::of(b"")).with_model(model());
        let long = "zebra ".repeat(300);
        let many = vec![long.as_bytes(); 70];
        let works: &[(&str, &[&[u8]])] = &[
            ("embed", &[b"a", b"ab c"]),
            ("embed", &[b"a", b"\xff"]),
            ("sha256_batch", &[b"a"]),
            ("embed", &many),
            ("embed", &[b""]),
        ];
        let seen = outcomes(&mut executor, works);
        let fault = "text 1 cannot be read: the text is not UTF-8: byte 0 begins no character";
        assert_eq!(seen[1].0, Err(Fault::Task(fault.to_owned())));
        assert_eq!(seen[2].1, Sha256Digest::of(b"a").as_bytes());
        let model = model();
        for index in [0, 3, 4] {
            let texts = embed::tokens(&model.tokenizer, works[index].1).unwrap();
            let mut wanted = vec![0; seen[index].1.len()];
            embed::write(&mut wanted, &encoder::embed(&model, &texts), &texts);
            let (numbers, counts) = wanted.split_at(texts.len() * HIDDEN * 4);
            let (got_numbers, got_counts) = seen[index].1.split_at(numbers.len());
            assert_eq!((&seen[index].0, got_counts), (&Ok(()), counts));
            let number = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes);
            let pairs = got_numbers.as_chunks().0.iter().zip(numbers.as_chunks().0);
            for (got, wanted) in pairs {
                assert!((number(got) - number(wanted)).abs() < 1e-5, "work {index}");
            }
        }
        assert_eq!(seen[4].1[HIDDEN * 4..], 2_u32.to_le_bytes());
    }

    #[test]
    fn without_a_model_embed_is_refused() {
        let mut executor = CpuExecutor::new(Sha256Digest::of(b""));
        assert_eq!(executor.identity().model_digest, None);
        let mut output = vec![0; 385 * 4];
        let work = PlacedWork {
            call: call("embed", &[1]),
            inputs: vec![b"a"],
            output: &mut output,
        };
        let mut seen = None;
        executor.run(&mut [work], &mut |_, outcome| seen = Some(outcome));
        let fault = Fault::Task("this executor was started without a model".to_owned());
        assert_eq!(seen, Some(Err(fault)));
    }
}
