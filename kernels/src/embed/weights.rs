//! The tensors of a model, laid out as the encoder wants them.

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::model::{Dimensions, ModelError};

/// Tensors of the published files that no embedding needs: the numbers 0, 1, 2 …, and the head for another task.
const UNUSED: &[&str] = &[
    "embeddings.position_ids",
    "pooler.dense.weight",
    "pooler.dense.bias",
];

/// Every number of a model.
#[derive(Debug)]
pub struct Weights {
    /// vocabulary × hidden.
    pub words: Vec<f32>,
    /// positions × hidden.
    pub positions: Vec<f32>,
    /// types × hidden; a text alone is of type 0.
    pub types: Vec<f32>,
    pub norm: Norm,
    pub layers: Vec<Layer>,
}

/// One layer.
#[derive(Debug)]
pub struct Layer {
    /// Query, key and value side by side: one product in place of three.
    pub qkv: Dense,
    pub attention_output: Dense,
    pub attention_norm: Norm,
    pub intermediate: Dense,
    pub output: Dense,
    pub output_norm: Norm,
}

/// output = input × weight + bias.
#[derive(Debug)]
pub struct Dense {
    pub inputs: usize,
    pub outputs: usize,
    /// inputs × outputs, row by row: transposed against the file, so that outputs lie side by side.
    pub weight: Vec<f32>,
    pub bias: Vec<f32>,
}

/// Gain and bias of a layer norm.
#[derive(Debug)]
pub struct Norm {
    pub gain: Vec<f32>,
    pub bias: Vec<f32>,
}

impl Weights {
    pub(super) fn parse(bytes: &[u8], dimensions: Dimensions) -> Result<Self, ModelError> {
        let file = SafeTensors::deserialize(bytes).map_err(ModelError::Weights)?;
        let mut tensors = Tensors {
            file,
            read: Vec::new(),
        };
        let Dimensions { hidden, .. } = dimensions;
        let weights = Self {
            words: tensors.matrix(
                "embeddings.word_embeddings.weight",
                dimensions.vocabulary,
                hidden,
            )?,
            positions: tensors.matrix(
                "embeddings.position_embeddings.weight",
                dimensions.positions,
                hidden,
            )?,
            types: tensors.matrix(
                "embeddings.token_type_embeddings.weight",
                dimensions.types,
                hidden,
            )?,
            norm: tensors.norm("embeddings.LayerNorm", hidden)?,
            layers: (0..dimensions.layers)
                .map(|index| tensors.layer(index, dimensions))
                .collect::<Result<_, _>>()?,
        };
        tensors.finish()?;
        Ok(weights)
    }
}

/// A file's tensors, and which of them were read.
struct Tensors<'a> {
    file: SafeTensors<'a>,
    read: Vec<String>,
}

impl Tensors<'_> {
    fn layer(&mut self, index: usize, dimensions: Dimensions) -> Result<Layer, ModelError> {
        let Dimensions {
            hidden,
            intermediate,
            ..
        } = dimensions;
        let name = |part: &str| format!("encoder.layer.{index}.{part}");
        let query_key_value =
            ["query", "key", "value"].map(|part| name(&format!("attention.self.{part}")));
        let attention_output = name("attention.output.dense");
        Ok(Layer {
            qkv: self.dense(&query_key_value, hidden, hidden)?,
            attention_output: self.dense(&[attention_output], hidden, hidden)?,
            attention_norm: self.norm(&name("attention.output.LayerNorm"), hidden)?,
            intermediate: self.dense(&[name("intermediate.dense")], hidden, intermediate)?,
            output: self.dense(&[name("output.dense")], intermediate, hidden)?,
            output_norm: self.norm(&name("output.LayerNorm"), hidden)?,
        })
    }

    /// Several products of the same input, side by side. The file holds outputs × inputs.
    fn dense(
        &mut self,
        names: &[String],
        inputs: usize,
        outputs: usize,
    ) -> Result<Dense, ModelError> {
        let (mut rows, mut bias) = (Vec::new(), Vec::new());
        for name in names {
            rows.extend(self.matrix(&format!("{name}.weight"), outputs, inputs)?);
            bias.extend(self.vector(&format!("{name}.bias"), outputs)?);
        }
        let outputs = bias.len();
        Ok(Dense {
            inputs,
            outputs,
            weight: transposed(&rows, inputs),
            bias,
        })
    }

    fn norm(&mut self, name: &str, columns: usize) -> Result<Norm, ModelError> {
        Ok(Norm {
            gain: self.vector(&format!("{name}.weight"), columns)?,
            bias: self.vector(&format!("{name}.bias"), columns)?,
        })
    }

    fn vector(&mut self, name: &str, columns: usize) -> Result<Vec<f32>, ModelError> {
        self.tensor(name, &[columns])
    }

    fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Result<Vec<f32>, ModelError> {
        self.tensor(name, &[rows, columns])
    }

    fn tensor(&mut self, name: &str, wanted: &[usize]) -> Result<Vec<f32>, ModelError> {
        let view = self
            .file
            .tensor(name)
            .map_err(|_| ModelError::TensorMissing(name.to_owned()))?;
        if view.dtype() != Dtype::F32 {
            return Err(ModelError::TensorType {
                name: name.to_owned(),
                seen: format!("{:?}", view.dtype()),
            });
        }
        if view.shape() != wanted {
            return Err(ModelError::TensorShape {
                name: name.to_owned(),
                seen: view.shape().to_vec(),
                wanted: wanted.to_vec(),
            });
        }
        let numbers = numbers(&view);
        if !numbers.iter().all(|number| number.is_finite()) {
            return Err(ModelError::TensorNumber(name.to_owned()));
        }
        self.read.push(name.to_owned());
        Ok(numbers)
    }

    /// A tensor that was not asked for belongs to another model.
    fn finish(self) -> Result<(), ModelError> {
        let known =
            |name: &str| UNUSED.contains(&name) || self.read.iter().any(|read| read == name);
        match self.file.names().into_iter().find(|name| !known(name)) {
            Some(name) => Err(ModelError::TensorUnknown(name.to_owned())),
            None => Ok(()),
        }
    }
}

fn numbers(view: &TensorView<'_>) -> Vec<f32> {
    let elements = view.data().as_chunks().0.iter();
    elements
        .map(|element| f32::from_le_bytes(*element))
        .collect()
}

/// The matrix with rows of `columns` numbers, with rows and columns exchanged.
fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    let column = |index| matrix.iter().skip(index).step_by(columns).copied();
    (0..columns).flat_map(column).collect()
}
