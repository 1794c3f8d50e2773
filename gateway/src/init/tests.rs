//! What `init` writes is complete, private where it must be, and never in the way of what is there.

use std::os::unix::fs::PermissionsExt;

use attestation::{AppraisalPolicy, PolicyError};

use super::*;
use crate::Config;
use crate::RunError;

fn options(dir: &Path) -> Initialise {
    Initialise {
        dir: dir.to_owned(),
        hostname: "localhost".parse().unwrap(),
        worker_port: 0,
        api_port: 0,
    }
}

#[tokio::test]
async fn a_new_pool_is_complete_but_for_its_policy() {
    let dir = tempfile::tempdir().unwrap();
    let text = initialise(&options(dir.path())).await.unwrap();
    assert!(text.contains("ccn_"));
    let config = Config::from_file(&dir.path().join("gateway.toml")).unwrap();
    assert_eq!(config.worker.address.port(), 0);
    let error = crate::read_files(&config).await.unwrap_err();
    assert!(matches!(error, RunError::Policy { .. }), "{error}");
    // With a policy in place everything else is as a run wants it.
    let policy = simulator::SimulatedPlatform::from_seed(1).policy_toml();
    std::fs::write(&config.attestation.appraisal_policy, policy).unwrap();
    crate::read_files(&config).await.unwrap();
}

#[tokio::test]
async fn keys_are_private_and_nothing_is_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    initialise(&options(dir.path())).await.unwrap();
    for key in [
        "pool-ca.key",
        "worker-listener.key",
        "api-ca.key",
        "api.key",
    ] {
        let path = dir.path().join("tls").join(key);
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }
    let before = std::fs::read(dir.path().join("tls/pool-ca.pem")).unwrap();
    let error = initialise(&options(dir.path())).await.unwrap_err();
    assert!(matches!(error, InitError::Exists { .. }), "{error}");
    assert_eq!(
        std::fs::read(dir.path().join("tls/pool-ca.pem")).unwrap(),
        before
    );
}

#[test]
fn the_policy_template_lacks_the_operators_values_and_nothing_else() {
    let Err(PolicyError::Mistakes(mistakes)) =
        AppraisalPolicy::from_toml(templates::APPRAISAL_POLICY)
    else {
        panic!("a template that nobody completed must be refused");
    };
    for mistake in mistakes {
        let expected = [
            "td.xfam_required",
            "platform_profiles",
            "releases",
            "platforms.enrolled",
        ];
        assert!(
            expected.iter().any(|key| mistake.contains(key)),
            "{mistake}"
        );
    }
}

#[test]
fn hostnames_are_names_or_addresses() {
    for good in ["localhost", "gateway.example.org", "10.0.0.7", "::1"] {
        assert!(good.parse::<Hostname>().is_ok(), "{good}");
    }
    for bad in ["", "a b", "-a", "a..b", "https://x", &"a".repeat(64)] {
        assert!(bad.parse::<Hostname>().is_err(), "{bad}");
    }
}
