//! The OpenAPI document, generated from the annotations of the routes.

mod refusals;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder};

use super::{described, of_users};

/// The scheme that every route but this one names, with the role it needs.
const SCHEME: &str = "access_token";

/// The whole document.
#[must_use]
pub fn openapi() -> OpenApi {
    let mut document = described(of_users()).1;
    refusals::complete(&mut document);
    document
}

/// What the document says before the routes add themselves.
pub(super) fn frame() -> OpenApi {
    let info = InfoBuilder::new()
        .title("cocoon-gateway")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "A pool of GPU workers that prove what they are before they see any work. Refusals are problems (RFC 9457) \
             with a stable `code`. Each operation names the role that its access token needs; an operator's access \
             token serves where a client's does. A method that a path does not have is refused with 405 and `allow`, a \
             path that there is not with 404. Every answer has an `x-request-id`, the caller's own where one was sent; \
             `ratelimit` and `ratelimit-policy` say what is left of the user's share of requests.",
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
    static TEXT: LazyLock<String> = LazyLock::new(|| openapi().to_json().unwrap_or_default());
    let mut response = TEXT.as_str().into_response();
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
