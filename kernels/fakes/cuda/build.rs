//! Compiles the kernels that ship, each `.cu` as C++, with the runtime that runs them on a CPU.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a build script is told where to write by its environment, and has nobody to report an error to"
)]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// The sources that ship.
const SOURCES: &str = "../../cuda";

/// What stands before a kernel's name.
const KERNEL: &str = "extern \"C\" __global__";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names a folder for outputs"));
    let sources = fs::canonicalize(SOURCES).expect("the kernels' sources");
    let kernels = out.join("kernels.cpp");
    fs::write(&kernels, translation_unit(&sources)).expect("the kernels as one file");
    let mut build = cc::Build::new();
    // What nvcc takes for granted: bytes are read as words, and no product and sum become one instruction where the source
    // does not say so and the CPU definition neither.
    build.cpp(true).std("c++17").opt_level(2).flags([
        "-fno-strict-aliasing",
        "-ffp-contract=off",
        "-Wno-unknown-pragmas",
    ]);
    build.include("include").include(sources);
    build
        .files(["runtime/block.cpp", "runtime/stack.cpp"])
        .file(kernels);
    build.compile("cuda_on_cpu");
    for watched in [SOURCES, "include", "runtime", "build.rs"] {
        println!("cargo:rerun-if-changed={watched}");
    }
}

/// Every source, as in the module that ships, then a table of their kernels that ends with an empty entry.
fn translation_unit(folder: &Path) -> String {
    let (mut includes, mut table) = (String::new(), String::new());
    for source in cuda_files(folder) {
        let text = fs::read_to_string(folder.join(&source)).expect("a kernel's source");
        writeln!(includes, "#include \"{source}\"").expect("a string grows");
        for kernel in text.split(KERNEL).skip(1).map(kernel_name) {
            writeln!(table, "    CUDA_ON_CPU_KERNEL({kernel}),").expect("a string grows");
        }
    }
    let array = "extern \"C\" const cuda_on_cpu::Kernel cuda_on_cpu_kernels[]";
    format!("#include \"cuda_on_cpu.h\"\n{includes}{array};\n{array} = {{\n{table}    {{}},\n}};\n")
}

fn cuda_files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the kernels' folder");
    let names = entries.filter_map(|entry| entry.expect("a file").file_name().into_string().ok());
    let is_cuda = |name: &String| Path::new(name).extension().is_some_and(|own| own == "cu");
    let mut files: Vec<_> = names.filter(is_cuda).collect();
    files.sort();
    files
}

/// The last word before the parameters, which are the first parenthesis after launch bounds, if there are any.
fn kernel_name(declaration: &str) -> &str {
    let name = match declaration.split_once("__launch_bounds__") {
        Some((before, bounds)) if !before.contains('(') => {
            bounds.split_once(')').map(|(_, name)| name)
        }
        _ => Some(declaration),
    };
    let words = name.and_then(|name| name.split('(').next());
    let name = words.and_then(|words| words.split_whitespace().last());
    name.expect("a kernel's name")
}
