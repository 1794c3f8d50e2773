//! Every command in the documents is run: by CI, or here, in a shell, against a real pool.

use std::path::Path;
use std::process::Command;

use tests::fleet::{binary, write_environment};
use tests::sources::workspace_root;

use crate::pool::Pool;

const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
];

/// Where the documents say that the devnet's files are.
const DEVNET_FOLDER: &str = "target/devnet";

/// The shell blocks of a document, in order.
fn shell_blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == "```sh" {
            let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(block.join("\n"));
        }
    }
    blocks
}

fn read(name: &str) -> String {
    let path = workspace_root().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Commands that CI runs stand in `.ci/run`, line for line.
fn is_run_by_ci(block: &str) -> bool {
    let script = read(".ci/run");
    block
        .lines()
        .all(|command| script.lines().any(|line| line == command))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_documents_works() {
    let pool = Pool::start(2).await;
    write_environment(&pool.fleet).unwrap();
    let folder = pool.fleet.path("");
    let home = pool.folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let mut run = 0;
    for name in DOCUMENTS {
        for block in shell_blocks(&read(name)) {
            if !is_run_by_ci(&block) {
                run_block(BASH, name, &block, &folder, &home);
                run += 1;
            }
        }
    }
    assert!(run > 0, "the documents show nothing that a user could try");
    // Not everybody's shell is bash.
    let block = format!(". {DEVNET_FOLDER}/env\ncocoon operations\ncocoon-admin status");
    run_block(&["sh", "-euc"], "any shell", &block, &folder, &home);
}

/// A program's help and hints name commands of the others: each stands whole on a line of its own, and is understood.
#[test]
fn every_command_that_a_program_hints_at_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let pool = folder.path().join("pool");
    let pool = pool.to_str().unwrap();
    let init = ["init", "--dir", pool, "--hostname", "localhost"];
    let simulate = ["policy", "simulate", "--help"];
    let mut hints = Vec::new();
    for (program, arguments) in [("cocoon-gateway", &init[..]), ("cocoon-attest", &simulate)] {
        let said = says(program, arguments);
        let lines = said.lines().map(str::trim);
        hints.extend(
            lines
                .filter(|line| line.starts_with("cocoon-"))
                .map(str::to_owned),
        );
    }
    let of = |program: &str| {
        hints
            .iter()
            .filter(|hint| hint.starts_with(program))
            .count()
    };
    assert!(
        of("cocoon-admin ") >= 2 && of("cocoon-attest ") >= 3,
        "{hints:#?}"
    );
    for hint in &hints {
        let mut words = hint.split_whitespace();
        let program = words.next().unwrap();
        // Help is printed only behind arguments that are understood.
        says(program, &words.chain(["--help"]).collect::<Vec<_>>());
    }
}

/// What a run that must succeed prints.
fn says(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(binary(program).unwrap())
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {output:?}"
    );
    String::from_utf8(output.stdout).unwrap()
}

const BASH: &[&str] = &["bash", "-euo", "pipefail", "-c"];

/// As a user would paste it, in the repository's root, with a home of its own.
fn run_block(shell: &[&str], document: &str, block: &str, folder: &Path, home: &Path) {
    let script = block.replace(
        DEVNET_FOLDER,
        folder.to_str().unwrap().trim_end_matches('/'),
    );
    let (program, options) = shell.split_first().unwrap();
    let output = Command::new(program)
        .args(options)
        .arg(&script)
        .current_dir(workspace_root())
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", home)
        .env("TMPDIR", home)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{document}: {}\n{block}\n── printed\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
