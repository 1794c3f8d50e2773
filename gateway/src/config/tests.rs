//! What is read, and how every mistake is named.

use super::*;

const COMPLETE: &str = r#"
state_dir = "state"
[worker]
certificate = "tls/worker-listener.pem"
key = "tls/worker-listener.key"
[api]
address = "127.0.0.1:0"
certificate = "/etc/api.pem"
key = "/etc/api.key"
[attestation]
appraisal_policy = "appraisal-policy.toml"
collateral_dir = "collateral"
reattest_interval_s = 300
"#;

fn mistakes(text: &str) -> Vec<String> {
    match Config::from_toml(text, Path::new("/etc/cocoon")) {
        Err(ConfigError::Mistakes(mistakes)) => mistakes.iter().map(Mistake::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_complete_file_is_read_with_defaults() {
    let config = Config::from_toml(COMPLETE, Path::new("/etc/cocoon")).unwrap();
    assert_eq!(config.state_dir, Path::new("/etc/cocoon/state"));
    assert_eq!(config.api.certificate, Path::new("/etc/api.pem"));
    assert_eq!(config.worker.address, WORKER_ADDRESS_DEFAULT);
    assert_eq!(config.api.address.port(), 0);
    assert_eq!(config.metrics_address, METRICS_ADDRESS_DEFAULT);
    assert_eq!(config.attestation.reattest_interval.as_secs(), 300);
    assert_eq!(config.attestation.session_age_max.as_secs(), 86_400);
    assert!(config.attestation.pccs_urls.is_empty());
    assert_eq!(config.attestation.pccs_ca, None);
    assert_eq!(config.lease_duration.as_secs(), 30);
    assert_eq!(config.queued_per_user_max, 1_000_000);
    assert_eq!(config.blob_bytes_per_user_max, 68_719_476_736);
    let UserLimits {
        requests_per_s,
        burst_max,
        in_flight_max,
    } = config.users;
    assert_eq!(
        (requests_per_s, burst_max, in_flight_max),
        (1_000, 5_000, 1_024)
    );
    assert_eq!(config.retention.as_secs(), 30 * 86_400);
}

#[test]
fn every_mistake_is_reported_at_once() {
    let text = r#"
surprise = 1
[worker]
address = "localhost"
certificate = 7
[api]
certificate = "a"
key = "b"
colour = "blue"
requests_per_user_per_s = 0
burst_per_user_max = 1.5
in_flight_per_user_max = 65537
[attestation]
appraisal_policy = ""
collateral_dir = "c"
reattest_interval_s = 5
[tasks]
lease_duration_s = -1
queued_per_user_max = 0
blob_bytes_per_user_max = "64 GiB"
retention_days = 0
"#;
    let seen = mistakes(text);
    for key in [
        "`state_dir` is missing",
        "`worker.address` must be an address",
        "`worker.certificate` must be a path",
        "`worker.key` is missing",
        "`attestation.appraisal_policy` must be a path",
        "`attestation.reattest_interval_s` must be a whole number from 60 to 86400",
        "`tasks.lease_duration_s` must be a whole number from 1 to 3600",
        "`tasks.retention_days` must be a whole number from 1 to 3650",
        "`tasks.queued_per_user_max` must be a whole number from 1 to 1000000000",
        "`tasks.blob_bytes_per_user_max` must be a whole number from 1 to 1000000000000000",
        "`api.requests_per_user_per_s` must be a whole number from 1 to 1000000",
        "`api.burst_per_user_max` must be a whole number from 1 to 1000000",
        "`api.in_flight_per_user_max` must be a whole number from 1 to 65536",
        "`surprise` is not a key of this file",
        "`api.colour` is not a key of this file",
    ] {
        assert!(
            seen.iter().any(|line| line.starts_with(key)),
            "{key} is not in {seen:#?}"
        );
    }
    assert_eq!(seen.len(), 15, "{seen:#?}");
}

#[test]
fn a_limit_in_bytes_may_be_more_than_32_bits_and_is_not_negative() {
    let with = |bytes: &str| format!("{COMPLETE}[tasks]\nblob_bytes_per_user_max = {bytes}\n");
    for (bytes, is_accepted) in [
        ("1", true),
        ("1000000000000000", true),
        ("0", false),
        ("-1", false),
        ("1000000000000001", false),
    ] {
        let config = Config::from_toml(&with(bytes), Path::new("/etc/cocoon"));
        assert_eq!(config.is_ok(), is_accepted, "{bytes}: {config:?}");
    }
}

#[test]
fn sources_of_collateral_are_read_in_order() {
    let text = format!(
        "{COMPLETE}pccs_urls = [\"https://pccs.example:8081/\", \"https://api.trustedservices.intel.com\"]\npccs_ca = \"tls/pccs-ca.pem\"\ngpu_references_dir = \"rims\"\n"
    );
    let config = Config::from_toml(&text, Path::new("/etc/cocoon")).unwrap();
    let urls = config.attestation.pccs_urls.iter().map(ToString::to_string);
    assert_eq!(
        urls.collect::<Vec<_>>(),
        ["https://pccs.example:8081", pccs::Source::INTEL]
    );
    let references = config.attestation.gpu_references_dir.unwrap();
    assert_eq!(references, Path::new("/etc/cocoon/rims"));
    let ca = config.attestation.pccs_ca.unwrap();
    assert_eq!(ca, Path::new("/etc/cocoon/tls/pccs-ca.pem"));
    for (urls, problem) in [
        ("\"https://a\"", "`attestation.pccs_urls` must be a list"),
        ("[7]", "`attestation.pccs_urls` must be a list"),
        (
            "[\"http://pccs.example\"]",
            "`attestation.pccs_urls` has `http://pccs.example`: it must start with https://",
        ),
    ] {
        let seen = mistakes(&format!("{COMPLETE}pccs_urls = {urls}\n"));
        assert!(seen[0].starts_with(problem), "{seen:?}");
    }
}

#[test]
fn a_section_is_a_table_and_the_file_is_toml() {
    assert!(mistakes("metrics = 3").contains(&"`metrics` must be a table".to_owned()));
    assert!(matches!(
        Config::from_toml("= =", Path::new(".")),
        Err(ConfigError::Toml(_))
    ));
}

fn with_database(section: &str) -> Result<Config, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("password"), "hidden\nnot this\n").unwrap();
    std::fs::write(folder.path().join("empty"), "\n").unwrap();
    let text = format!("{COMPLETE}\n[database]\n{section}\n");
    Config::from_toml(&text, folder.path())
}

#[test]
fn a_server_takes_the_place_of_the_file() {
    let file = Config::from_toml(COMPLETE, Path::new("/pool")).unwrap();
    assert_eq!(file.database.to_string(), "/pool/state/gateway.sqlite");
    assert_eq!(file.blobs_dir, Path::new("/pool/state/blobs"));
    let server = with_database(
        "address = 'postgresql://cocoon@db.example/pool'\npassword_file = 'password'",
    );
    let shown = format!("{:?}", server.unwrap());
    assert!(shown.contains("PostgreSQL database pool on db.example"));
    assert!(!shown.contains("hidden"));
}

#[test]
fn mistakes_about_a_server_are_named() {
    for (section, expected) in [
        ("address = 5", "must be a PostgreSQL address"),
        ("address = 'gateway.sqlite'", "is no PostgreSQL address"),
        ("ca = 'ca.pem'", "`database.address` is missing"),
        (
            "address = 'postgresql://u@db.example/c?sslmode=disable'",
            "without TLS",
        ),
        (
            "address = 'postgresql://u@db.example/c'\npassword_file = 'none'",
            "`database.password_file` names",
        ),
        (
            "address = 'postgresql://u@db.example/c'\npassword_file = 'empty'",
            "holds no password",
        ),
        (
            "address = 'postgresql://u@db.example/c'\nca = 'none'",
            "cannot read the CA",
        ),
    ] {
        let error = with_database(section).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
