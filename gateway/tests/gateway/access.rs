//! Who may do what: every route of the document, with no access token, a wrong one, and one of the wrong role.

use http::Method;
use serde_json::Value;

use crate::pool::Pool;

#[tokio::test]
async fn every_route_keeps_to_the_role_it_names() {
    let pool = Pool::start().await;
    let client = pool.https(&pool.client("alice").await);
    let document = client.without_token().get("/openapi.json").await;
    assert_eq!(document.status, 200);
    for (path, methods) in document.json()["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let role = operation["security"][0]["access_token"][0].as_str();
            let Some(role) = role else { continue };
            let method: Method = method.to_uppercase().parse().unwrap();
            let path = fill(path, operation);
            let send = |https: crate::https::Https| {
                let (method, path) = (method.clone(), path.clone());
                async move { https.send(method, &path, &[], bytes::Bytes::new()).await }
            };
            let unknown = format!("ccn_{}", "0".repeat(64));
            for (answer, code) in [
                (send(client.without_token()).await, "access-token-missing"),
                (
                    send(client.with_token("ccn_short")).await,
                    "access-token-invalid",
                ),
                (
                    send(client.with_token(&unknown)).await,
                    "access-token-invalid",
                ),
            ] {
                assert_eq!(answer.status, 401, "{method} {path}: {answer:?}");
                assert_eq!(answer.header("www-authenticate"), "Bearer");
                if method != Method::HEAD {
                    answer.refuses(401, code);
                }
            }
            let answer = send(client.clone()).await;
            assert_eq!(
                answer.status == 403,
                role == "operator",
                "{method} {path}: {answer:?}"
            );
            let answer = send(pool.operator()).await;
            assert!(
                !matches!(answer.status, 401 | 403),
                "{method} {path}: {answer:?}"
            );
        }
    }
}

/// The path with something where its variables are.
fn fill(path: &str, operation: &Value) -> String {
    let mut filled = path.to_owned();
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap();
        let value = match name {
            "sha256" => "0".repeat(64),
            _ if path.contains("/tasks/") => "01HZZZZZZZZZZZZZZZZZZZZZZZ".to_owned(),
            _ => "nobody".to_owned(),
        };
        filled = filled.replace(&format!("{{{name}}}"), &value);
    }
    filled
}

/// Those that no handler sees, too.
#[tokio::test]
async fn every_refusal_is_a_problem_with_the_requests_id() {
    let pool = Pool::start().await;
    let client = pool.https(&pool.client("alice").await);
    let send = |method: Method, path: &'static str| {
        let client = client.clone();
        async move {
            let id = [("x-request-id", "mine-1")];
            let answer = client.send(method, path, &id, bytes::Bytes::new()).await;
            assert_eq!(answer.header("x-request-id"), "mine-1", "{answer:?}");
            answer
        }
    };
    for path in [
        "/",
        "/v1",
        "/v1/nothing",
        "/v1/tasks/",
        "/v1//tasks",
        "/v1/tasks/x/y/z",
    ] {
        send(Method::GET, path).await.refuses(404, "not-found");
    }
    for method in [
        Method::PATCH,
        Method::OPTIONS,
        Method::TRACE,
        Method::DELETE,
    ] {
        for path in ["/v1/tasks", "/v1/tasks/x", "/v1/blobs/x", "/openapi.json"] {
            let answer = send(method.clone(), path).await;
            answer.refuses(405, "method-not-allowed");
        }
    }
    send(Method::POST, "/v1/embeddings")
        .await
        .refuses(415, "unsupported-media-type");
    send(Method::GET, "/v1/tasks/%ff")
        .await
        .refuses(400, "malformed-request");
    send(Method::GET, "/v1/tasks?limit=x")
        .await
        .refuses(400, "malformed-request");
}

#[tokio::test]
async fn a_revoked_access_token_is_no_longer_valid() {
    let pool = Pool::start().await;
    let token = pool.client("alice").await;
    let client = pool.https(&token);
    assert_eq!(client.get("/v1/tasks").await.status, 200);
    let database = pool
        .dir
        .path()
        .join("state")
        .join(gateway::config::DATABASE);
    let store = gateway::store::Store::open_beside(&database).await.unwrap();
    let tokens = store.access_tokens().await.unwrap();
    let alices = tokens
        .iter()
        .find(|token| token.user.as_str() == "alice")
        .unwrap();
    assert!(alices.last_used_ms.is_some());
    assert!(store.revoke_access_token(alices.id, 1).await.unwrap());
    store.close().await;
    // It may be known for another second, and no longer.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    client
        .get("/v1/tasks")
        .await
        .refuses(401, "access-token-invalid");
}
