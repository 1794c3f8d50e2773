//! The bearer's secret for the REST API.

use std::fmt;

use zeroize::Zeroizing;

/// What every access token starts with, so that scanners for leaked secrets find it.
const PREFIX: &str = "ccn_";
/// A token is a prefix and some 43 characters of base64url; far more than that is another file.
const BYTES_MAX: usize = 512;

/// An access token. Printing it prints nothing of it.
#[derive(Clone)]
pub struct AccessToken(Zeroizing<String>);

/// Why a text is no access token; the text itself is never part of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccessTokenError {
    #[error("it is empty")]
    Empty,
    #[error("it does not start with `{PREFIX}`")]
    Prefix,
    #[error("it has more than {BYTES_MAX} characters")]
    TooLong,
    #[error("it holds a space, a line break or another character that no access token has")]
    Characters,
}

impl AccessToken {
    /// Reads a token; white space around it is dropped, since files end in a line break.
    pub fn parse(text: &str) -> Result<Self, AccessTokenError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(AccessTokenError::Empty);
        }
        if text.len() > BYTES_MAX {
            return Err(AccessTokenError::TooLong);
        }
        if !text.starts_with(PREFIX) {
            return Err(AccessTokenError::Prefix);
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AccessTokenError::Characters);
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// For the `Authorization` header alone.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AccessToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_a_line_and_never_shown() {
        let token = AccessToken::parse("ccn_secret\n").unwrap();
        assert_eq!(token.reveal(), "ccn_secret");
        assert_eq!(format!("{token:?}"), "AccessToken");
    }

    #[test]
    fn anything_else_is_refused_without_repeating_it() {
        let cases = [
            ("", AccessTokenError::Empty),
            (" \n", AccessTokenError::Empty),
            ("hunter2", AccessTokenError::Prefix),
            ("ccn_two words", AccessTokenError::Characters),
            ("ccn_ü", AccessTokenError::Characters),
        ];
        for (text, wanted) in cases {
            assert_eq!(AccessToken::parse(text).unwrap_err(), wanted, "{text:?}");
        }
        let long = format!("ccn_{}", "a".repeat(BYTES_MAX));
        assert_eq!(
            AccessToken::parse(&long).unwrap_err(),
            AccessTokenError::TooLong
        );
    }
}
