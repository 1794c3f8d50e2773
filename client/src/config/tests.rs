//! Precedence of flags, environment and file, and every mistake at once.

use std::path::Path;

use super::*;

fn environment(pairs: &[(&'static str, &str)]) -> Environment {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    Environment::from_lookup(|wanted| {
        let found = pairs.iter().find(|(name, _)| *name == wanted);
        found.map(|(_, value)| value.into())
    })
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path
}

fn refusals(flags: &Flags, environment: &Environment) -> Vec<String> {
    let error = Config::read("client.toml", flags, environment).unwrap_err();
    error
        .mistakes
        .into_iter()
        .map(|mistake| format!("{}: {}", mistake.setting, mistake.problem))
        .collect()
}

#[test]
fn flags_come_before_environment_before_file() {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".config/cocoon");
    write(
        &folder,
        "client.toml",
        "gateway = \"https://file:1\"\naccess_token_file = \"token\"\n",
    );
    write(&folder, "token", "ccn_file\n");
    let home = home.path().to_str().unwrap();

    let from_file = Config::read(
        "client.toml",
        &Flags::default(),
        &environment(&[("HOME", home)]),
    )
    .unwrap();
    assert_eq!(from_file.gateway.as_str(), "https://file:1");
    assert_eq!(from_file.access_token.reveal(), "ccn_file");
    assert_eq!(
        from_file.state_dir.unwrap(),
        Path::new(home).join(".local/state/cocoon")
    );

    let variables = environment(&[
        ("HOME", home),
        ("COCOON_GATEWAY", "https://environment:2"),
        ("COCOON_ACCESS_TOKEN", "ccn_environment"),
        ("COCOON_STATE_DIR", "/state"),
    ]);
    let from_environment = Config::read("client.toml", &Flags::default(), &variables).unwrap();
    assert_eq!(from_environment.gateway.as_str(), "https://environment:2");
    assert_eq!(from_environment.access_token.reveal(), "ccn_environment");
    assert_eq!(from_environment.state_dir.unwrap(), Path::new("/state"));

    let flags = Flags {
        gateway: Some("https://flag:3".to_owned()),
        access_token_file: Some(write(&folder, "other", "ccn_flag")),
        ..Flags::default()
    };
    let from_flags = Config::read("client.toml", &flags, &variables).unwrap();
    assert_eq!(from_flags.gateway.as_str(), "https://flag:3");
    assert_eq!(from_flags.access_token.reveal(), "ccn_flag");
}

#[test]
fn nothing_configured_says_what_to_name() {
    assert_eq!(
        refusals(&Flags::default(), &environment(&[])),
        [
            "gateway: no address; name it with --gateway or COCOON_GATEWAY",
            "access token: none; name its file with --access-token-file, or set COCOON_ACCESS_TOKEN",
        ]
    );
}

#[test]
fn every_mistake_is_named_and_no_secret_is() {
    let folder = tempfile::tempdir().unwrap();
    let flags = Flags {
        gateway: Some("http://gateway:1".to_owned()),
        ca_file: Some(folder.path().join("absent.pem")),
        config: Some(write(folder.path(), "client.toml", "gatway = 1\n")),
        ..Flags::default()
    };
    let refusals = refusals(&flags, &environment(&[("COCOON_ACCESS_TOKEN", "hunter2")])).join("\n");
    for part in [
        "unknown field `gatway`",
        "--gateway: `http://gateway:1` does not start with https://",
        "absent.pem (--ca-file): No such file",
        "COCOON_ACCESS_TOKEN: it does not start with `ccn_`",
    ] {
        assert!(refusals.contains(part), "{part} in {refusals}");
    }
    assert!(!refusals.contains("hunter2"));
}

#[test]
fn a_named_configuration_file_must_be_there() {
    let flags = Flags {
        config: Some("/absent/client.toml".into()),
        ..Flags::default()
    };
    let refusals = refusals(&flags, &environment(&[]));
    assert!(
        refusals[0].starts_with("/absent/client.toml: No such file"),
        "{refusals:?}"
    );
}

#[test]
fn debug_prints_no_secret() {
    let variables = environment(&[
        ("COCOON_ACCESS_TOKEN", "ccn_secret"),
        ("COCOON_GATEWAY", "https://gateway:1"),
    ]);
    let config = Config::read("client.toml", &Flags::default(), &variables).unwrap();
    assert!(!format!("{variables:?} {config:?}").contains("ccn_secret"));
}

#[test]
fn an_access_token_that_everybody_can_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "token", "ccn_secret\n");
    let variables = environment(&[("COCOON_GATEWAY", "https://gateway:1")]);
    let flags = Flags {
        access_token_file: Some(path.clone()),
        ..Flags::default()
    };
    for (mode, count) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let config = Config::read("client.toml", &flags, &variables).unwrap();
        assert_eq!(
            config.warnings.len(),
            count,
            "{mode:o}: {:?}",
            config.warnings
        );
    }
}
