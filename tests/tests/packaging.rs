//! What is packaged is what the programs accept.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::path::{Path, PathBuf};
use std::process::Command;

use tests::fleet::binary;
use tests::sources::workspace_root;

fn packaging(name: &str) -> PathBuf {
    workspace_root().join("packaging").join(name)
}

/// `systemd-analyze verify` wants the programs to exist, so the units are read with the built ones in their place. It ends
/// with success on unknown keys, so what it prints counts.
#[test]
fn systemd_accepts_the_units() {
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        eprintln!("SKIPPED: systemd-analyze is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let programs = binary("cocoon-gateway").unwrap();
    let programs = programs.parent().unwrap().display().to_string();
    let mut units = Vec::new();
    for entry in std::fs::read_dir(packaging("systemd")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path)
            .unwrap()
            .replace("/usr/bin/cocoon", &format!("{programs}/cocoon"));
        let copy = folder.path().join(path.file_name().unwrap());
        std::fs::write(&copy, text).unwrap();
        units.push(instance(&copy));
    }
    assert!(units.len() >= 4, "{units:?}");
    let output = Command::new("systemd-analyze")
        .arg("verify")
        .arg("--man=no")
        .args(&units)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // Other units of this machine are read too, and are none of ours.
    let ours: Vec<_> = said
        .lines()
        .filter(|line| line.contains("cocoon"))
        .collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");
}

/// A template is verified as its first instance.
fn instance(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap().to_str().unwrap();
    if !name.contains("@.") {
        return path.to_owned();
    }
    let instance = path.with_file_name(name.replace("@.", "@1."));
    std::fs::copy(path, &instance).unwrap();
    instance
}

#[test]
fn every_configuration_example_is_known_to_this_test() {
    let mut names: Vec<_> = std::fs::read_dir(packaging("config"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "appraisal-policy.toml",
            "client.toml",
            "gateway.toml",
            "quote.toml",
            "worker.toml"
        ]
    );
}

/// What `cocoon-gateway init` writes is what the package shows, but for where a packaged service keeps its state.
#[test]
fn the_gateways_examples_are_what_init_writes() {
    let folder = tempfile::tempdir().unwrap();
    let pool = folder.path().join("pool");
    let output = Command::new(binary("cocoon-gateway").unwrap())
        .args(["init", "--hostname", "gateway.example.org", "--dir"])
        .arg(&pool)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let written = std::fs::read_to_string(pool.join("gateway.toml")).unwrap();
    let packaged = std::fs::read_to_string(packaging("config/gateway.toml")).unwrap();
    assert_eq!(
        packaged,
        written.replace(
            "state_dir = \"state\"",
            "state_dir = \"/var/lib/cocoon/gateway\""
        )
    );
    gateway::Config::from_toml(&packaged, Path::new("/etc/cocoon/gateway")).unwrap();
    let written = std::fs::read_to_string(pool.join("appraisal-policy.toml")).unwrap();
    let packaged = std::fs::read_to_string(packaging("config/appraisal-policy.toml")).unwrap();
    assert_eq!(packaged, written);
}

/// The policy's example is refused for every FILL-IN and nothing else.
#[test]
fn the_policys_example_wants_to_be_filled_in() {
    let text = std::fs::read_to_string(packaging("config/appraisal-policy.toml")).unwrap();
    let blanks = text.matches("\"FILL-IN\"").count();
    let error = attestation::AppraisalPolicy::from_toml(&text)
        .unwrap_err()
        .to_string();
    assert!(blanks >= 6, "{text}");
    assert_eq!(
        error.matches("still to be filled in").count(),
        blanks,
        "{error}"
    );
    let filled = text
        .replace(
            "xfam_required = \"FILL-IN\"",
            "xfam_required = \"e702060000000000\"",
        )
        .replace("[\"FILL-IN\"]", &format!("[\"{}\"]", "0".repeat(32)))
        .replace("name = \"FILL-IN\"", "name = \"example\"")
        .replace("\"FILL-IN\"", &format!("\"{}\"", "0".repeat(96)));
    attestation::AppraisalPolicy::from_toml(&filled).unwrap();
}

/// The worker reads every file that its configuration names, so the examples' folder is moved to where there are some.
#[test]
fn the_workers_example_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let etc = folder.path().join("worker-1");
    std::fs::create_dir(&etc).unwrap();
    std::fs::write(etc.join("enrolment-secret"), "0".repeat(64)).unwrap();
    private(&etc.join("enrolment-secret"));
    let certified = rcgen::generate_simple_self_signed(["gateway.example.org".to_owned()]).unwrap();
    std::fs::write(etc.join("pool-ca.pem"), certified.cert.pem()).unwrap();
    let text = std::fs::read_to_string(packaging("config/worker.toml")).unwrap();
    let path = etc.join("worker.toml");
    std::fs::write(
        &path,
        text.replace("/etc/cocoon", folder.path().to_str().unwrap()),
    )
    .unwrap();
    agent::config::Config::load(&path).unwrap();
}

fn private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// The unit's instance is the worker's id, as `cocoon-admin worker create` tells the owner.
#[test]
fn the_workers_unit_reads_the_workers_example() {
    let example = std::fs::read_to_string(packaging("config/worker.toml")).unwrap();
    let example: toml::Table = example.parse().unwrap();
    let id = example["worker_id"].as_str().unwrap();
    let unit = std::fs::read_to_string(packaging("systemd/cocoon-worker@.service")).unwrap();
    let unit = unit.replace("%i", id);
    let secret = Path::new(example["enrolment_secret_file"].as_str().unwrap());
    let config = secret.with_file_name("worker.toml");
    assert!(unit.contains(&format!(" --config {}\n", config.display())));
    let state = example["state_dir"].as_str().unwrap();
    let state = state.strip_prefix("/var/lib/").unwrap();
    assert!(unit.contains(&format!("\nStateDirectory={state}\n")));
}

#[test]
fn the_brokers_example_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(packaging("config/quote.toml")).unwrap();
    let path = folder.path().join("quote.toml");
    // The package makes the user; a machine without it has root.
    std::fs::write(&path, text.replace("cocoon-worker", "root")).unwrap();
    agent::quote::config::QuoteConfig::load(&path).unwrap();
}

#[test]
fn the_clients_example_is_complete() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(
        packaging("config/client.toml"),
        folder.path().join("client.toml"),
    )
    .unwrap();
    std::fs::write(
        folder.path().join("access-token"),
        format!("ccn_{}", "0".repeat(64)),
    )
    .unwrap();
    private(&folder.path().join("access-token"));
    let certified = rcgen::generate_simple_self_signed(["gateway.example.org".to_owned()]).unwrap();
    std::fs::write(folder.path().join("api-ca.pem"), certified.cert.pem()).unwrap();
    let flags = client::config::Flags {
        config: Some(folder.path().join("client.toml")),
        ..client::config::Flags::default()
    };
    let environment = client::config::Environment::from_lookup(|_| None);
    client::config::Config::read("client.toml", &flags, &environment).unwrap();
}
