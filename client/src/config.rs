//! Configuration, read once: flags before environment before file, and every mistake named before anything is sent.

mod environment;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;
use zeroize::Zeroizing;

pub use environment::Environment;
use environment::{ACCESS_TOKEN, ACCESS_TOKEN_FILE, CA_FILE, GATEWAY};

use crate::access_token::AccessToken;
use crate::gateway::{Address, Options, Retries};
use crate::terminal::{Terminal, within_line};
use crate::tls::Roots;

/// A configuration, an access token or a CA bundle larger than this is another file.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The bit of a file's mode that lets everybody read it.
const OTHERS_READ: u32 = 0o004;

/// For `--help`.
pub const SETTINGS: &str = "\
Settings, each from the first that names it: flag, environment, file:
  gateway address    --gateway            COCOON_GATEWAY            gateway
  access token       --access-token-file  COCOON_ACCESS_TOKEN_FILE  access_token_file
                     (the token itself)   COCOON_ACCESS_TOKEN
  trusted CA         --ca-file            COCOON_CA_FILE            ca_file
An access token is never an argument: other users of the machine can read those.";

/// The flags that say where the gateway is and who asks.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Connection")]
pub struct Flags {
    /// The gateway's API, as in `https://gateway.example:8443`.
    #[arg(long, value_name = "URL", global = true)]
    pub gateway: Option<String>,
    /// File that holds the access token.
    #[arg(long, value_name = "FILE", global = true)]
    pub access_token_file: Option<PathBuf>,
    /// Trust only the certificates of this PEM file, instead of the platform's.
    #[arg(long, value_name = "FILE", global = true)]
    pub ca_file: Option<PathBuf>,
    /// Read this configuration file instead of the one in ~/.config/cocoon.
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
}

/// What every command needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    pub gateway: Address,
    pub access_token: AccessToken,
    pub roots: Roots,
    /// Where this machine keeps what it submitted; `None` where there is no home.
    pub state_dir: Option<PathBuf>,
    /// What should be mended, though it keeps nothing from working.
    pub warnings: Vec<String>,
}

/// The file: every key may be left out.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    gateway: Option<String>,
    access_token_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
}

/// All that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    pub mistakes: Vec<Mistake>,
}

/// One mistake: which setting, from where, and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    pub setting: String,
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the configuration is not complete:")?;
        for mistake in &self.mistakes {
            write!(formatter, "\n  {}: {}", mistake.setting, mistake.problem)?;
        }
        Ok(())
    }
}

impl Config {
    /// Reads everything. `file_name` is the program's own file in the configuration folder.
    pub fn read(
        file_name: &str,
        flags: &Flags,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let mut mistakes = environment.mistakes();
        let file = read_file(file_name, flags, environment, &mut mistakes);
        let gateway = gateway(flags, environment, &file, &mut mistakes);
        let token = access_token_text(flags, environment, &file);
        let access_token = access_token(token.text, &mut mistakes);
        let roots = roots(flags, environment, &file, &mut mistakes);
        match (gateway, access_token) {
            (Some(gateway), Some(access_token)) if mistakes.is_empty() => Ok(Self {
                gateway,
                access_token,
                roots,
                state_dir: environment.state_dir(),
                warnings: token.warning.into_iter().collect(),
            }),
            _ => Err(ConfigError { mistakes }),
        }
    }

    /// Tells what should be mended.
    pub fn warn(&self, terminal: &mut Terminal<'_>) -> std::io::Result<()> {
        self.warnings
            .iter()
            .try_for_each(|warning| terminal.warning(within_line(warning)))
    }

    /// What a [`Gateway`](crate::Gateway) is made of.
    #[must_use]
    pub fn options(&self) -> Options {
        Options {
            address: self.gateway.clone(),
            access_token: Some(self.access_token.clone()),
            roots: self.roots.clone(),
            retries: Retries::default(),
        }
    }
}

/// A value with the name of where it stands.
struct Sourced<T> {
    value: T,
    source: String,
}

fn mistake(mistakes: &mut Vec<Mistake>, setting: impl Into<String>, problem: impl fmt::Display) {
    mistakes.push(Mistake {
        setting: setting.into(),
        problem: problem.to_string(),
    });
}

/// The default file may be absent; one that the user named may not.
fn read_file(
    file_name: &str,
    flags: &Flags,
    environment: &Environment,
    mistakes: &mut Vec<Mistake>,
) -> Settings {
    let default = environment
        .config_dir()
        .map(|folder| folder.join(file_name));
    let Some(path) = flags.config.clone().or(default) else {
        return Settings::default();
    };
    if flags.config.is_none() && !path.exists() {
        return Settings::default();
    }
    let setting = path.display().to_string();
    let text = match read_text(&path) {
        Ok(text) => text,
        Err(error) => {
            mistake(mistakes, setting, error);
            return Settings::default();
        }
    };
    match toml::from_str::<Settings>(&text) {
        Ok(file) => file.beside(&path),
        Err(error) => {
            mistake(mistakes, setting, error.to_string().trim_end());
            Settings::default()
        }
    }
}

