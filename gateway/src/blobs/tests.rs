//! Uploads that hold, uploads that do not, and what a crash leaves.

use std::convert::Infallible;
use std::io;
use std::path::Path;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use protocol::Sha256Digest;
use protocol::task::InputDescriptor;
use tempfile::TempDir;

use super::{BlobError, Blobs, Upload};

const MAX: u64 = 1 << 20;

async fn blobs() -> (TempDir, Blobs) {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(&folder.path().join("blobs")).await.unwrap();
    (folder, blobs)
}

fn upload(content: &[u8]) -> Upload {
    Upload {
        sha256: Sha256Digest::of(content),
        bytes: None,
        bytes_max: MAX,
    }
}

/// In pieces of seven bytes.
async fn write(
    blobs: &Blobs,
    upload: Upload,
    content: &[u8],
) -> Result<InputDescriptor, BlobError> {
    let pieces: Vec<_> = content
        .chunks(7)
        .map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece)))
        .collect();
    blobs.write(upload, stream::iter(pieces)).await
}

async fn read(blobs: &Blobs, sha256: Sha256Digest) -> Result<Vec<u8>, BlobError> {
    let reader = blobs.read(sha256).await?;
    let bytes = reader.bytes();
    let pieces: Vec<Bytes> = reader.into_stream().try_collect().await.unwrap();
    let content = pieces.concat();
    assert_eq!(u64::try_from(content.len()).unwrap(), bytes);
    Ok(content)
}

/// Locks aside.
fn count_files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .filter(|path| !path.ends_with("lock"))
        .map(|path| if path.is_dir() { count_files(&path) } else { 1 })
        .sum()
}

#[tokio::test]
async fn what_was_written_is_read() {
    let (_folder, blobs) = blobs().await;
    for content in [vec![], vec![1; 3], vec![2; 300_000]] {
        let announced = Upload {
            bytes: Some(u64::try_from(content.len()).unwrap()),
            ..upload(&content)
        };
        let blob = write(&blobs, announced, &content).await.unwrap();
        assert_eq!(blob, InputDescriptor::of(&content));
        assert_eq!(read(&blobs, blob.sha256).await.unwrap(), content);
    }
}

#[tokio::test]
async fn a_blob_lies_under_its_digest_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, blobs) = blobs().await;
    write(&blobs, upload(b"abc"), b"abc").await.unwrap();
    let name = "blobs/ba/7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let path = folder.path().join(name);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(count_files(folder.path()), 1);
}

#[tokio::test]
async fn the_same_content_twice_is_one_file_and_still_verified() {
    let (folder, blobs) = blobs().await;
    for _ in 0..2 {
        write(&blobs, upload(b"abc"), b"abc").await.unwrap();
    }
    // Naming the digest of another's blob is not having it.
    let error = write(&blobs, upload(b"abc"), b"abd").await.unwrap_err();
    assert!(matches!(error, BlobError::Digest { .. }));
    assert_eq!(count_files(folder.path()), 1);
}

#[tokio::test]
async fn uploads_of_one_content_at_once_all_succeed() {
    let (folder, blobs) = blobs().await;
    let mut uploads = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let blobs = blobs.clone();
        uploads.spawn(async move { write(&blobs, upload(&[9; 10_000]), &[9; 10_000]).await });
    }
    assert!(uploads.join_all().await.iter().all(Result::is_ok));
    assert_eq!(count_files(folder.path()), 1);
}

#[tokio::test]
async fn content_that_is_not_as_announced_leaves_nothing() {
    let (folder, blobs) = blobs().await;
    let sized = |bytes| Upload {
        bytes: Some(bytes),
        ..upload(b"0123456789")
    };
    let error = write(&blobs, upload(b"other"), b"0123456789")
        .await
        .unwrap_err();
    assert!(matches!(error, BlobError::Digest { .. }));
    let error = write(&blobs, sized(11), b"0123456789").await.unwrap_err();
    assert!(matches!(
        error,
        BlobError::Length {
            seen: 10,
            wanted: 11
        }
    ));
    let error = write(&blobs, sized(8), b"0123456789").await.unwrap_err();
    assert!(matches!(
        error,
        BlobError::Length {
            seen: 10,
            wanted: 8
        }
    ));
    let error = write(&blobs, sized(MAX + 1), b"").await.unwrap_err();
    assert!(matches!(error, BlobError::TooLarge { max: MAX }));
    let small = Upload {
        bytes_max: 9,
        ..upload(b"0123456789")
    };
    let error = write(&blobs, small, b"0123456789").await.unwrap_err();
    assert!(matches!(error, BlobError::TooLarge { max: 9 }));
    assert_eq!(count_files(folder.path()), 0);
}

#[tokio::test]
async fn content_that_breaks_off_leaves_nothing() {
    let (folder, blobs) = blobs().await;
    let broken = stream::iter([Ok(Bytes::from("01")), Err(io::Error::other("reset"))]);
    let error = blobs
        .write(upload(b"0123456789"), broken)
        .await
        .unwrap_err();
    assert!(matches!(error, BlobError::Interrupted(_)));
    assert_eq!(count_files(folder.path()), 0);

    // The sender went away: the handler's future is dropped.
    let endless = stream::iter([Ok::<_, Infallible>(Bytes::from("01"))]).chain(stream::pending());
    let dropped = blobs.write(upload(b"0123456789"), endless);
    let waited = tokio::time::timeout(std::time::Duration::from_millis(50), dropped).await;
    assert!(waited.is_err());
    assert_eq!(count_files(folder.path()), 0);
}

