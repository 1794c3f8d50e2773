//! NVIDIA's reference integrity manifests: every one of the vectors gives the manifest's verdict, at both ends of its
//! signer's dates, and no changed byte changes what is accepted.

use std::path::Path;

use attestation::gpu::{
    GpuReferences, GpuTrustAnchor, VerifiedReferences,
    rim::{ManifestKind, ReferenceManifest, RimError, UnverifiedManifest},
};
use x509_parser::pem::Pem;

use crate::{
    flips::{STRIDE, accepted_changes, flip_lowest_bit},
    support,
    table::Table,
};

const DAY_S: u64 = 24 * 60 * 60;

/// One row of the manifest that holds a reference integrity manifest.
struct Row {
    file: String,
    expect: String,
    detail: String,
    /// First and last second of the days between which all certificates are valid.
    valid_s: (u64, u64),
}

#[test]
fn every_manifest_gives_the_verdict_of_the_table() {
    let Some(directory) = support::directory("every_manifest_gives_the_verdict_of_the_table")
    else {
        return;
    };
    let root = GpuTrustAnchor::nvidia();
    let other_root = other_root(&directory);
    let mut table = Table::default();
    for row in &rows(&directory) {
        let bytes = support::read(directory.join(&row.file));
        let got = ReferenceManifest::verify(&bytes, &root, row.valid_s.0 + DAY_S);
        let fits = match &got {
            Ok(manifest) => row.expect == "accept" && dates_fit(row, manifest, &bytes, &root),
            Err(error) => row.expect == "reject" && wanted(&row.detail, error),
        };
        let got = got.map_or_else(
            |error| format!("reject {} {error}", error.code()),
            |manifest| format!("accept {manifest}"),
        );
        table.row(
            &row.file,
            &format!("{} {}", row.expect, row.detail),
            &got,
            fits,
        );
        let elsewhere = ReferenceManifest::verify(&bytes, &other_root, row.valid_s.0 + DAY_S);
        assert!(elsewhere.is_err(), "{} under another root", row.file);
    }
    table.close(31);
}

/// The table's days are those that we read, and outside of them the manifest is refused by name.
fn dates_fit(row: &Row, manifest: &ReferenceManifest, bytes: &[u8], root: &GpuTrustAnchor) -> bool {
    let (first_s, last_s) = (
        manifest.signer_not_before_s(),
        manifest.signer_not_after_s(),
    );
    let verify = |now_s| ReferenceManifest::verify(bytes, root, now_s).map(|_| ());
    let early = RimError::SignerNotYetValid {
        not_before_s: first_s,
        now_s: first_s - 1,
    };
    let late = RimError::SignerExpired {
        not_after_s: last_s,
        now_s: last_s + 1,
    };
    (row.valid_s.0..row.valid_s.0 + DAY_S).contains(&first_s)
        && (row.valid_s.1..row.valid_s.1 + DAY_S).contains(&last_s)
        && verify(first_s) == Ok(())
        && verify(last_s) == Ok(())
        && verify(first_s - 1) == Err(early)
        && verify(last_s + 1) == Err(late)
}

/// The table's reasons and our errors.
fn wanted(detail: &str, error: &RimError) -> bool {
    let reason = detail.trim_start_matches("NEGATIVE: ");
    match error {
        RimError::DigestMismatch => reason.starts_with("reference digest mismatch"),
        RimError::SignatureInvalid => reason.starts_with("SignatureValue wrong"),
        RimError::Certificate { .. } => reason.contains("chain not to the RIM root"),
        _ => false,
    }
}

#[test]
fn contents_are_those_of_the_file() {
    let Some(directory) = support::directory("contents_are_those_of_the_file") else {
        return;
    };
    let root = GpuTrustAnchor::nvidia();
    let (bytes, now_s) = driver(&directory);
    let manifest = ReferenceManifest::verify(&bytes, &root, now_s).unwrap();
    assert_eq!(manifest.kind(), ManifestKind::Driver);
    assert_eq!(
        (manifest.product(), manifest.version()),
        ("GH100", "550.144.03")
    );
    let measurements = manifest.measurements();
    assert_eq!(measurements.len(), 64);
    assert_eq!(measurements.values().filter(|one| one.active).count(), 21);
    let alternatives = measurements.values().map(|one| one.alternatives.len());
    assert_eq!(alternatives.max(), Some(4));
    let seen = UnverifiedManifest::inspect(&bytes).unwrap();
    assert_eq!(seen.active_measurements_count, 21);
    assert!(seen.signer_subject.contains("NVIDIA"), "{seen:?}");
    assert_eq!(seen.signer_not_after_s, manifest.signer_not_after_s());
}