impl Settings {
    /// Relative paths are meant from the configuration file's folder.
    fn beside(self, path: &Path) -> Self {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let absolute = |file: Option<PathBuf>| file.map(|file| folder.join(file));
        Self {
            gateway: self.gateway,
            access_token_file: absolute(self.access_token_file),
            ca_file: absolute(self.ca_file),
        }
    }
}

fn gateway(
    flags: &Flags,
    environment: &Environment,
    file: &Settings,
    mistakes: &mut Vec<Mistake>,
) -> Option<Address> {
    let named = sourced(flags.gateway.as_ref(), "--gateway")
        .or_else(|| sourced(environment.text(GATEWAY).as_ref(), GATEWAY))
        .or_else(|| sourced(file.gateway.as_ref(), "`gateway` of the configuration file"));
    let Some(named) = named else {
        mistake(
            mistakes,
            "gateway",
            "no address; name it with --gateway or COCOON_GATEWAY",
        );
        return None;
    };
    Address::parse(&named.value)
        .map_err(|error| mistake(mistakes, named.source, error))
        .ok()
}

fn access_token(text: Sourced<ReadText>, mistakes: &mut Vec<Mistake>) -> Option<AccessToken> {
    let Sourced { value, source } = text;
    let parsed =
        value.and_then(|text| AccessToken::parse(&text).map_err(|error| error.to_string()));
    parsed
        .map_err(|problem| mistake(mistakes, source, problem))
        .ok()
}

type ReadText = Result<Zeroizing<String>, String>;

/// The access token as it was found.
struct FoundToken {
    text: Sourced<ReadText>,
    warning: Option<String>,
}

/// A secret that every user of the machine can read is none.
fn warning_about(path: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & OTHERS_READ != 0).then(|| {
        let path = path.display();
        format!("warning: every user of this machine can read the access token in {path}: chmod 600 {path}")
    })
}

/// Where the token stands, with what was read there. Never absent: a token that nobody named is a mistake too.
fn access_token_text(flags: &Flags, environment: &Environment, file: &Settings) -> FoundToken {
    let from_file = |path: &Path, name: &str| FoundToken {
        text: Sourced {
            value: read_text(path)
                .map(Zeroizing::new)
                .map_err(|error| error.to_string()),
            source: format!("access token in {} ({name})", path.display()),
        },
        warning: warning_about(path),
    };
    let unwarned = |value, source: &str| FoundToken {
        text: Sourced {
            value,
            source: source.to_owned(),
        },
        warning: None,
    };
    if let Some(path) = &flags.access_token_file {
        return from_file(path, "--access-token-file");
    }
    if let Some(text) = environment.text(ACCESS_TOKEN) {
        return unwarned(Ok(Zeroizing::new(text)), ACCESS_TOKEN);
    }
    if let Some(path) = environment.path(ACCESS_TOKEN_FILE) {
        return from_file(&path, ACCESS_TOKEN_FILE);
    }
    if let Some(path) = &file.access_token_file {
        return from_file(path, "`access_token_file`");
    }
    let none = "none; name its file with --access-token-file, or set COCOON_ACCESS_TOKEN";
    unwarned(Err(none.to_owned()), "access token")
}

fn roots(
    flags: &Flags,
    environment: &Environment,
    file: &Settings,
    mistakes: &mut Vec<Mistake>,
) -> Roots {
    let named = sourced(flags.ca_file.as_ref(), "--ca-file")
        .or_else(|| sourced(environment.path(CA_FILE).as_ref(), CA_FILE))
        .or_else(|| sourced(file.ca_file.as_ref(), "`ca_file`"));
    let Some(named) = named else {
        return Roots::Platform;
    };
    match read_text(&named.value) {
        Ok(text) => Roots::Only {
            pem: text.into_bytes(),
        },
        Err(error) => {
            let setting = format!("CA file {} ({})", named.value.display(), named.source);
            mistake(mistakes, setting, error);
            Roots::Platform
        }
    }
}

fn sourced<T: Clone>(value: Option<&T>, source: &str) -> Option<Sourced<T>> {
    value.cloned().map(|value| Sourced {
        value,
        source: source.to_owned(),
    })
}

/// Why a small text file could not be read.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error("{0}")]
    Io(std::io::Error),
    #[error("it has more than {FILE_BYTES_MAX} bytes")]
    TooLarge,
    #[error("it is not text (UTF-8)")]
    NotText,
}

fn read_text(path: &Path) -> Result<String, ReadError> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(ReadError::Io)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(ReadError::Io)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_BYTES_MAX {
        return Err(ReadError::TooLarge);
    }
    String::from_utf8(bytes).map_err(|_| ReadError::NotText)
}
