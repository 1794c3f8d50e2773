//! Forged reference integrity manifests: each refusal by name.

use std::collections::BTreeMap;

use attestation::gpu::{
    CertificateError, GpuReferences, GpuTrustAnchor, MANIFESTS_MAX, VerifiedReferences,
    rim::{MANIFEST_BYTES_MAX, ManifestKind, ReferenceManifest, RimError, UnverifiedManifest},
};
use simulator::gpu::{
    DRIVER_VERSION, ManifestSigner, SimulatedManifests, VBIOS_VERSION, simulated_gpu_anchor,
};

const SEED: u64 = 7;
const NOW_S: u64 = 1_790_000_000;
/// The first second of 2018 and the first of 2049-12-31, the dates of every simulated certificate.
const START_S: u64 = 1_514_764_800;
const END_S: u64 = 2_524_521_600;

fn verify(bytes: &[u8]) -> Result<ReferenceManifest, RimError> {
    ReferenceManifest::verify(bytes, &simulated_gpu_anchor(SEED), NOW_S)
}

fn refusal(bytes: &[u8]) -> RimError {
    verify(bytes).unwrap_err()
}

/// A driver's manifest whose payload is changed before it is signed.
fn signed(from: &str, to: &str) -> Vec<u8> {
    let manifests = SimulatedManifests::new(SEED);
    let payload = replaced(&manifests.driver_payload(DRIVER_VERSION), from, to);
    manifests.sign(&payload, ManifestSigner::Genuine)
}

fn by(signer: ManifestSigner) -> Vec<u8> {
    let manifests = SimulatedManifests::new(SEED);
    manifests.sign(&manifests.driver_payload(DRIVER_VERSION), signer)
}

/// A well-signed manifest, as text to change.
fn genuine() -> String {
    String::from_utf8(by(ManifestSigner::Genuine)).unwrap()
}

fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

/// What stands from `start` to the end of `end`.
fn part<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let start = text.find(start).unwrap();
    let end = start + text[start..].find(end).unwrap() + end.len();
    &text[start..end]
}

