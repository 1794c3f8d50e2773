//! The OpenAPI document, held against every answer that any test gets from the API.

use std::sync::LazyLock;

use http::Method;
use serde_json::Value;

use crate::https::Answer;

static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::to_value(gateway::openapi()).unwrap());

/// Asserts that the document says of this very operation that it may answer so, and that every answer has its id.
#[track_caller]
pub(crate) fn expect_described(method: &Method, path: &str, answer: &Answer) {
    let id = answer.header("x-request-id");
    assert!(!id.is_empty(), "{method} {path}: no request id: {answer:?}");
    let path = path.split('?').next().unwrap();
    let Some(operations) = operations(path) else {
        // What is not there.
        answer.refuses_as(method, 404);
        return;
    };
    let Some(operation) = operations.get(method.as_str().to_lowercase()) else {
        answer.refuses_as(method, 405);
        assert!(
            !answer.header("allow").is_empty(),
            "{method} {path}: {answer:?}"
        );
        return;
    };
    let status = answer.status.to_string();
    let described = resolve(&operation["responses"][&status]);
    assert!(
        described.is_object(),
        "{method} {path}: undescribed {answer:?}"
    );
    let media_type = answer.header("content-type").split(';').next().unwrap();
    match described["content"].as_object() {
        Some(content) => assert!(
            content.contains_key(media_type),
            "{method} {path}: {status} is described as {:?}, not {media_type}",
            content.keys()
        ),
        None => assert!(answer.body.is_empty(), "{method} {path}: {answer:?}"),
    }
    for header in described["headers"].as_object().into_iter().flatten() {
        assert!(
            !answer.header(header.0).is_empty(),
            "{method} {path}: no {}",
            header.0
        );
    }
}

/// The operations of the path that this one is an instance of. Words come before variables.
fn operations(path: &str) -> Option<&'static Value> {
    let paths = DOCUMENT["paths"].as_object().unwrap();
    paths.get(path).or_else(|| {
        let mut matching = paths
            .iter()
            .filter(|(template, _)| is_instance(path, template));
        matching.next().map(|(_, operations)| operations)
    })
}

fn is_instance(path: &str, template: &str) -> bool {
    let (segments, wanted) = (path.split('/'), template.split('/'));
    let fits = |(segment, wanted): (&str, &str)| {
        segment == wanted || (wanted.starts_with('{') && !segment.is_empty())
    };
    segments.clone().count() == wanted.clone().count() && segments.zip(wanted).all(fits)
}

fn resolve(response: &'static Value) -> &'static Value {
    let reference = response["$ref"].as_str();
    let pointer = reference.and_then(|reference| reference.strip_prefix('#'));
    pointer.map_or(response, |pointer| DOCUMENT.pointer(pointer).unwrap())
}