#[test]
fn references_are_found_by_their_names_alone() {
    let Some(directory) = support::directory("references_are_found_by_their_names_alone") else {
        return;
    };
    let root = GpuTrustAnchor::nvidia();
    let (driver, now_s) = driver(&directory);
    let vbios = support::read(directory.join("nvidia/rim/1010_0200_882_96005E0001_PROD.swidtag"));
    let name = "NV_GPU_DRIVER_GH100_550.144.03";
    let misnamed = "NV_GPU_DRIVER_GH100_550.144.04";
    let old = "NV_GPU_VBIOS_1010_0200_882_96005E0001";
    let wrong_version = "NV_GPU_VBIOS_1010_0200_882_96005E0002";
    let references = GpuReferences::from_documents([
        (name.to_owned(), driver.clone()),
        (misnamed.to_owned(), driver),
        (old.to_owned(), vbios.clone()),
        (wrong_version.to_owned(), vbios),
    ])
    .unwrap();
    let json = serde_json::to_string(&references).unwrap();
    assert_eq!(
        serde_json::from_str::<GpuReferences>(&json).unwrap(),
        references
    );

    let verified = VerifiedReferences::verify(&references, &root);
    assert_eq!(verified.find(name, now_s).unwrap().version(), "550.144.03");
    for id in [misnamed, wrong_version] {
        let error = verified.find(id, now_s).unwrap_err();
        assert!(matches!(error, RimError::Misnamed { .. }), "{error}");
    }
    let error = verified.find(old, now_s).unwrap_err();
    assert!(matches!(error, RimError::SignerExpired { .. }), "{error}");
    let error = verified.find("NV_GPU_DRIVER_GH100_1.2", now_s).unwrap_err();
    assert!(matches!(error, RimError::Missing(_)), "{error}");
    assert_eq!(verified.refused().count(), 2);
}

#[test]
fn no_changed_byte_of_a_manifest_changes_what_is_accepted() {
    let Some(directory) =
        support::directory("no_changed_byte_of_a_manifest_changes_what_is_accepted")
    else {
        return;
    };
    let root = GpuTrustAnchor::nvidia();
    let (bytes, now_s) = driver(&directory);
    // One bit apart is another digit or letter; all bits apart is no longer UTF-8.
    let accepted = accepted_changes(&bytes, STRIDE, flip_lowest_bit, |bytes| {
        let manifest = ReferenceManifest::verify(bytes, &root, now_s).ok()?;
        Some(meaning(&manifest))
    });
    println!(
        "{} of {} changes accepted with the same meaning: {accepted:?}",
        accepted.len(),
        bytes.len() / STRIDE
    );
}

/// All but the digest of the document, which signs nothing.
fn meaning(manifest: &ReferenceManifest) -> impl PartialEq + Sync + use<> {
    (
        manifest.to_string(),
        manifest.measurements().clone(),
        manifest.signer_not_before_s(),
        manifest.signer_not_after_s(),
    )
}

/// A real driver's manifest, and a time at which it verifies.
fn driver(directory: &Path) -> (Vec<u8>, u64) {
    let file = directory.join("nvidia/rim/NV_GPU_DRIVER_GH100_550.144.03.xml");
    (support::read(file), 1_760_000_000)
}

/// Another root of manifests: that of the devices. The one among the vectors that is called incorrect is no root at all.
#[expect(clippy::disallowed_methods, reason = "tests choose their root")]
fn other_root(directory: &Path) -> GpuTrustAnchor {
    let device_root = GpuTrustAnchor::nvidia().device_root().to_vec();
    let pem = support::read(directory.join("nvidia/certs/incorrect_rim_root.crt"));
    let signer = Pem::iter_from_buffer(&pem)
        .next()
        .unwrap()
        .unwrap()
        .contents;
    assert!(GpuTrustAnchor::from_der(&device_root, &signer).is_err());
    GpuTrustAnchor::from_der(&device_root, &device_root).unwrap()
}

fn rows(directory: &Path) -> Vec<Row> {
    support::manifest(directory)
        .iter()
        .filter(|row| row["file"].starts_with("nvidia/rim/"))
        .map(|row| Row {
            file: row["file"].clone(),
            expect: row["expect"].clone(),
            detail: row["detail"].clone(),
            valid_s: days(&row["verification time"]),
        })
        .collect()
}

/// `signer chain valid 2024-12-30..2026-12-30`
fn days(text: &str) -> (u64, u64) {
    let (first, last) = text
        .rsplit(' ')
        .next()
        .and_then(|days| days.split_once(".."))
        .unwrap();
    (day(first), day(last))
}

fn day(text: &str) -> u64 {
    let midnight: jiff::Timestamp = format!("{text}T00:00:00Z").parse().unwrap();
    midnight.as_second().try_into().unwrap()
}