#[test]
fn manifests_of_driver_and_firmware_verify() {
    let manifest = verify(genuine().as_bytes()).unwrap();
    assert_eq!(manifest.kind(), ManifestKind::Driver);
    assert_eq!(manifest.version(), DRIVER_VERSION);
    assert_eq!(
        (
            manifest.signer_not_before_s(),
            manifest.signer_not_after_s()
        ),
        (START_S, END_S)
    );
    let manifests = SimulatedManifests::new(SEED);
    let payload = manifests.vbios_payload(VBIOS_VERSION);
    let firmware = verify(&manifests.sign(&payload, ManifestSigner::Genuine)).unwrap();
    assert_eq!(firmware.kind(), ManifestKind::Vbios);
    assert_eq!(firmware.to_string(), "VBIOS 96.00.9F.00.01 for GH100");
    let switch = signed(r#"edition="GPU""#, r#"edition="SWITCH""#);
    assert_eq!(
        refusal(&switch),
        RimError::Contents("colloquialVersion"),
        "switches have no driver"
    );
}

#[test]
fn what_is_no_signed_xml_is_refused() {
    let signature = part(&genuine(), "<ds:Signature ", "</ds:Signature>").to_owned();
    let too_long = RimError::TooLong {
        length_bytes: MANIFEST_BYTES_MAX + 1,
    };
    let unsigned = replaced(&genuine(), &signature, "");
    let twice = replaced(&genuine(), &signature, &signature.repeat(2));
    let commented = replaced(&genuine(), "</ns0:Payload>", "<!-- --></ns0:Payload>");
    let followed = replaced(&genuine(), &signature, &format!("{signature}<ns0:Link/>"));
    for (bytes, wanted) in [
        (vec![b' '; MANIFEST_BYTES_MAX + 1], too_long),
        (Vec::new(), RimError::FormatUnknown),
        (b"{}".to_vec(), RimError::FormatUnknown),
        (vec![b'<', 0xff], RimError::NotUtf8),
        (
            commented.into_bytes(),
            RimError::OutsideProfile("a comment"),
        ),
        (unsigned.into_bytes(), RimError::SignatureCount(0)),
        (twice.into_bytes(), RimError::SignatureCount(2)),
        (followed.into_bytes(), RimError::SignaturePlace),
    ] {
        assert_eq!(refusal(&bytes), wanted);
    }
    let typed = format!("<!DOCTYPE SoftwareIdentity>{}", genuine());
    assert!(matches!(refusal(typed.as_bytes()), RimError::Xml(_)));
}

#[test]
fn signatures_of_another_shape_are_refused() {
    let transform = r#"<ds:Transform Algorithm="http://www.w3.org/2006/12/xml-c14n11">"#;
    let exclusive = r#"<ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#">"#;
    let comments =
        r#"<ds:Transform Algorithm="http://www.w3.org/2006/12/xml-c14n11#WithComments">"#;
    let reference = r#"<ds:Reference URI="">"#;
    for (from, to, what) in [
        (reference, r##"<ds:Reference URI="#a">"##, "URI"),
        (reference, r#"<ds:Reference URI="" Id="a">"#, "URI"),
        (reference, "<ds:Reference>", "URI"),
        (transform, exclusive, "Algorithm"),
        (transform, comments, "Algorithm"),
        ("#enveloped-signature", "#base64", "Algorithm"),
        ("#ecdsa-sha384", "#hmac-sha384", "Algorithm"),
        ("xmldsig-more#sha384", "xmldsig-more#sha224", "Algorithm"),
        (
            "</ds:Transform>",
            "a</ds:Transform>",
            "algorithm with parameters",
        ),
        (
            "<ds:Transforms>",
            "<ds:Transforms><ds:Transform/>",
            "Transform",
        ),
        ("<ds:DigestValue>", "<ds:DigestValue>AAAA", "DigestValue"),
        ("<ds:DigestValue>", "<ds:DigestValue>?", "base64 text"),
        (
            "<ds:SignatureValue>",
            "<ds:SignatureValue>AAAA",
            "SignatureValue",
        ),
        (
            "<ds:SignatureValue>",
            "<ds:SignatureValue><a/>",
            "base64 text",
        ),
        ("<ds:KeyInfo>", "<ds:KeyInfo><ds:KeyName/>", "X509Data"),
        (
            "<ds:X509Data>",
            "<ds:X509Data><ds:X509CRL/>",
            "X509Certificate",
        ),
        ("<ds:X509Data>", "<ds:X509Data>a", "X509Data"),
        (
            "</ds:Signature>",
            "<ds:Object/></ds:Signature>",
            "SignedInfo",
        ),
    ] {
        let changed = replaced(&genuine(), from, to);
        let wanted = RimError::SignatureShape(what);
        assert_eq!(refusal(changed.as_bytes()), wanted, "{to}");
    }
}

#[test]
fn changed_contents_are_refused_even_with_their_own_digest() {
    let manifests = SimulatedManifests::new(SEED);
    let payload = manifests.driver_payload(DRIVER_VERSION);
    let weaker = replaced(&payload, r#"active="True""#, r#"active="False""#);
    let changed = replaced(&genuine(), r#"active="True""#, r#"active="False""#);
    assert_eq!(refusal(changed.as_bytes()), RimError::DigestMismatch);

    let other = manifests.sign(&weaker, ManifestSigner::OtherSeed(SEED + 1));
    let other = String::from_utf8(other).unwrap();
    let digest = |text: &str| part(text, "<ds:DigestValue>", "</ds:DigestValue>").to_owned();
    let value = |text: &str| part(text, "<ds:SignatureValue>", "</ds:SignatureValue>").to_owned();
    let redigested = replaced(&changed, &digest(&changed), &digest(&other));
    assert_eq!(refusal(redigested.as_bytes()), RimError::SignatureInvalid);
    let resigned = replaced(&redigested, &value(&redigested), &value(&other));
    assert_eq!(refusal(resigned.as_bytes()), RimError::SignatureInvalid);
}

#[test]
fn a_signed_manifest_inside_of_another_is_refused() {
    let genuine = genuine();
    let signature = part(&genuine, "<ds:Signature ", "</ds:Signature>");
    let head = part(&genuine, "<SoftwareIdentity", ">");
    let weaker = replaced(
        part(&genuine, "<ns0:Payload", "</ns0:Payload>"),
        r#"active="True""#,
        r#"active="False""#,
    );
    let end = "</SoftwareIdentity>";
    let around = format!("{head}{weaker}<ns0:Evidence>{genuine}</ns0:Evidence>{end}");
    assert_eq!(refusal(around.as_bytes()), RimError::SignaturePlace);
    let original = replaced(&genuine, signature, "");
    let beside = format!("{head}{weaker}<ns0:Evidence>{original}</ns0:Evidence>{signature}{end}");
    assert_eq!(refusal(beside.as_bytes()), RimError::DigestMismatch);
    let object = replaced(
        &format!("{head}{weaker}{signature}{end}"),
        "</ds:Signature>",
        &format!("<ds:Object>{original}</ds:Object></ds:Signature>"),
    );
    assert_eq!(
        refusal(object.as_bytes()),
        RimError::SignatureShape("SignedInfo")
    );
}

#[test]
fn another_spelling_of_the_same_document_means_the_same() {
    let genuine = genuine();
    let spelled = replaced(&genuine, "></ns0:Meta>", "  />");
    let spelled = format!("<?xml version='1.0'?>\n{spelled}\n");
    let (wanted, found) = (
        verify(genuine.as_bytes()).unwrap(),
        verify(spelled.as_bytes()).unwrap(),
    );
    assert_eq!(found.measurements(), wanted.measurements());
    assert_ne!(found.digest(), wanted.digest(), "another file");
}

#[test]
fn signers_are_refused_by_name() {
    let at = |position, source| RimError::Certificate { position, source };
    for (signer, wanted) in [
        (
            ManifestSigner::OtherSeed(SEED + 1),
            at(2, CertificateError::Signature),
        ),
        (
            ManifestSigner::WithoutSignatureUsage,
            at(0, CertificateError::NotASigner),
        ),
        (ManifestSigner::ForTlsServers, RimError::SignerPurpose),
        (
            ManifestSigner::Authority,
            at(0, CertificateError::NotASigner),
        ),
        (
            ManifestSigner::WithStranger,
            at(1, CertificateError::NotAnAuthority),
        ),
    ] {
        assert_eq!(refusal(&by(signer)), wanted, "{signer:?}");
    }
    let nvidia = GpuTrustAnchor::nvidia();
    let error = ReferenceManifest::verify(genuine().as_bytes(), &nvidia, NOW_S).unwrap_err();
    assert_eq!(error, at(2, CertificateError::Issuer));
}

#[test]
fn certificates_are_counted_and_parsed() {
    let genuine = genuine();
    let all = part(&genuine, "<ds:X509Certificate>", "</ds:X509Data>");
    let one = part(&genuine, "<ds:X509Certificate>", "</ds:X509Certificate>");
    let end = "</ds:X509Data>";
    let none = replaced(&genuine, all, end);
    assert_eq!(refusal(none.as_bytes()), RimError::CertificateCount(0));
    let many = replaced(&genuine, all, &format!("{}{end}", one.repeat(7)));
    assert_eq!(refusal(many.as_bytes()), RimError::CertificateCount(7));
    let broken = replaced(
        &genuine,
        "<ds:X509Certificate>MII",
        "<ds:X509Certificate>AAA",
    );
    let error = refusal(broken.as_bytes());
    assert!(
        matches!(error, RimError::Certificate { position: 0, .. }),
        "{error}"
    );
}

#[test]
fn dates_are_held_against_the_time_given() {
    let anchor = simulated_gpu_anchor(SEED);
    let at = |now_s| ReferenceManifest::verify(genuine().as_bytes(), &anchor, now_s).map(|_| ());
    assert_eq!(at(START_S), Ok(()));
    assert_eq!(at(END_S), Ok(()));
    let early = RimError::SignerNotYetValid {
        not_before_s: START_S,
        now_s: START_S - 1,
    };
    assert_eq!(at(START_S - 1), Err(early));
    let late = RimError::SignerExpired {
        not_after_s: END_S,
        now_s: END_S + 1,
    };
    assert_eq!(at(END_S + 1), Err(late));
}

#[test]
fn signed_contents_that_are_no_manifest_are_refused() {
    let meta = r#"<ns0:Meta colloquialVersion="550.90.07" edition="GPU" product="GH100" revision="r1"></ns0:Meta>"#;
    for (from, to, field) in [
        (r#"patch="false""#, r#"patch="true""#, "patch"),
        (
            r#"supplemental="false""#,
            r#"supplemental="1""#,
            "supplemental",
        ),
        (r#"edition="GPU""#, r#"edition="CPU""#, "edition"),
        ("550.90.07", "550", "colloquialVersion"),
        ("550.90.07", "550.90.07.0A.0B", "colloquialVersion"),
        ("550.90.07", "550 90", "colloquialVersion"),
        (r#"product="GH100""#, r#"product="GH 100""#, "product"),
        (r#"product="GH100""#, r#"product="""#, "product"),
        (meta, &meta.repeat(2), "Meta"),
        (meta, "", "Meta"),
        ("<ns0:Payload>", "<ns0:Payload>a", "Payload"),
        (
            "<ns0:Payload>",
            "<ns0:Payload><ns0:File></ns0:File>",
            "Resource",
        ),
        (r#"type="Measurement""#, r#"type="File""#, "Resource"),
        (r#"index="0""#, r#"index="00""#, "Resource index"),
        (r#"index="0""#, r#"index="239""#, "Resource index"),
        (r#"index="0""#, r#"index="-1""#, "Resource index"),
    ] {
        assert_eq!(
            refusal(&signed(from, to)),
            RimError::Contents(field),
            "{to}"
        );
    }
    let manifests = SimulatedManifests::new(SEED);
    let payload = manifests.driver_payload(DRIVER_VERSION);
    let resources = part(&payload, "<ns0:Payload>", "</ns0:Payload>");
    let empty = signed(resources, "<ns0:Payload></ns0:Payload>");
    assert_eq!(refusal(&empty), RimError::Contents("Resource"));
}

#[test]
fn signed_measurements_of_another_form_are_refused() {
    let hash = format!(r#"ns2:Hash0="{}""#, "00".repeat(48));
    let short = format!(r#"ns2:Hash0="{}""#, "00".repeat(47));
    let second = hash.replace("Hash0", "Hash1");
    let both = format!("{hash} {}", hash.replace("Hash0", "Hash2"));
    let unprefixed = hash.replace("ns2:", "");
    for (from, to, field) in [
        (r#"active="False""#, r#"active="false""#, "active"),
        (r#"size="48""#, r#"size="32""#, "size"),
        (r#"alternatives="1""#, r#"alternatives="2""#, "alternatives"),
        (hash.as_str(), short.as_str(), "Hash"),
        (hash.as_str(), second.as_str(), "Hash"),
        (hash.as_str(), both.as_str(), "Hash"),
        (hash.as_str(), unprefixed.as_str(), "Hash"),
    ] {
        let wanted = RimError::Measurement { index: 0, field };
        let found = refusal(&signed(from, to));
        // An attribute that moves must also be written at its canonical place to be well signed.
        if to == unprefixed {
            assert_eq!(found, RimError::DigestMismatch);
        } else {
            assert_eq!(found, wanted, "{to}");
        }
    }
    let repeated = RimError::Measurement {
        index: 0,
        field: "index, used twice",
    };
    assert_eq!(refusal(&signed(r#"index="1""#, r#"index="0""#)), repeated);
}

#[test]
fn an_unverified_view_shows_what_a_file_says() {
    let view = UnverifiedManifest::inspect(genuine().as_bytes()).unwrap();
    assert_eq!(view.version, DRIVER_VERSION);
    assert_eq!(view.measurements_count, 64);
    assert_eq!(view.active_measurements_count, 21);
    assert!(
        view.signer_subject.contains("SIMULATED - not NVIDIA"),
        "{view:?}"
    );
    assert_eq!(view.signer_not_after_s, END_S);
}

#[test]
fn sets_of_manifests_are_bounded_and_named() {
    let set = |ids: &[&str]| {
        let documents = ids.iter().map(|id| ((*id).to_owned(), Vec::new()));
        GpuReferences::from_documents(documents)
    };
    for id in ["", "../a", "a/b", "a b", "-a", "ä"] {
        assert_eq!(set(&[id]), Err(RimError::IdMalformed(id.len())), "{id:?}");
    }
    let ids: Vec<String> = (0..=MANIFESTS_MAX)
        .map(|number| format!("a{number}"))
        .collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    assert_eq!(set(&ids), Err(RimError::TooMany(MANIFESTS_MAX)));
    assert!(set(&ids[1..]).is_ok());
    let long = [("a".to_owned(), vec![0; MANIFEST_BYTES_MAX + 1])];
    let too_long = RimError::TooLong {
        length_bytes: MANIFEST_BYTES_MAX + 1,
    };
    assert_eq!(GpuReferences::from_documents(long), Err(too_long));
    for json in [r#"{"a":"?"}"#, r#"{"a b":""}"#, r#"{"a":1}"#, "[]"] {
        assert!(
            serde_json::from_str::<GpuReferences>(json).is_err(),
            "{json}"
        );
    }
}

#[test]
fn a_set_gives_what_verifies_and_says_why_the_rest_does_not() {
    let references = SimulatedManifests::new(SEED).references();
    let driver = format!("NV_GPU_DRIVER_GH100_{DRIVER_VERSION}");
    let misnamed = "NV_GPU_DRIVER_GB100_550.90.07";
    let foreign = "NV_GPU_DRIVER_GH100_1.2";
    let genuine = references.find(&driver).unwrap().to_vec();
    let documents = BTreeMap::from([
        (driver.clone(), genuine.clone()),
        (misnamed.to_owned(), genuine),
        (foreign.to_owned(), by(ManifestSigner::OtherSeed(1))),
    ]);
    let set = GpuReferences::from_documents(documents).unwrap();
    assert_eq!(set.ids().count(), 3);
    assert_eq!(set.only([driver.as_str(), "absent"]).ids().count(), 1);
    let json = serde_json::to_string(&set).unwrap();
    assert_eq!(serde_json::from_str::<GpuReferences>(&json).unwrap(), set);

    let verified = VerifiedReferences::verify(&set, &simulated_gpu_anchor(SEED));
    assert!(verified.find(&driver, NOW_S).is_ok());
    let late = verified.find(&driver, END_S + 1).unwrap_err();
    assert!(matches!(late, RimError::SignerExpired { .. }), "{late}");
    let refused: Vec<_> = verified.refused().collect();
    assert!(matches!(refused[0], (id, RimError::Misnamed { .. }) if id == misnamed));
    assert!(matches!(refused[1], (id, RimError::Certificate { .. }) if id == foreign));
    let missing = verified.find("NV_GPU_DRIVER_GH100_3.4", NOW_S).unwrap_err();
    assert_eq!(missing.code().as_str(), "E720");
    assert_eq!(refused[0].1.code().as_str(), "E721");
}
