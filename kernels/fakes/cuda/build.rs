//! Compiles the kernels that ship, each `.cu` as C++, with the runtime that runs them on a CPU.
#![expect(
    clippy::disallowed_methods,
    clippy::expect_used,
    reason = "a build script is told where to write by its environment, and has nobody to report an error to"
)]

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;

/// The sources that ship.
const SOURCES: &str = "../../cuda";

/// What the module that ships says of its kernels.
const MANIFEST: &str = "../../module/manifest.json";

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
    // The tests run where they are built; without the instruction a fused multiply-add is a call that takes ten times as
    // long, with the same bits.
    if std::is_x86_feature_detected!("fma") {
        build.flag("-mfma");
    }
    build.include("include").include(sources);
    build
        .files(["runtime/block.cpp", "runtime/stack.cpp"])
        .file(kernels);
    build.compile("cuda_on_cpu");
    for watched in [SOURCES, MANIFEST, "include", "runtime", "build.rs"] {
        println!("cargo:rerun-if-changed={watched}");
    }
}

/// Every source, as in the module that ships, then a table of its kernels that ends with an empty entry. What the compiler
/// takes a kernel's parameters for must be what the manifest says, since a host relies on it.
fn translation_unit(sources: &Path) -> String {
    let mut text = "#include \"cuda_on_cpu.h\"\n".to_owned();
    for source in cuda_files(sources) {
        writeln!(text, "#include \"{source}\"").expect("a string grows");
    }
    let manifest = fs::read_to_string(MANIFEST).expect("the module's manifest");
    let manifest: Value = serde_json::from_str(&manifest).expect("a manifest in JSON");
    let mut table = String::new();
    for kernel in array(&manifest, "kernels") {
        let (name, threads) = (
            kernel["name"].as_str().expect("a name"),
            &kernel["block_threads_max"],
        );
        let sizes = array(kernel, "parameters")
            .iter()
            .map(|parameter| parameter["bytes"].to_string());
        let sizes = sizes.collect::<Vec<_>>().join(", ");
        writeln!(
            text,
            "static_assert(cuda_on_cpu::Entry<{name}>::takes({{{sizes}}}));"
        )
        .expect("a string grows");
        writeln!(table, "    CUDA_ON_CPU_KERNEL({name}, {threads}),").expect("a string grows");
    }
    let declaration = "extern \"C\" const cuda_on_cpu::Kernel cuda_on_cpu_kernels[]";
    text + &format!("{declaration};\n{declaration} = {{\n{table}    {{}},\n}};\n")
}

fn array<'a>(value: &'a Value, name: &str) -> &'a Vec<Value> {
    value[name].as_array().expect("an array of the manifest")
}

fn cuda_files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the kernels' folder");
    let names = entries.filter_map(|entry| entry.expect("a file").file_name().into_string().ok());
    let is_cuda = |name: &String| Path::new(name).extension().is_some_and(|own| own == "cu");
    let mut files: Vec<_> = names.filter(is_cuda).collect();
    files.sort();
    files
}
