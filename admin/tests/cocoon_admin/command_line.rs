//! Help and usage: no gateway needed.

use crate::support::{Ran, bare, run};

fn admin(arguments: &[&str]) -> Ran {
    let home = tempfile::tempdir().unwrap();
    run(bare(env!("CARGO_BIN_EXE_cocoon-admin"), home.path()).args(arguments))
}

#[test]
fn help_is_noun_then_verb_with_exit_codes() {
    admin(&["--help"]).expect(0).says(&[
        "\n  status ",
        "\n  worker ",
        "\n  task ",
        "COCOON_ACCESS_TOKEN",
        client::exit::EXIT_CODES,
    ]);
    let workers = admin(&["worker", "--help"]).expect(0);
    workers.says(&[
        "\n  create ",
        "\n  list ",
        "\n  status ",
        "\n  drain ",
        "\n  undrain ",
        "\n  delete ",
        "\n  attestation ",
    ]);
    admin(&["task", "--help"]).expect(0).says(&[
        "\n  list ",
        "\n  show ",
        "\n  cancel ",
        "\n  redrive ",
    ]);
}

#[test]
fn usage_errors_are_errors() {
    admin(&["worker", "create"]).expect(1).says(&["--id"]);
    admin(&["worker", "create", "--id", "Not A Name"])
        .expect(1)
        .says(&["is not a name"]);
    admin(&["task", "show", "1"])
        .expect(1)
        .says(&["is not a ULID"]);
    admin(&["status"])
        .expect(1)
        .says(&["gateway: no address", "access token: none"]);
}

#[test]
fn completions_need_no_gateway() {
    admin(&["completions", "bash"])
        .expect(0)
        .says(&["cocoon-admin"]);
}