#[tokio::test]
async fn what_a_crash_left_is_swept_and_never_seen() {
    let (folder, blobs) = blobs().await;
    write(&blobs, upload(b"abc"), b"abc").await.unwrap();
    let incoming = folder.path().join("blobs/incoming");
    std::fs::create_dir(incoming.join("crashed")).unwrap();
    std::fs::write(incoming.join("crashed/17"), b"half").unwrap();
    std::fs::write(incoming.join("17"), b"half").unwrap();
    let blobs = Blobs::open(&folder.path().join("blobs")).await.unwrap();
    assert_eq!(count_files(folder.path()), 1);
    assert_eq!(
        read(&blobs, Sha256Digest::of(b"abc")).await.unwrap(),
        b"abc"
    );
}

#[tokio::test]
async fn gateways_that_share_the_folder_leave_each_others_uploads_alone() {
    let (folder, first) = blobs().await;
    let (go, gone) = tokio::sync::oneshot::channel::<()>();
    let rest = stream::once(async move {
        gone.await.unwrap();
        Ok::<_, Infallible>(Bytes::from("56789"))
    });
    let content = stream::iter([Ok(Bytes::from("01234"))]).chain(rest);
    let under_way = first.write(upload(b"0123456789"), content);
    let (kept, second) = tokio::join!(under_way, async {
        while count_files(folder.path()) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        // It comes up while the first one writes, and its own first upload has the same number.
        let second = Blobs::open(&folder.path().join("blobs")).await.unwrap();
        write(&second, upload(b"abc"), b"abc").await.unwrap();
        go.send(()).unwrap();
        second
    });
    kept.unwrap();
    for (blobs, content) in [(&first, &b"abc"[..]), (&second, b"0123456789")] {
        let found = read(blobs, Sha256Digest::of(content)).await.unwrap();
        assert_eq!(found, content);
    }
    drop((first, second));
    let last = Blobs::open(&folder.path().join("blobs")).await.unwrap();
    let incoming = std::fs::read_dir(folder.path().join("blobs/incoming")).unwrap();
    assert_eq!(incoming.count(), 1, "the folders of those that are gone");
    drop(last);
}

#[tokio::test]
async fn a_blob_that_is_not_there_is_missing() {
    let (_folder, blobs) = blobs().await;
    let sha256 = Sha256Digest::of(b"nothing");
    let error = blobs.read(sha256).await.unwrap_err();
    assert!(matches!(error, BlobError::Missing(missing) if missing == sha256));
}

#[test]
fn a_full_disk_is_told_apart() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
        assert!(matches!(
            BlobError::from(io::Error::from(kind)),
            BlobError::DiskFull
        ));
    }
    let other = BlobError::from(io::Error::from(io::ErrorKind::PermissionDenied));
    assert!(matches!(other, BlobError::Io(_)));
}

/// Makes a blob two hours old.
fn age(folder: &TempDir, sha256: Sha256Digest) {
    let name = sha256.to_string();
    let path = folder
        .path()
        .join("blobs")
        .join(&name[..2])
        .join(&name[2..]);
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let before = file.metadata().unwrap().modified().unwrap() - std::time::Duration::from_hours(2);
    file.set_modified(before).unwrap();
}

/// All but these are needed.
async fn collect(blobs: &Blobs, unneeded: &[Sha256Digest]) -> u64 {
    let collected: Result<u64, BlobError> = blobs
        .collect(|asked| {
            let unneeded = asked.into_iter().filter(|blob| unneeded.contains(blob));
            std::future::ready(Ok(unneeded.collect()))
        })
        .await;
    collected.unwrap()
}

#[tokio::test]
async fn what_nobody_needs_is_removed_once_it_is_old() {
    let (folder, blobs) = blobs().await;
    let mut all = Vec::new();
    for number in 0..600_u32 {
        let content = number.to_le_bytes();
        let blob = write(&blobs, upload(&content), &content)
            .await
            .unwrap()
            .sha256;
        all.push(blob);
    }
    assert_eq!(collect(&blobs, &all).await, 0, "all are young");
    for blob in &all[..400] {
        age(&folder, *blob);
    }
    assert_eq!(collect(&blobs, &all[100..]).await, 300);
    for (index, blob) in all.iter().enumerate() {
        let is_there = read(&blobs, *blob).await.is_ok();
        assert_eq!(is_there, !(100..400).contains(&index), "{index}");
    }
    // One that was removed can come again.
    let content = 200_u32.to_le_bytes();
    write(&blobs, upload(&content), &content).await.unwrap();
    assert_eq!(read(&blobs, all[200]).await.unwrap(), content);
}

#[tokio::test]
async fn a_blob_that_is_shown_again_stays_even_while_others_are_looked_through() {
    let (folder, blobs) = blobs().await;
    let blob = write(&blobs, upload(b"again"), b"again")
        .await
        .unwrap()
        .sha256;
    age(&folder, blob);
    let collected: Result<u64, BlobError> = blobs
        .collect(|asked| {
            let blobs = blobs.clone();
            async move {
                // It is found unneeded; then its owner comes with the same bytes.
                write(&blobs, upload(b"again"), b"again").await?;
                Ok(asked)
            }
        })
        .await;
    assert_eq!(collected.unwrap(), 0);
    assert_eq!(read(&blobs, blob).await.unwrap(), b"again");
}

#[tokio::test]
async fn files_that_are_no_blobs_are_left_alone() {
    let (folder, blobs) = blobs().await;
    let stray = folder.path().join("blobs/ab");
    std::fs::create_dir(&stray).unwrap();
    std::fs::write(stray.join("README"), b"").unwrap();
    assert_eq!(collect(&blobs, &[]).await, 0);
    assert!(stray.join("README").exists());
}
