//! Access tokens: 256 random bits after a prefix that secret scanners know. The store keeps their SHA-256 only, so a
//! lookup compares digests, and its timing says nothing about the text.

use std::fmt;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use protocol::Sha256Digest;
use zeroize::Zeroizing;

/// What every access token opens with.
pub const PREFIX: &str = "ccn_";
const RANDOM_BYTES: usize = 32;
const TEXT_BYTES: usize = PREFIX.len() + 2 * RANDOM_BYTES;

/// An access token's text. Prints nothing, is wiped when dropped.
pub struct AccessToken(Zeroizing<String>);

/// Why a request carries no access token that could be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccessTokenError {
    #[error("send `Authorization: Bearer ccn_…`")]
    Missing,
    #[error("an access token is `ccn_` and 64 hexadecimal digits")]
    Malformed,
}

impl AccessToken {
    /// A new one from the operating system's randomness.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = Zeroizing::new([0; RANDOM_BYTES]);
        getrandom::fill(bytes.as_mut_slice())?;
        Ok(Self(Zeroizing::new(format!(
            "{PREFIX}{}",
            hex::encode(*bytes)
        ))))
    }

    /// Takes the bearer credentials (RFC 6750, section 2.1) of a request.
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, AccessTokenError> {
        let value = headers
            .get(AUTHORIZATION)
            .ok_or(AccessTokenError::Missing)?;
        let value = value.to_str().map_err(|_| AccessTokenError::Malformed)?;
        let (scheme, text) = value.split_once(' ').ok_or(AccessTokenError::Missing)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(AccessTokenError::Missing);
        }
        Self::parse(text.trim())
    }

    fn parse(text: &str) -> Result<Self, AccessTokenError> {
        let shaped = text.len() == TEXT_BYTES
            && text
                .strip_prefix(PREFIX)
                .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if shaped {
            Ok(Self(Zeroizing::new(text.to_owned())))
        } else {
            Err(AccessTokenError::Malformed)
        }
    }

    /// What the store knows it by.
    #[must_use]
    pub fn sha256(&self) -> Sha256Digest {
        Sha256Digest::of(self.0.as_bytes())
    }

    /// The text, to be shown once to whom it is made for.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AccessToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn what_is_generated_is_read_back_and_never_printed() {
        let token = AccessToken::generate().unwrap();
        let read = AccessToken::from_headers(&headers(&format!("bearer {}", token.expose())));
        assert_eq!(read.unwrap().sha256(), token.sha256());
        assert_eq!(format!("{token:?}"), "AccessToken(..)");
        assert_ne!(AccessToken::generate().unwrap().sha256(), token.sha256());
    }

    #[test]
    fn anything_else_is_named() {
        let missing = AccessToken::from_headers(&HeaderMap::new());
        assert_eq!(missing.unwrap_err(), AccessTokenError::Missing);
        for value in ["Basic YTpi", "ccn_", ""] {
            let error = AccessToken::from_headers(&headers(value)).unwrap_err();
            assert_eq!(error, AccessTokenError::Missing, "{value}");
        }
        for value in [
            "Bearer ccn_",
            "Bearer x",
            &format!("Bearer ccn_{}", "g".repeat(64)),
        ] {
            let error = AccessToken::from_headers(&headers(value)).unwrap_err();
            assert_eq!(error, AccessTokenError::Malformed, "{value}");
        }
    }
}
