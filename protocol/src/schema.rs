//! How identifiers look in the OpenAPI document: texts with a pattern, so that a reader and a generator of clients know which
//! are taken.

use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};

/// The schema of a text.
pub(crate) fn text(description: &str, pattern: &str, example: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .pattern(Some(pattern))
        .examples([example])
        .into()
}

/// Bytes that travel as standard base64.
pub(crate) fn base64() -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Byte)))
        .description(Some("Standard base64, with padding."))
        .into()
}

macro_rules! described_text {
    ($name:ident, $description:literal, $pattern:expr, $example:literal) => {
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                crate::schema::text($description, $pattern, $example)
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}

pub(crate) use described_text;
