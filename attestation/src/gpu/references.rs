//! The reference integrity manifests that an appraisal may use, by the identifiers of NVIDIA's RIM service.

use std::{collections::BTreeMap, sync::OnceLock};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    GpuTrustAnchor,
    rim::{MANIFEST_BYTES_MAX, ReferenceManifest, RimError},
};

/// One driver and a handful of firmware versions are in use at a time; a pool that changes over has a few dozen.
pub const MANIFESTS_MAX: usize = 128;

/// The longest identifier. Real ones have 40 bytes.
const ID_BYTES_MAX: usize = 128;

/// Manifests as they came, by identifier, such as `NV_GPU_DRIVER_GH100_550.90.07`. Nothing in them is believed.
///
/// In serde's eyes a map from identifier to base64, so that an auditor's record can carry those that were used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GpuReferences {
    documents: BTreeMap<String, Vec<u8>>,
}

impl GpuReferences {
    /// A set of manifests, each with the identifier under which NVIDIA's service hands it out.
    pub fn from_documents(
        documents: impl IntoIterator<Item = (String, Vec<u8>)>,
    ) -> Result<Self, RimError> {
        let mut references = Self::default();
        for (id, bytes) in documents {
            references.insert(id, bytes)?;
        }
        Ok(references)
    }

    fn insert(&mut self, id: String, bytes: Vec<u8>) -> Result<(), RimError> {
        if !is_id(&id) {
            return Err(RimError::IdMalformed(id.len()));
        }
        if bytes.len() > MANIFEST_BYTES_MAX {
            return Err(RimError::TooLong {
                length_bytes: bytes.len(),
            });
        }
        self.documents.insert(id, bytes);
        if self.documents.len() > MANIFESTS_MAX {
            return Err(RimError::TooMany(MANIFESTS_MAX));
        }
        Ok(())
    }

    /// The manifest's bytes.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&[u8]> {
        self.documents.get(id).map(Vec::as_slice)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.documents.is_empty()
    }

    /// All identifiers, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.documents.keys().map(String::as_str)
    }

    /// Those manifests alone that `ids` names.
    #[must_use]
    pub fn only<'a>(&self, ids: impl IntoIterator<Item = &'a str>) -> Self {
        let documents = ids
            .into_iter()
            .filter_map(|id| self.documents.get_key_value(id));
        Self {
            documents: documents
                .map(|(id, bytes)| (id.clone(), bytes.clone()))
                .collect(),
        }
    }
}

/// Letters, digits, `.`, `-` and `_`: identifiers become names of files and parts of URLs.
fn is_id(text: &str) -> bool {
    let permitted = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (1..=ID_BYTES_MAX).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(permitted)
}

impl Serialize for GpuReferences {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let documents = self.documents.iter();
        serializer.collect_map(documents.map(|(id, bytes)| (id, BASE64_STANDARD.encode(bytes))))
    }
}

impl<'de> Deserialize<'de> for GpuReferences {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = BTreeMap::<String, String>::deserialize(deserializer)?;
        let mut references = Self::default();
        for (id, text) in texts {
            let bytes = BASE64_STANDARD.decode(text).map_err(de::Error::custom)?;
            references.insert(id, bytes).map_err(de::Error::custom)?;
        }
        Ok(references)
    }
}

/// The same manifests under a trust anchor: signature and chain verified once, when a manifest is first needed, and dates at
/// each use. Verifying one costs over a millisecond and a report needs two, while a stranger's record may bring
/// [`MANIFESTS_MAX`].
#[derive(Clone, Debug)]
pub struct VerifiedReferences {
    anchor: GpuTrustAnchor,
    documents: GpuReferences,
    manifests: BTreeMap<String, OnceLock<Result<ReferenceManifest, RimError>>>,
}

impl VerifiedReferences {
    /// The manifests that verify under `anchor`. One that does not stands in nobody's way until it is needed.
    #[must_use]
    pub fn verify(references: &GpuReferences, anchor: &GpuTrustAnchor) -> Self {
        let unverified = |id: &str| (id.to_owned(), OnceLock::new());
        Self {
            anchor: anchor.clone(),
            documents: references.clone(),
            manifests: references.ids().map(unverified).collect(),
        }
    }

    /// The outcome of verifying a manifest; `None` where there is none.
    fn verified(&self, id: &str) -> Option<Result<&ReferenceManifest, &RimError>> {
        let bytes = self.documents.find(id)?;
        let outcome = self.manifests.get(id)?.get_or_init(|| {
            let manifest = ReferenceManifest::verify_signature(bytes, &self.anchor)?;
            manifest.named(id)?;
            Ok(manifest)
        });
        Some(outcome.as_ref())
    }

    /// The manifests as they came, for an auditor's record.
    #[must_use]
    pub const fn documents(&self) -> &GpuReferences {
        &self.documents
    }

    /// The manifest of that identifier, when it verifies and is in date at `now_s`.
    pub fn find(&self, id: &str, now_s: u64) -> Result<&ReferenceManifest, RimError> {
        let manifest = self
            .verified(id)
            .ok_or_else(|| RimError::Missing(id.to_owned()))?
            .map_err(Clone::clone)?;
        manifest.in_date(now_s)?;
        Ok(manifest)
    }

    /// Those that do not verify, each with the reason: for an operator's eyes. Verifies all of them.
    pub fn refused(&self) -> impl Iterator<Item = (&str, &RimError)> {
        let ids = self.documents.ids();
        ids.filter_map(|id| Some((id, self.verified(id)?.err()?)))
    }
}

/// No manifests.
impl Default for VerifiedReferences {
    fn default() -> Self {
        Self::verify(&GpuReferences::default(), &GpuTrustAnchor::nvidia())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_is_verified_when_it_is_needed_and_once() {
        let ids = ["NV_GPU_DRIVER_GH100_1.2", "NV_GPU_DRIVER_GH100_3.4"];
        let documents = ids.map(|id| (id.to_owned(), b"<a/>".to_vec()));
        let references = GpuReferences::from_documents(documents).unwrap();
        let references = VerifiedReferences::verify(&references, &GpuTrustAnchor::nvidia());
        let verified = || references.manifests.values().map(|one| one.get().is_some());
        assert!(verified().eq([false, false]));
        assert!(references.find(ids[1], 0).is_err());
        assert!(verified().eq([false, true]));
        let first: *const RimError = references.verified(ids[1]).unwrap().unwrap_err();
        let again: *const RimError = references.verified(ids[1]).unwrap().unwrap_err();
        assert_eq!(first, again);
        assert_eq!(references.refused().count(), 2);
        assert!(verified().eq([true, true]));
    }
}
