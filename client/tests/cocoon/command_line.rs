//! Help, usage, configuration and completions: no gateway needed.

use crate::support::{Ran, bare, run};

fn cocoon(arguments: &[&str]) -> Ran {
    let home = tempfile::tempdir().unwrap();
    run(bare(env!("CARGO_BIN_EXE_cocoon"), home.path()).args(arguments))
}

#[test]
fn help_lists_commands_settings_and_exit_codes() {
    let help = cocoon(&["--help"]).expect(0);
    for command in [
        "submit",
        "status",
        "list",
        "output",
        "cancel",
        "receipt",
        "attestation",
        "operations",
        "completions",
    ] {
        assert!(
            help.output.contains(&format!("\n  {command} ")),
            "{command} in {}",
            help.output
        );
    }
    help.says(&[
        "COCOON_ACCESS_TOKEN",
        "An access token is never an argument",
        client::exit::EXIT_CODES,
    ]);
    for command in [
        "submit",
        "status",
        "list",
        "output",
        "cancel",
        "receipt",
        "attestation",
        "operations",
    ] {
        cocoon(&[command, "--help"])
            .expect(0)
            .says(&[client::exit::EXIT_CODES]);
    }
}

#[test]
fn usage_errors_are_errors() {
    cocoon(&[]).expect(1);
    cocoon(&["submitt"]).expect(1).says(&["submit"]);
    cocoon(&["status", "not-a-ulid"])
        .expect(1)
        .says(&["`not-a-ulid` is not a ULID"]);
    cocoon(&["list", "--access-token", "ccn_x"]).expect(1);
    cocoon(&["list", "--state", "done"])
        .expect(1)
        .says(&["expected queued, running"]);
    cocoon(&[
        "receipt",
        "01KB0000000000000000000000",
        "--task-digest",
        &"00".repeat(32),
    ])
    .expect(1)
    .says(&["--verify"]);
}

#[test]
fn usage_errors_are_json_where_json_was_asked_for() {
    let ran = cocoon(&["status", "not-a-ulid", "--json"]).expect(1);
    let error: serde_json::Value = serde_json::from_str(&ran.errors).unwrap();
    let message = error["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("invalid value 'not-a-ulid'"),
        "{message}"
    );
    assert_eq!(error["error"]["exit"], 1);
    // Behind `--`, it is no flag.
    let ran = cocoon(&["status", "--", "--json"]).expect(1);
    assert!(ran.errors.starts_with("error: "), "{}", ran.errors);
}

#[test]
fn a_missing_configuration_names_every_setting() {
    cocoon(&["list"]).expect(1).says(&[
        "cocoon: the configuration is not complete:",
        "gateway: no address; name it with --gateway or COCOON_GATEWAY",
        "access token: none; name its file",
    ]);
}

#[test]
fn the_catalogue_is_shown_without_a_gateway() {
    let shown = cocoon(&["operations", "--offline"]).expect(0);
    let names: Vec<_> = shown
        .output
        .lines()
        .filter_map(|line| line.strip_suffix(" version 1"))
        .collect();
    assert_eq!(
        names,
        [
            "embed",
            "gemm",
            "gemm_bf16",
            "layer_norm",
            "reduce",
            "saxpy",
            "sha256_batch",
            "softmax",
            "transpose"
        ]
    );
    assert!(shown.output.lines().all(|line| line == line.trim_end()));
    shown.says(&[
        "  parameters  rows=1…268435456 columns=1…268435456 kind=sum|max|min\n",
        "  parameters  alpha=NUMBER\n",
    ]);
    let json = cocoon(&["operations", "--offline", "--json"])
        .expect(0)
        .json();
    assert_eq!(
        json["operations"][4]["parameters"][2]["values"],
        "one of sum, max, min"
    );
}

#[test]
fn completions_are_made_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        cocoon(&["completions", shell])
            .expect(0)
            .says(&["attestation"]);
    }
}
