//! Removing what nobody needs.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use protocol::Sha256Digest;

use super::folder::{Folder, files_now};
use super::{BlobError, blocking};

/// A blob is claimed within moments of its arrival; what is younger than this may have arrived and not be claimed yet.
const AGE_MIN: Duration = Duration::from_hours(1);
/// Blobs that are asked about at once.
const ASKED_MAX: usize = 256;

pub(super) async fn collect<F, E>(
    folder: &Arc<Folder>,
    unreferenced: impl Fn(Vec<Sha256Digest>) -> F,
) -> Result<u64, E>
where
    F: Future<Output = Result<Vec<Sha256Digest>, E>>,
    E: From<BlobError>,
{
    let mut removed = 0_u64;
    for prefix in 0..=u8::MAX {
        let before = files_now()
            .checked_sub(AGE_MIN)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        let listed = Arc::clone(folder);
        let old = blocking(move || listed.older_than(prefix, before)).await?;
        for asked in old.chunks(ASKED_MAX) {
            let unneeded = unreferenced(asked.to_vec()).await?;
            let folder = Arc::clone(folder);
            let gone = blocking(move || Ok(folder.remove(&unneeded, before))).await?;
            removed = removed.saturating_add(gone);
        }
    }
    Ok(removed)
}
