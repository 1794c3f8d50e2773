//! NVIDIA's reference integrity manifests: the signed XML, and whatever a signer might have signed.

use std::sync::LazyLock;

use attestation::gpu::rim::{ReferenceManifest, UnverifiedManifest};
use simulator::gpu::{DRIVER_VERSION, ManifestSigner, SimulatedManifests, VBIOS_VERSION};

use crate::{
    Seeds, Target,
    scene::{NOW_S, SCENE, SEED},
};

pub(crate) const TARGET: Target = Target {
    name: "manifest",
    run,
    seeds,
    dictionary: &[
        b"<ds:Signature",
        b"<ds:SignedInfo",
        b"<ds:Reference URI=\"\">",
        b"<ds:X509Certificate>",
        b"<Payload",
        b"<Resource type=\"Measurement\"",
        b" active=\"True\"",
        b" alternatives=\"1\"",
        b"ns2:Hash0=\"",
        b"<!DOCTYPE x [<!ENTITY a \"b\">]>",
        b"<!--",
        b"&#0;",
        b"xmlns:ns0=\"",
    ],
};

static MANIFESTS: LazyLock<SimulatedManifests> = LazyLock::new(|| SimulatedManifests::new(SEED));

/// The first byte says whether the rest is a manifest, or what is to be signed as one.
fn run(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    if first % 2 == 0 {
        document(rest);
    } else if let Ok(payload) = std::str::from_utf8(rest) {
        judged(&MANIFESTS.sign(payload, ManifestSigner::Genuine));
    }
}

fn document(bytes: &[u8]) {
    let seen = UnverifiedManifest::inspect(bytes);
    assert_eq!(
        format!("{seen:?}"),
        format!("{:?}", UnverifiedManifest::inspect(bytes))
    );
    let Some(verified) = judged(bytes) else {
        return;
    };
    let meaning = |manifest: &ReferenceManifest| {
        (
            manifest.to_string(),
            manifest.measurements().clone(),
            manifest.signer_not_after_s(),
        )
    };
    let documents = SCENE.references.documents();
    let signed = documents
        .ids()
        .filter_map(|id| SCENE.references.find(id, NOW_S).ok());
    let mut signed = signed.map(meaning);
    assert!(
        signed.any(|signed| signed == meaning(&verified)),
        "nobody signed {verified}"
    );
}

/// Under the signer's own root, and never under NVIDIA's.
fn judged(bytes: &[u8]) -> Option<ReferenceManifest> {
    let verified = ReferenceManifest::verify(bytes, SCENE.gpu_verifier.anchor(), NOW_S).ok()?;
    let foreign = SCENE.foreign_gpu.anchor();
    assert!(ReferenceManifest::verify(bytes, foreign, NOW_S).is_err());
    Some(verified)
}

fn seeds(seeds: &mut Seeds) {
    let payloads = [
        MANIFESTS.driver_payload(DRIVER_VERSION),
        MANIFESTS.vbios_payload(VBIOS_VERSION),
    ];
    for payload in payloads {
        let document = MANIFESTS.sign(&payload, ManifestSigner::Genuine);
        seeds.add([&[0], document.as_slice()].concat());
        seeds.add([&[1], payload.as_bytes()].concat());
    }
    seeds.add_vectors("nvidia/rim", |xml| Some([&[0], xml.as_slice()].concat()));
}
