//! Values that are texts in JSON and CBOR. They are read where they stand, without a copy: each task goes through some ten.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// Reads a text as its type's parser does.
pub(crate) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: fmt::Display>,
    D: Deserializer<'de>,
{
    read(deserializer, str::parse)
}

/// Reads what a text stands for.
pub(crate) fn read<'de, T, X, D>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Result<T, X>,
) -> Result<T, D::Error>
where
    X: fmt::Display,
    D: Deserializer<'de>,
{
    let parsed = PhantomData;
    deserializer.deserialize_str(Text { parse, parsed })
}

struct Text<F, T> {
    parse: F,
    parsed: PhantomData<T>,
}

impl<T, X, F> Visitor<'_> for Text<F, Result<T, X>>
where
    X: fmt::Display,
    F: FnOnce(&str) -> Result<T, X>,
{
    type Value = T;

    /// As of any text.
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }
}
