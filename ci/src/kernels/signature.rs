//! The kernels' signatures as the sources write them: names and types of parameters, which machine code does not know.

use anyhow::{Context, Result, bail};

use super::manifest::{Kind, Parameter};

/// One kernel of a source.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) name: String,
    pub(crate) parameters: Vec<Parameter>,
}

/// What opens the declaration of a kernel; its attributes, name and parameters follow.
const MARK: &str = "extern \"C\" __global__ void ";
const BOUNDS: &str = "__launch_bounds__(";

pub(crate) fn signatures(source: &str) -> Result<Vec<Signature>> {
    source.split(MARK).skip(1).map(signature).collect()
}

fn signature(declaration: &str) -> Result<Signature> {
    let declaration = match declaration.strip_prefix(BOUNDS) {
        Some(bounds) => bounds.split_once(") ").context("bounds without an end")?.1,
        None => declaration,
    };
    let (name, rest) = declaration
        .split_once('(')
        .context("a kernel without parameters")?;
    let (parameters, _) = rest.split_once(')').context("parameters without an end")?;
    let parameters = parameters.split(',').map(parameter).collect::<Result<_>>();
    Ok(Signature {
        name: name.to_owned(),
        parameters: parameters.with_context(|| format!("kernel {name}"))?,
    })
}

fn parameter(text: &str) -> Result<Parameter> {
    let words: Vec<_> = text.split_whitespace().collect();
    let (name, kind) = words.split_last().context("an empty parameter")?;
    let kind = kind.join(" ").replace(" __restrict__", "");
    let kind = match kind.as_str() {
        pointer if pointer.ends_with('*') => Kind::Pointer,
        "u32" => Kind::U32,
        "u64" => Kind::U64,
        "float" => Kind::F32,
        other => bail!("the type of `{name}` is `{other}`, which no launch knows"),
    };
    Ok(Parameter::new((*name).to_owned(), kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_types_are_read() {
        let source = "extern \"C\" __global__ void __launch_bounds__(a::B * C, 2) saxpy(\n    float alpha, const float* \
             __restrict__ x,\n    u32* out, u64 count) {\n}\n";
        let wanted = [
            ("alpha", Kind::F32),
            ("x", Kind::Pointer),
            ("out", Kind::Pointer),
            ("count", Kind::U64),
        ];
        let seen = signatures(source).unwrap();
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].name, "saxpy");
        assert_eq!(
            seen[0].parameters,
            wanted.map(|(name, kind)| Parameter::new(name.to_owned(), kind))
        );
    }

    #[test]
    fn an_unknown_type_is_refused() {
        assert!(signatures("extern \"C\" __global__ void f(Row row) {}").is_err());
    }
}
