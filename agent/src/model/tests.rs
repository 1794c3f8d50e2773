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
    let digest = fetch(&source, &to, &pinned(), &|_| ()).await.unwrap();
    assert_eq!(digest, pinned().digest());
    assert_eq!(names(&to), ["config.json", "weights"]);
    // Once more, over what is there.
    fetch(&source, &to, &pinned(), &|_| ()).await.unwrap();
    assert_eq!(model::verify(&to, &pinned()).unwrap(), digest);
}

#[tokio::test]
async fn other_files_are_put_nowhere() {
    for (config, weights) in [(&b"[]"[..], &b"1234"[..]), (b"{} ", b"1234")] {
        let (from, to) = (folder(config, weights), tempfile::tempdir().unwrap());
        let source = Source::Folder(from.path().to_owned());
        let refused = fetch(&source, to.path(), &pinned(), &|_| ())
            .await
            .unwrap_err();
        assert!(matches!(refused, FetchError::Model(_)));
        assert!(names(to.path()).is_empty());
        let to = to.path().join("new");
        let refused = fetch(&source, &to, &pinned(), &|_| ()).await.unwrap_err();
        assert!(matches!(refused, FetchError::Model(_)));
        assert!(!to.exists(), "no empty folder is left");
    }
}

/// A folder is in the place of the file, so that it cannot be moved there.
#[test]
fn a_file_that_cannot_be_put_in_place_leaves_nothing_beside_it() {
    let to = tempfile::tempdir().unwrap();
    let place = to.path().join("weights");
    std::fs::create_dir(&place).unwrap();
    put(&place, b"1234").unwrap_err();
    assert_eq!(names(to.path()), ["weights"]);
}

#[tokio::test]
async fn a_place_that_holds_no_folder_is_named() {
    let from = folder(b"{}", b"1234");
    let source = Source::Folder(from.path().to_owned());
    // Nothing lies in a device.
    let to = Path::new("/dev/null/model");
    let refused = fetch(&source, to, &pinned(), &|_| ()).await.unwrap_err();
    assert!(matches!(&refused, FetchError::Folder(_)), "{refused:?}");
}

#[tokio::test]
async fn what_is_in_place_is_not_fetched_again_and_what_is_another_file_stays() {
    let (from, to) = (folder(b"{}", b"1234"), tempfile::tempdir().unwrap());
    let source = Source::Folder(from.path().to_owned());
    let fetched = async || {
        let lines = std::sync::Mutex::new(Vec::new());
        let say = |line: &str| lines.lock().unwrap().push(line.to_owned());
        let ended = fetch(&source, to.path(), &pinned(), &say).await;
        ended.map(|_| lines.into_inner().unwrap())
    };
    std::fs::write(to.path().join("weights"), b"mine").unwrap();
    let refused = fetched().await.unwrap_err();
    assert!(matches!(refused, FetchError::InTheWay(_)), "{refused:?}");
    assert_eq!(names(to.path()), ["weights"], "nothing is begun");
    assert_eq!(std::fs::read(to.path().join("weights")).unwrap(), b"mine");

    std::fs::write(to.path().join("weights"), b"1234").unwrap();
    assert_eq!(fetched().await.unwrap(), ["fetching config.json (2 bytes)"]);
    assert!(fetched().await.unwrap().is_empty());
}

#[test]
fn a_scheme_that_nothing_is_fetched_by_is_no_folder() {
    let refused = "ftp://example.org/model".parse::<Source>().unwrap_err();
    assert!(refused.to_string().starts_with("`ftp:`"), "{refused}");
    let folder = Source::Folder("models/a".into());
    assert_eq!("models/a".parse::<Source>().unwrap(), folder);
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
    fetch(&source, to.path(), &pinned(), &|_| ()).await.unwrap();
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
        let refused = fetch(&source, to.path(), &pinned(), &|_| ())
            .await
            .unwrap_err();
        match path {
            "model" => assert!(matches!(refused, FetchError::Model(_))),
            _ => assert!(matches!(refused, FetchError::Status { .. })),
        }
        assert!(!names(to.path()).contains(&"weights".to_owned()));
    }
    let nobody = "http://127.0.0.1:1/model".parse().unwrap();
    let to = tempfile::tempdir().unwrap();
    let refused = fetch(&nobody, to.path(), &pinned(), &|_| ())
        .await
        .unwrap_err();
    assert!(matches!(refused, FetchError::Http { .. }));
    let refused = fetch(&"https://[".parse().unwrap(), to.path(), &pinned(), &|_| ()).await;
    assert!(matches!(refused, Err(FetchError::Url(_))));
}
