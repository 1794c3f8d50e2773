//! The broker's configuration: one short TOML file, read like the worker's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::Value;

use super::broker::Rules;
use super::configfs_tsm::BASE_DEFAULT;
use crate::config::{ConfigError, Keys, read_toml};

/// The gate's own limit is 30 s, so a later quote helps nobody.
const DEADLINE_S_DEFAULT: u64 = 25;
const DEADLINE_S_MAX: u64 = 300;
/// At about one quote a second the last of them still gets its answer in time.
const WAITING_MAX_DEFAULT: u64 = 16;
const WAITING_MAX_MAX: u64 = 1_000;
/// One line for each user, as `getent passwd` prints it; Linux' own tools give up on longer ones.
const PASSWD: &str = "/etc/passwd";

/// A complete configuration.
#[derive(Debug, Clone)]
pub struct QuoteConfig {
    pub rules: Rules,
    /// Absent under socket activation.
    pub socket: Option<PathBuf>,
    pub tsm_report_dir: PathBuf,
}

impl QuoteConfig {
    /// Reads the file, and user names from the machine's user database.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let (table, _) = read_toml(path)?;
        let passwd = std::fs::read_to_string(PASSWD).unwrap_or_default();
        let mut keys = Keys::new(table);
        let config = read(&mut keys, &passwd);
        let mistakes = keys.finish();
        match config {
            Some(config) if mistakes.is_empty() => Ok(config),
            _ => Err(ConfigError::Mistakes {
                path: path.to_owned(),
                mistakes,
            }),
        }
    }
}

fn read(keys: &mut Keys, passwd: &str) -> Option<QuoteConfig> {
    let allowed_uids = allowed_users(keys, passwd);
    let socket = keys.has("socket").then(|| keys.path("socket"));
    let tsm_report_dir = if keys.has("tsm_report_dir") {
        keys.path("tsm_report_dir")
    } else {
        Some(PathBuf::from(BASE_DEFAULT))
    };
    let deadline_s = keys.whole_or("deadline_s", DEADLINE_S_DEFAULT, 1, DEADLINE_S_MAX);
    let waiting_max = keys.whole_or("waiting_max", WAITING_MAX_DEFAULT, 1, WAITING_MAX_MAX);
    Some(QuoteConfig {
        rules: Rules {
            allowed_uids: allowed_uids?,
            deadline: Duration::from_secs(deadline_s?),
            waiting_max: usize::try_from(waiting_max?).ok()?,
        },
        socket: match socket {
            Some(path) => Some(path?),
            None => None,
        },
        tsm_report_dir: tsm_report_dir?,
    })
}

fn allowed_users(keys: &mut Keys, passwd: &str) -> Option<BTreeSet<u32>> {
    const KEY: &str = "allowed_users";
    let mut uids = BTreeSet::new();
    for user in keys.list(KEY)? {
        match uid(&user, passwd) {
            Some(uid) => {
                uids.insert(uid);
            }
            None => keys.mistake(
                KEY,
                format!("{user} is neither a user of {PASSWD} nor a user id"),
            ),
        }
    }
    if uids.is_empty() {
        keys.mistake(
            KEY,
            "names nobody: name the user that cocoon-worker runs as",
        );
    }
    Some(uids)
}

/// A number, or a name looked up in the text of `/etc/passwd`.
fn uid(user: &Value, passwd: &str) -> Option<u32> {
    match user {
        Value::Integer(uid) => u32::try_from(*uid).ok(),
        Value::String(name) => passwd
            .lines()
            .map(|line| line.split(':'))
            .find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?
            .nth(1)?
            .parse()
            .ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD_TEXT: &str =
        "root:x:0:0:root:/root:/bin/sh\ncocoon-worker:x:990:990::/:/usr/sbin/nologin\n";

    fn load(text: &str) -> Result<QuoteConfig, Vec<String>> {
        let mut keys = Keys::new(text.parse().unwrap());
        let config = read(&mut keys, PASSWD_TEXT);
        let mistakes = keys.finish();
        match config {
            Some(config) if mistakes.is_empty() => Ok(config),
            _ => Err(mistakes.into_iter().map(|mistake| mistake.key).collect()),
        }
    }

    #[test]
    fn users_are_names_or_numbers() {
        let config = load("allowed_users = [\"cocoon-worker\", 1000]").unwrap();
        assert_eq!(config.rules.allowed_uids, BTreeSet::from([990, 1000]));
        assert_eq!(config.socket, None);
        assert_eq!(config.tsm_report_dir, Path::new(BASE_DEFAULT));
    }

    #[test]
    fn each_mistake_is_named() {
        assert_eq!(load("").unwrap_err(), ["allowed_users"]);
        assert_eq!(load("allowed_users = []").unwrap_err(), ["allowed_users"]);
        assert_eq!(
            load("allowed_users = [\"nobody-here\", 1]").unwrap_err(),
            ["allowed_users"]
        );
        assert_eq!(
            load("allowed_users = [-1, 1]").unwrap_err(),
            ["allowed_users"]
        );
        assert_eq!(
            load("allowed_users = [1]\nsocket = \"here\"").unwrap_err(),
            ["socket"]
        );
        assert_eq!(
            load("allowed_users = [1]\ndeadline_s = 0\nsize = 1").unwrap_err(),
            ["deadline_s", "size"]
        );
    }
}
