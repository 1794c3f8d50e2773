//! Where the gateway's API is: an `https` URL without a path.

use std::fmt;

use reqwest::Url;

/// Scheme, name and port of a gateway.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    url: Url,
    /// Without the slash at the end, for messages.
    text: String,
}

/// Why a text is no gateway's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("`{0}` is not a URL: expected https://NAME:PORT")]
    NotUrl(String),
    #[error("`{0}` does not start with https://, and an access token never travels in the clear")]
    NotHttps(String),
    #[error("`{0}` has more than a name and a port: expected https://NAME:PORT")]
    TooMuch(String),
}

impl Address {
    /// Reads an address such as `https://gateway.example:8443`.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let shown = || text.chars().take(200).collect::<String>();
        let url = Url::parse(text.trim()).map_err(|_| AddressError::NotUrl(shown()))?;
        if url.scheme() != "https" {
            return Err(AddressError::NotHttps(shown()));
        }
        let is_bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        if !is_bare {
            return Err(AddressError::TooMuch(shown()));
        }
        let text = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { url, text })
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The URL of a route. Paths are made of fixed words, ULIDs, names and digests: none needs escaping.
    pub(super) fn url(&self, path: &str, query: &[(&'static str, String)]) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_https_name_and_port() {
        for text in [
            "https://localhost:8443",
            "https://localhost:8443/",
            " https://localhost:8443\n",
        ] {
            assert_eq!(
                Address::parse(text).unwrap().as_str(),
                "https://localhost:8443"
            );
        }
    }

    #[test]
    fn anything_else_is_refused() {
        assert!(matches!(
            Address::parse("gateway"),
            Err(AddressError::NotUrl(_))
        ));
        assert!(matches!(
            Address::parse("gateway:8443"),
            Err(AddressError::NotHttps(_))
        ));
        assert!(matches!(
            Address::parse("http://gateway"),
            Err(AddressError::NotHttps(_))
        ));
        for text in [
            "https://gateway/v1",
            "https://me@gateway",
            "https://gateway?x",
            "https://gateway#x",
        ] {
            assert!(
                matches!(Address::parse(text), Err(AddressError::TooMuch(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn a_route_is_appended() {
        let address = Address::parse("https://gateway:1").unwrap();
        let url = address.url("/v1/tasks:batch", &[("state", "dead-letter".to_owned())]);
        assert_eq!(
            url.as_str(),
            "https://gateway:1/v1/tasks:batch?state=dead-letter"
        );
    }
}
