//! What ptxas says that each kernel takes of a multiprocessor, on each architecture.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::manifest::Resources;

/// By kernel, then by architecture.
pub(crate) type ByKernel = BTreeMap<String, BTreeMap<String, Resources>>;

/// Reads the output of `ptxas -v`: for each kernel a line that names it, one about its stack and one about its registers.
pub(crate) fn read(said: &str) -> Result<ByKernel> {
    let mut kernels = ByKernel::new();
    let mut current = None;
    for line in said.lines() {
        if let Some(rest) = line.split("Compiling entry function '").nth(1) {
            let mut quoted = rest.split('\'');
            let name = quoted.next().context("ptxas names no kernel")?;
            let architecture = quoted.nth(1).context("ptxas names no architecture")?;
            let of_kernel = kernels.entry(name.to_owned()).or_default();
            current = Some(of_kernel.entry(architecture.to_owned()).or_default());
            continue;
        }
        let Some(resources) = current.as_mut() else {
            continue;
        };
        let before = |phrase| number_before(line, phrase);
        if let Some(stores) = before(" bytes spill stores") {
            resources.spill_stores_bytes = stores;
            resources.spill_loads_bytes = before(" bytes spill loads").context("no spill loads")?;
        }
        if let Some(registers) = before(" registers") {
            resources.registers = registers;
            // No word of it where there is none.
            resources.shared_bytes = before(" bytes smem").unwrap_or(0);
        }
    }
    Ok(kernels)
}

/// The number that stands right before the phrase.
fn number_before(line: &str, phrase: &str) -> Option<u32> {
    let before = line.split_once(phrase)?.0;
    before.rsplit([' ', ',']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'transpose' for 'sm_90a'
ptxas info    : Function properties for transpose
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 31 registers, used 1 barriers, 4224 bytes smem, 384 bytes cmem[0]
ptxas info    : Compiling entry function 'softmax' for 'sm_80'
ptxas info    : Function properties for softmax
    24 bytes stack frame, 60 bytes spill stores, 40 bytes spill loads
ptxas info    : Used 168 registers, used 0 barriers, 24 bytes cumulative stack size
";

    #[test]
    fn each_kernel_has_what_was_said_of_it() {
        let kernels = read(SAID).unwrap();
        let transpose = Resources {
            registers: 31,
            shared_bytes: 4224,
            ..Resources::default()
        };
        let softmax = Resources {
            registers: 168,
            shared_bytes: 0,
            spill_stores_bytes: 60,
            spill_loads_bytes: 40,
        };
        assert_eq!(kernels["transpose"]["sm_90a"], transpose);
        assert_eq!(kernels["softmax"]["sm_80"], softmax);
        assert_eq!(kernels.len(), 2);
    }
}
