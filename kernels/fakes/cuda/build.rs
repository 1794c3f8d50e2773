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
    let mut build = cc::Build::new();
    // What nvcc takes for granted: bytes are read as words, and no product and sum are fused unless the source says so
    // where the CPU definition does.
    build.cpp(true).std("c++17").opt_level(2).flags([
        "-fno-strict-aliasing",
        "-ffp-contract=off",
        "-Wno-unknown-pragmas",
    ]);
    build
        .include("include")
        .files(["runtime/block.cpp", "runtime/stack.cpp"]);
    let mut kernels = Vec::new();
    for source in cuda_files(&sources) {
        let text = fs::read_to_string(&source).expect("a kernel's source");
        let names: Vec<_> = text.split(KERNEL).skip(1).map(kernel_name).collect();
        let wrapper = out.join(source.with_extension("cpp").file_name().expect("a name"));
        fs::write(&wrapper, wrapper_of(&source, &names)).expect("a wrapper");
        build.file(wrapper);
        kernels.extend(names.into_iter().map(str::to_owned));
    }
    let table = out.join("kernel_table.cpp");
    fs::write(&table, table_of(&kernels)).expect("the table of kernels");
    build.file(table).compile("cuda_on_cpu");
    for watched in [SOURCES, "include", "runtime", "build.rs"] {
        println!("cargo:rerun-if-changed={watched}");
    }
}

fn cuda_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("the kernels' folder");
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("a file").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cu"))
        .collect();
    files.sort();
    files
}

/// The last word before the parameters, which are the first parenthesis after launch bounds, if there are any.
fn kernel_name(declaration: &str) -> &str {
    let name = match declaration.split_once("__launch_bounds__") {
        Some((before, after)) if !before.contains('(') => {
            after.split_once(')').map(|(_, name)| name)
        }
        _ => Some(declaration),
    };
    let name = name.and_then(|name| name.split('(').next());
    name.and_then(|name| name.split_whitespace().last())
        .expect("a kernel's name")
}

fn wrapper_of(source: &Path, kernels: &[&str]) -> String {
    let mut text = format!(
        "#include \"cuda_on_cpu.h\"\n#include \"{}\"\n",
        source.display()
    );
    for kernel in kernels {
        writeln!(text, "CUDA_ON_CPU_KERNEL({kernel})").expect("a string grows");
    }
    text
}

fn table_of(kernels: &[String]) -> String {
    let mut text = "#include \"cuda_on_cpu.h\"\n".to_owned();
    for kernel in kernels {
        writeln!(text, "extern const cuda_on_cpu::Kernel kernel_{kernel};")
            .expect("a string grows");
    }
    text += "extern \"C\" const cuda_on_cpu::Kernel* const cuda_on_cpu_kernels[] = {";
    for kernel in kernels {
        write!(text, "&kernel_{kernel}, ").expect("a string grows");
    }
    text + "nullptr};\n"
}
