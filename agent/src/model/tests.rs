//! Files from a folder and from a server; what is not the model's is put nowhere.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use tokio::task::JoinSet;

use super::*;

/// A model of two small files.
fn pinned() -> Model {
    let file = |name, bytes: &'static [u8]| ModelFile {
        name,
        bytes: u64::try_from(bytes.len()).unwrap(),
        sha256: Sha256Digest::of(bytes),
    };
    Model {
        name: "small",
        files: Box::leak(Box::new([
            file("config.json", b"{}"),
            file("weights", b"1234"),
        ])),
    }
}

fn folder(config: &[u8], weights: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    std::fs::write(folder.path().join("weights"), weights).unwrap();
    folder
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_folder_is_copied() {
    let (from, to) = (folder(b"{}", b"1234"), tempfile::tempdir().unwrap());
    let to = to.path().join("new/model");
    let source = Source::Folder(from.path().to_owned());
    let digest = fetch(&source, &to, &pinned()).await.unwrap();
    assert_eq!(digest, pinned().digest());
    assert_eq!(names(&to), ["config.json", "weights"]);
    // Once more, over what is there.
    fetch(&source, &to, &pinned()).await.unwrap();
    assert_eq!(model::verify(&to, &pinned()).unwrap(), digest);
}

#[tokio::test]
async fn other_files_are_put_nowhere() {
    for (config, weights) in [(&b"[]"[..], &b"1234"[..]), (b"{} ", b"1234")] {
        let (from, to) = (folder(config, weights), tempfile::tempdir().unwrap());
        let source = Source::Folder(from.path().to_owned());
        let refused = fetch(&source, to.path(), &pinned()).await.unwrap_err();
        assert!(matches!(refused, FetchError::Model(_)));
        assert!(names(to.path()).is_empty());
    }
}

/// A folder is in the place of the second file, so that it cannot be moved there.
#[tokio::test]
async fn a_file_that_cannot_be_put_in_place_leaves_nothing_beside_it() {
    let (from, to) = (folder(b"{}", b"1234"), tempfile::tempdir().unwrap());
    std::fs::create_dir(to.path().join("weights")).unwrap();
    let source = Source::Folder(from.path().to_owned());
    let refused = fetch(&source, to.path(), &pinned()).await.unwrap_err();
    assert!(matches!(refused, FetchError::Write { path, .. } if path.ends_with("weights")));
    assert_eq!(names(to.path()), ["config.json", "weights"]);
}

/// Serves until the set is dropped.
async fn serve(router: Router) -> (JoinSet<()>, SocketAddr) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut served = JoinSet::new();
    served.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (served, address)
}

fn server(weights: &'static str) -> Router {
    Router::new()
        .route("/model/config.json", get(|| async { "{}" }))
        .route("/model/weights", get(move || async move { weights }))
}

#[tokio::test]
async fn a_server_is_asked_for_each_file() {
    let (_served, address) = serve(server("1234")).await;
    let to = tempfile::tempdir().unwrap();
    let source = format!("http://{address}/model/").parse().unwrap();
    fetch(&source, to.path(), &pinned()).await.unwrap();
    assert_eq!(names(to.path()), ["config.json", "weights"]);
}

#[tokio::test]
async fn a_server_with_other_bytes_or_none_is_refused() {
    for (weights, path) in [
        ("1235", "model"),
        ("123", "model"),
        ("12345", "model"),
        ("1234", "nothing"),
    ] {
        let (_served, address) = serve(server(weights)).await;
        let to = tempfile::tempdir().unwrap();
        let source = format!("http://{address}/{path}").parse().unwrap();
        let refused = fetch(&source, to.path(), &pinned()).await.unwrap_err();
        match path {
            "model" => assert!(matches!(refused, FetchError::Model(_))),
            _ => assert!(matches!(refused, FetchError::Status { .. })),
        }
        assert!(!names(to.path()).contains(&"weights".to_owned()));
    }
    let nobody = "http://127.0.0.1:1/model".parse().unwrap();
    let to = tempfile::tempdir().unwrap();
    let refused = fetch(&nobody, to.path(), &pinned()).await.unwrap_err();
    assert!(matches!(refused, FetchError::Http { .. }));
    let refused = fetch(&"https://[".parse().unwrap(), to.path(), &pinned()).await;
    assert!(matches!(refused, Err(FetchError::Url(_))));
}
