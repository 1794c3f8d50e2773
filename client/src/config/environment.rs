//! The environment variables that the programs read, all of them, read at one moment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use super::Mistake;

pub(super) const GATEWAY: &str = "COCOON_GATEWAY";
pub(super) const ACCESS_TOKEN: &str = "COCOON_ACCESS_TOKEN";
pub(super) const ACCESS_TOKEN_FILE: &str = "COCOON_ACCESS_TOKEN_FILE";
pub(super) const CA_FILE: &str = "COCOON_CA_FILE";
const STATE_DIR: &str = "COCOON_STATE_DIR";
const NO_COLOR: &str = "NO_COLOR";
const HOME: &str = "HOME";
const XDG_CONFIG_HOME: &str = "XDG_CONFIG_HOME";
const XDG_STATE_HOME: &str = "XDG_STATE_HOME";

const NAMES: [&str; 9] = [
    GATEWAY,
    ACCESS_TOKEN,
    ACCESS_TOKEN_FILE,
    CA_FILE,
    STATE_DIR,
    NO_COLOR,
    HOME,
    XDG_CONFIG_HOME,
    XDG_STATE_HOME,
];

/// Their values; an empty one counts as absent.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<&'static str, OsString>);

impl Environment {
    /// The process's own.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where this process reads its environment"
    )]
    pub fn of_process() -> Self {
        Self::from_lookup(|name| std::env::var_os(name))
    }

    /// From anything that answers by name.
    #[must_use]
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<OsString>) -> Self {
        let present = NAMES.into_iter().filter_map(|name| {
            let value = lookup(name).filter(|value| !value.is_empty())?;
            Some((name, value))
        });
        Self(present.collect())
    }

    /// <https://no-color.org>: present and not empty.
    #[must_use]
    pub fn no_color(&self) -> bool {
        self.0.contains_key(NO_COLOR)
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.0
            .get(name)
            .and_then(|value| value.to_str())
            .map(str::to_owned)
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.0.get(name).map(PathBuf::from)
    }

    /// `$XDG_CONFIG_HOME/cocoon`, by default `~/.config/cocoon`.
    pub(super) fn config_dir(&self) -> Option<PathBuf> {
        self.xdg(XDG_CONFIG_HOME, ".config")
    }

    /// `$COCOON_STATE_DIR`, or `$XDG_STATE_HOME/cocoon`, by default `~/.local/state/cocoon`.
    pub(super) fn state_dir(&self) -> Option<PathBuf> {
        self.path(STATE_DIR)
            .or_else(|| self.xdg(XDG_STATE_HOME, ".local/state"))
    }

    fn xdg(&self, name: &str, default: &str) -> Option<PathBuf> {
        let base = self
            .path(name)
            .or_else(|| self.path(HOME).map(|home| home.join(default)));
        base.map(|base| base.join("cocoon"))
    }

    /// Values that must be text and are not.
    pub(super) fn mistakes(&self) -> Vec<Mistake> {
        let texts = [GATEWAY, ACCESS_TOKEN].into_iter();
        texts
            .filter(|name| {
                self.0
                    .get(name)
                    .is_some_and(|value| value.to_str().is_none())
            })
            .map(|name| Mistake {
                setting: name.to_owned(),
                problem: "it is not text (UTF-8)".to_owned(),
            })
            .collect()
    }
}

/// Names alone: one of the values is a secret.
impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}
