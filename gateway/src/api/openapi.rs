//! The OpenAPI document, generated from the annotations of the routes.

use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder};

use super::described;

/// The scheme that every route but this one names, with the role it needs.
const SCHEME: &str = "access_token";

/// The whole document.
#[must_use]
pub fn openapi() -> OpenApi {
    described().1
}

/// What the document says before the routes add themselves.
pub(super) fn frame() -> OpenApi {
    let info = InfoBuilder::new()
        .title("cocoon-gateway")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "A pool of GPU workers that prove what they are before they see any work. Refusals are problems (RFC 9457) \
             with a stable `code`. Each operation names the role that its access token needs; an operator's access \
             token serves where a client's does.",
        ))
        .license(Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build()))
        .build();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("ccn_ and 64 hexadecimal digits")
        .description(Some("Made with `cocoon-gateway access create`."))
        .build();
    let components = ComponentsBuilder::new()
        .security_scheme(SCHEME, SecurityScheme::Http(scheme))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .build()
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "pool",
    security(()),
    responses((status = 200, description = "The OpenAPI document", content_type = "application/json")),
)]
pub(super) async fn document() -> Response {
    let body = openapi().to_json().unwrap_or_default();
    let mut response = body.into_response();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The API as it was agreed: method, path and the role that it needs.
    const ROUTES: &[(&str, &str, &str)] = &[
        ("post", "/v1/tasks", "client"),
        ("get", "/v1/tasks", "client"),
        ("post", "/v1/tasks:batch", "client"),
        ("get", "/v1/tasks/{id}", "client"),
        ("get", "/v1/tasks/{id}/events", "client"),
        ("get", "/v1/tasks/{id}/explanation", "client"),
        ("post", "/v1/tasks/{id}/cancel", "client"),
        ("post", "/v1/tasks/{id}/redrive", "operator"),
        ("get", "/v1/tasks/{id}/output", "client"),
        ("get", "/v1/tasks/{id}/receipt", "client"),
        ("get", "/v1/tasks/{id}/attestation", "client"),
        ("post", "/v1/embeddings", "client"),
        ("put", "/v1/blobs/{sha256}", "client"),
        ("head", "/v1/blobs/{sha256}", "client"),
        ("get", "/v1/operations", "client"),
        ("get", "/v1/status", "operator"),
        ("post", "/v1/appraisal-policy:reload", "operator"),
        ("get", "/v1/workers", "operator"),
        ("post", "/v1/workers", "operator"),
        ("get", "/v1/workers/{id}", "operator"),
        ("delete", "/v1/workers/{id}", "operator"),
        ("get", "/v1/workers/{id}/explanation", "operator"),
        ("post", "/v1/workers/{id}/drain", "operator"),
        ("post", "/v1/workers/{id}/undrain", "operator"),
        ("get", "/v1/workers/{id}/attestation", "operator"),
        ("get", "/openapi.json", "none"),
    ];

    #[test]
    fn every_route_is_described_with_its_role() {
        let document = serde_json::to_value(openapi()).unwrap();
        let mut seen = BTreeSet::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                let security = &operation["security"][0];
                let role = security[SCHEME][0].as_str().unwrap_or("none").to_owned();
                assert!(operation["summary"].is_string(), "{method} {path}");
                assert!(
                    operation["responses"]
                        .as_object()
                        .is_some_and(|some| !some.is_empty())
                );
                seen.insert((method.clone(), path.clone(), role));
            }
        }
        let wanted = ROUTES.iter().map(|(method, path, role)| {
            ((*method).to_owned(), (*path).to_owned(), (*role).to_owned())
        });
        assert_eq!(seen, wanted.collect());
    }

    #[test]
    fn every_schema_that_is_named_is_there() {
        let text = openapi().to_json().unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(
                document["components"]["schemas"].get(name).is_some(),
                "{name}"
            );
        }
        assert_eq!(document["openapi"], "3.1.0");
    }
}
