//! NVIDIA's reference manifests: a folder of `*.xml` and `*.swidtag`, each named by its identifier, read again every minute.
//!
//! What is read is verified once, and believed only by then; an appraisal takes what is in force.

use std::io;
use std::path::{Path, PathBuf};

use attestation::gpu::rim::{MANIFEST_BYTES_MAX, RimError};
use attestation::gpu::{GpuReferences, VerifiedReferences};

use crate::gateway::Gateway;
use crate::problem::chain;

/// How the files of manifests end.
const EXTENSIONS: [&str; 2] = ["xml", "swidtag"];

/// Why the folder gives no manifests.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReferencesError {
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} has more than {MANIFEST_BYTES_MAX} bytes")]
    TooLarge { path: PathBuf },
    #[error("{path} is not named by an identifier")]
    Name {
        path: PathBuf,
        #[source]
        source: RimError,
    },
    #[error("the manifests of {path} cannot be used")]
    Manifests {
        path: PathBuf,
        #[source]
        source: RimError,
    },
}

/// Puts what the folder has now in force. A folder that cannot be read changes nothing.
pub(crate) async fn read(gateway: &Gateway) {
    let Some(folder) = gateway.gpu_references_dir.clone() else {
        return;
    };
    let in_force = gateway.relying_party.in_force.references();
    let anchor = gateway.relying_party.gpu_trust_anchor().clone();
    let reading = tokio::task::spawn_blocking(move || {
        let documents = read_folder(&folder)?;
        // Verifying costs over a millisecond a manifest, and mostly nothing has changed.
        Ok((&documents != in_force.documents()).then(|| {
            let references = VerifiedReferences::verify(&documents, &anchor);
            // All of them now, so that no worker waits for it.
            let refused = references.refused().count();
            (references, refused)
        }))
    });
    match reading.await {
        Ok(Ok(Some((references, refused)))) => replace(gateway, references, refused),
        Ok(Ok(None)) => {}
        Ok(Err(error)) => {
            let error: ReferencesError = error;
            tracing::warn!(
                error = chain(&error),
                "GPU references were not read; the former ones stay"
            );
        }
        Err(error) => tracing::error!(%error, "GPU references were not read"),
    }
}

fn replace(gateway: &Gateway, references: VerifiedReferences, refused: usize) {
    let all = references.documents().ids().count();
    for (id, error) in references.refused() {
        tracing::warn!(id, error = chain(error), "a GPU reference is refused");
    }
    let usable = all.saturating_sub(refused);
    tracing::info!(usable, refused, "new GPU references");
    gateway.metrics.gpu_references(usable, refused);
    gateway
        .relying_party
        .in_force
        .replace_references(references);
}

pub(crate) fn read_folder(folder: &Path) -> Result<GpuReferences, ReferencesError> {
    let failed = |source| ReferencesError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut documents = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if let Some(id) = identifier(&path) {
            let document = (id, read_file(&path)?);
            GpuReferences::from_documents([document.clone()])
                .map_err(|source| ReferencesError::Name { path, source })?;
            documents.push(document);
        }
    }
    GpuReferences::from_documents(documents).map_err(|source| ReferencesError::Manifests {
        path: folder.to_owned(),
        source,
    })
}

/// The name without its ending; an identifier has dots of its own.
pub(crate) fn identifier(path: &Path) -> Option<String> {
    let extension = path.extension()?.to_str()?;
    EXTENSIONS
        .contains(&extension)
        .then(|| path.file_stem()?.to_str().map(str::to_owned))?
}

fn read_file(path: &Path) -> Result<Vec<u8>, ReferencesError> {
    let failed = |source| ReferencesError::Read {
        path: path.to_owned(),
        source,
    };
    let length = std::fs::metadata(path).map_err(failed)?.len();
    if usize::try_from(length).unwrap_or(usize::MAX) > MANIFEST_BYTES_MAX {
        return Err(ReferencesError::TooLarge {
            path: path.to_owned(),
        });
    }
    std::fs::read(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn manifests_are_named_by_their_files() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "NV_GPU_DRIVER_GH100_550.90.07.xml",
            "NV_GPU_VBIOS_1010_0200_882_96009F0001.swidtag",
            "README.md",
            "no-extension",
        ] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        let read = read_folder(folder.path()).unwrap();
        assert_eq!(
            read.ids().collect::<Vec<_>>(),
            [
                "NV_GPU_DRIVER_GH100_550.90.07",
                "NV_GPU_VBIOS_1010_0200_882_96009F0001"
            ]
        );
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let refused = || read_folder(folder.path()).unwrap_err();
        let nowhere = read_folder(&folder.path().join("nowhere")).unwrap_err();
        assert!(matches!(nowhere, ReferencesError::Read { .. }));
        let path = folder.path().join("no identifier.xml");
        fs::write(&path, b"").unwrap();
        assert!(matches!(refused(), ReferencesError::Name { .. }));
        fs::write(&path, vec![b' '; MANIFEST_BYTES_MAX + 1]).unwrap();
        assert!(matches!(refused(), ReferencesError::TooLarge { .. }));
    }
}
