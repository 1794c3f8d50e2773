//! The shipped binary: its subcommands, its exit codes, its stop at SIGTERM.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use gateway::Listening;
use simulator::SimulatedPlatform;

use crate::https::Https;

fn gateway(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cocoon-gateway"))
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A new pool with free ports and a policy in place; the path of its configuration.
fn new_pool(dir: &Path) -> String {
    let dir_text = dir.display().to_string();
    let made = gateway(&[
        "init",
        "--dir",
        &dir_text,
        "--hostname",
        "localhost",
        "--worker-port",
        "0",
        "--api-port",
        "0",
    ]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let path = dir.join("gateway.toml");
    let config = std::fs::read_to_string(&path)
        .unwrap()
        .replace("127.0.0.1:9464", "127.0.0.1:0");
    std::fs::write(&path, config).unwrap();
    path.display().to_string()
}

fn complete_policy(dir: &Path) {
    let policy = SimulatedPlatform::from_seed(1).policy_toml();
    std::fs::write(dir.join("appraisal-policy.toml"), policy).unwrap();
}

#[test]
fn mistakes_in_the_configuration_have_an_exit_code_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let config = new_pool(dir.path());
    let check = gateway(&["config", "check", "--config", &config]);
    assert_eq!(check.status.code(), Some(78));
    assert!(
        text(&check.stderr).contains("td.xfam_required"),
        "{}",
        text(&check.stderr)
    );
    let said = text(&check.stderr);
    assert!(
        said.starts_with("cocoon-gateway: the appraisal policy "),
        "{said}"
    );
    complete_policy(dir.path());
    let check = gateway(&["config", "check", "--config", &config]);
    let said = text(&check.stdout);
    assert!(
        check.status.success() && said.contains(": no mistakes\n"),
        "{said}"
    );
    // Complete, and no worker could be admitted all the same.
    assert!(said.contains("note: there is no collateral yet"), "{said}");
    std::fs::write(&config, "colour = 1").unwrap();
    let run = gateway(&["--config", &config]);
    assert_eq!(run.status.code(), Some(78));
    assert!(text(&run.stderr).contains("`colour` is not a key of this file"));
    assert_eq!(
        gateway(&["run", "--config", "/nonexistent"]).status.code(),
        Some(78)
    );
    assert_eq!(gateway(&["--no-such-flag"]).status.code(), Some(2));
}

#[test]
fn access_tokens_are_made_listed_and_revoked() {
    let dir = tempfile::tempdir().unwrap();
    let config = new_pool(dir.path());
    let made = gateway(&["access", "create", "--user", "alice", "--config", &config]);
    let token = text(&made.stdout);
    assert!(token.starts_with("ccn_") && token.len() == 69, "{token}");
    let list = text(&gateway(&["access", "list", "--config", &config]).stdout);
    assert!(
        list.contains("alice") && list.contains("operator") && !list.contains("ccn_"),
        "{list}"
    );
    assert!(
        gateway(&["access", "revoke", "2", "--config", &config])
            .status
            .success()
    );
    let again = gateway(&["access", "revoke", "2", "--config", &config]);
    assert_eq!(again.status.code(), Some(1));
    let unknown = gateway(&["access", "create", "--user", "No Name", "--config", &config]);
    assert_eq!(unknown.status.code(), Some(2));
}

#[test]
fn the_openapi_document_is_printed() {
    let printed = gateway(&["openapi"]);
    let document: serde_json::Value = serde_json::from_slice(&printed.stdout).unwrap();
    assert_eq!(document["info"]["title"], "cocoon-gateway");
}

#[tokio::test]
async fn it_trusts_intel_serves_and_stops_at_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let config = new_pool(dir.path());
    complete_policy(dir.path());
    let mut running = Command::new(env!("CARGO_BIN_EXE_cocoon-gateway"))
        .args(["run", "--config", &config])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let state = dir.path().join("state");
    let mut listening = None;
    for _ in 0..1_000 {
        listening = Listening::read(&state);
        if listening.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let metrics = Https::plain(listening.expect("it listens").metrics);
    assert_eq!(metrics.get("/readyz").await.status, 200);
    assert!(
        metrics
            .get("/metrics")
            .await
            .text()
            .contains(r#"trust_anchor="Intel SGX Root CA""#)
    );
    let id = running.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()
            .unwrap()
            .success()
    );
    let ended = running.wait().unwrap();
    assert_eq!(ended.code(), Some(0));
    let mut log = String::new();
    std::io::Read::read_to_string(&mut running.stderr.take().unwrap(), &mut log).unwrap();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        lines.iter().any(|line| line["message"] == "listening"),
        "{log}"
    );
    assert!(!log.contains("SIMULATED") && !log.contains("ccn_"), "{log}");
}
