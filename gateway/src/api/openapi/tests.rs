//! What the document says, held against what was agreed.

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
    let wanted = ROUTES
        .iter()
        .map(|(method, path, role)| ((*method).to_owned(), (*path).to_owned(), (*role).to_owned()));
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

/// Status codes of an operation, in order.
fn statuses<'a>(document: &'a serde_json::Value, path: &str, method: &str) -> Vec<&'a str> {
    let responses = &document["paths"][path][method]["responses"];
    let statuses = responses.as_object().unwrap().keys();
    statuses.map(String::as_str).collect()
}

#[test]
fn every_refusal_is_described_as_it_is_sent() {
    let document = serde_json::to_value(openapi()).unwrap();
    let shared = document["components"]["responses"].as_object().unwrap();
    let own = document["paths"].as_object().unwrap().values();
    let own = own.flat_map(|methods| methods.as_object().unwrap().values());
    let own = own.flat_map(|operation| operation["responses"].as_object().unwrap());
    let inline = own.filter(|(_, response)| response.get("$ref").is_none());
    for (status, response) in shared.iter().chain(inline) {
        assert_ne!(status, "default");
        let is_refusal = response["description"] != "" && !status.starts_with('2');
        for (media_type, content) in response["content"].as_object().into_iter().flatten() {
            let schema = content["schema"]["$ref"].as_str().unwrap_or_default();
            let is_problem = media_type == "application/problem+json";
            assert_eq!(is_problem, is_refusal, "{status}: {media_type}");
            assert_eq!(
                is_problem,
                schema.ends_with("/Problem"),
                "{status}: {schema}"
            );
        }
    }
}

#[test]
fn an_operation_names_what_it_can_answer_and_nothing_else() {
    let document = serde_json::to_value(openapi()).unwrap();
    for (path, method, wanted) in [
        ("/v1/operations", "get", "200 401 429 500 503 504"),
        ("/v1/status", "get", "200 401 403 429 500 503 504"),
        (
            "/v1/tasks/{id}",
            "get",
            "200 400 401 404 413 429 500 503 504",
        ),
        (
            "/v1/tasks",
            "post",
            "200 201 400 401 409 413 415 422 429 500 503 504",
        ),
        (
            "/v1/tasks:batch",
            "post",
            "200 400 401 413 415 429 500 503 504",
        ),
        ("/v1/blobs/{sha256}", "put", "201 400 401 413 429 500 503"),
        ("/v1/blobs/{sha256}", "head", "200 400 401 404 429 500 503"),
        (
            "/v1/embeddings",
            "post",
            "200 400 401 413 415 422 429 500 503 504",
        ),
        (
            "/v1/workers/{id}",
            "delete",
            "204 400 401 403 404 429 500 503 504",
        ),
        ("/openapi.json", "get", "200"),
    ] {
        assert_eq!(
            statuses(&document, path, method).join(" "),
            wanted,
            "{method} {path}"
        );
    }
}
