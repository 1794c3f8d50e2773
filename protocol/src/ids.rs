//! Identifiers: one newtype each, so that no two can be confused.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::{ULID_LEN, Ulid};

use crate::limits::{IDEMPOTENCY_KEY_BYTES_MAX, NAME_BYTES_MAX};
use crate::schema::described_text;
use crate::text;

/// Why a text is not the identifier it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("`{0}` is not a ULID: expected 26 characters of Crockford's base 32")]
    Ulid(String),
    #[error(
        "`{0}` is not a name: expected 1 to {NAME_BYTES_MAX} characters of a-z, 0-9, `_`, `-` and `.`, starting with a letter or digit"
    )]
    Name(String),
    #[error("an idempotency key has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} printable ASCII characters")]
    IdempotencyKey,
}

/// Keeps what a peer sent short enough for an error text.
fn excerpt(text: &str) -> String {
    text.chars().take(80).collect()
}

macro_rules! ulid_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Ulid);

        impl $name {
            /// Sortable by `now_ms` (Unix milliseconds); the low 80 bits of `random` make it unique.
            #[must_use]
            pub const fn from_parts(now_ms: u64, random: u128) -> Self {
                Self(Ulid::from_parts(now_ms, random))
            }

            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Ulid::from_bytes(bytes))
            }

            #[must_use]
            pub const fn to_bytes(self) -> [u8; 16] {
                self.0.to_bytes()
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let id = Ulid::from_string(text).ok();
                // The decoder drops what 26 characters hold beyond 128 bits: many texts would be one id.
                id.filter(|id| id.array_to_str(&mut [0; ULID_LEN]).eq_ignore_ascii_case(text))
                    .map(Self)
                    .ok_or_else(|| IdError::Ulid(excerpt(text)))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.0.array_to_str(&mut [0; ULID_LEN]))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                text::deserialize(deserializer)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }

        described_text!($name, "A ULID.", ULID_PATTERN, "01JQ8Z4T4PKX5BZ1M7V0C6W3RD");
    };
}

/// Crockford's base 32; 26 characters hold two bits more than an id has, so the first one is small.
const ULID_PATTERN: &str = "^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$";

ulid_newtype! {
    /// A task, as its submitter and every later record know it.
    TaskId
}
ulid_newtype! {
    /// An admitted, attested connection.
    SessionId
}

macro_rules! name_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                is_name(text).then(|| Self(text.to_owned())).ok_or_else(|| IdError::Name(excerpt(text)))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                text::deserialize(deserializer)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        described_text!($name, "A name.", NAME_PATTERN, "gpu-7.rack-2");
    };
}

const NAME_PATTERN: &str = "^[a-z0-9][a-z0-9_.-]{0,63}$";
const _: () = assert!(NAME_BYTES_MAX == 64);

name_newtype! {
    /// An enrolled GPU node, as the operator sees it.
    WorkerId
}
name_newtype! {
    /// Whose access token it is, and whose tasks.
    UserName
}

fn is_name(text: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.".contains(&byte);
    text.len() <= NAME_BYTES_MAX
        && text
            .bytes()
            .next()
            .is_some_and(|first| first.is_ascii_lowercase() || first.is_ascii_digit())
        && text.bytes().all(allowed)
}

/// The submitter's key that makes a resubmission one task.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IdempotencyKey {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.is_empty() || text.len() > IDEMPOTENCY_KEY_BYTES_MAX || !printable {
            return Err(IdError::IdempotencyKey);
        }
        Ok(Self(text.to_owned()))
    }
}

impl<'de> Deserialize<'de> for IdempotencyKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer)
    }
}

described_text!(
    IdempotencyKey,
    "Printable ASCII without spaces.",
    "^[!-~]{1,128}$",
    "nightly-2026-07-31/17"
);
const _: () = assert!(IDEMPOTENCY_KEY_BYTES_MAX == 128);

/// A number that grows with every lease of a task. The gateway refuses a write that carries a smaller one: a lease alone
/// does not stop an agent that was paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FencingToken(pub u64);

impl fmt::Display for FencingToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_survive_text() {
        let early = TaskId::from_parts(1_000, 7);
        let late = TaskId::from_parts(2_000, 3);
        assert!(early < late);
        assert_eq!(early.to_string().parse(), Ok(early));
        assert_eq!(TaskId::from_bytes(early.to_bytes()), early);
        assert!("not-a-ulid".parse::<TaskId>().is_err());
    }

    /// 26 characters hold 130 bits; the decoder would drop the two that an id does not have.
    #[test]
    fn an_id_has_one_text_but_for_its_case() {
        let text = "01HZZZZZZZZZZZZZZZZZZZZZZZ";
        let id: TaskId = text.parse().unwrap();
        assert_eq!(text.to_lowercase().parse(), Ok(id));
        for alias in ["81", "G1", "Z1"] {
            let alias = text.replacen("01", alias, 1);
            assert!(alias.parse::<TaskId>().is_err(), "{alias}");
            assert!(alias.parse::<SessionId>().is_err(), "{alias}");
        }
    }

    #[test]
    fn names_are_plain() {
        for good in ["a", "worker_new_001", "gpu-7.rack-2", &"a".repeat(64)] {
            assert_eq!(good.parse::<WorkerId>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "Upper", "a b", "a/b", "ü", &"a".repeat(65)] {
            assert!(bad.parse::<WorkerId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn idempotency_keys_are_printable_and_bounded() {
        assert!("order-17/retry=2".parse::<IdempotencyKey>().is_ok());
        for bad in ["", "a b", "a\n", &"k".repeat(129)] {
            assert_eq!(bad.parse::<IdempotencyKey>(), Err(IdError::IdempotencyKey));
        }
    }
}
