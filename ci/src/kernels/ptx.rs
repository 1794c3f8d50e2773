//! The kernels that PTX text declares: their parameters as the compiler lays them out, and their bounds.

use anyhow::{Context, Result};

/// One `.entry` of PTX.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// PTX types, for example `u64`, in order. A pointer is a `u64`.
    pub(crate) parameters: Vec<String>,
    /// The most threads that a block may have (`.maxntid`).
    pub(crate) block_threads_max: u32,
}

/// All kernels, by name.
pub(crate) fn entries(ptx: &str) -> Result<Vec<Entry>> {
    let declarations = ptx.split("\n.visible .entry ").skip(1);
    let mut entries = declarations.map(entry).collect::<Result<Vec<_>>>()?;
    entries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(entries)
}

fn entry(text: &str) -> Result<Entry> {
    let declaration = text.split_once('{').context("a kernel without a body")?.0;
    let (name, rest) = declaration
        .split_once('(')
        .context("a kernel without parameters")?;
    let types = rest.lines().filter_map(|line| {
        let words = line.trim().strip_prefix(".param .")?;
        words.split_whitespace().next().map(str::to_owned)
    });
    let bound = rest
        .split_once(".maxntid ")
        .and_then(|(_, bound)| bound.split(',').next()?.trim().parse().ok());
    Ok(Entry {
        name: name.to_owned(),
        parameters: types.collect(),
        block_threads_max: bound
            .with_context(|| format!("{name} has no __launch_bounds__ of one dimension"))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PTX: &str = "
.target sm_80
.visible .entry saxpy(
\t.param .f32 saxpy_param_0,
\t.param .u64 .ptr .align 1 saxpy_param_1,
\t.param .u64 saxpy_param_2
)
.maxntid 256, 1, 1
.minnctapersm 2
{
\t.reg .f32 \t%f<2>;
";

    #[test]
    fn a_kernel_has_its_parameters_and_bound() {
        let saxpy = Entry {
            name: "saxpy".to_owned(),
            parameters: ["f32", "u64", "u64"].map(str::to_owned).to_vec(),
            block_threads_max: 256,
        };
        assert_eq!(entries(PTX).unwrap(), [saxpy]);
    }

    #[test]
    fn a_kernel_without_a_bound_is_refused() {
        assert!(entries(&PTX.replace(".maxntid", ".maxnreg")).is_err());
    }
}
