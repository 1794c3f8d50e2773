//! Reference integrity manifests for simulated GPUs: SWID tags under an XML signature, like NVIDIA's.
//!
//! The text is written in canonical form (Canonical XML 1.1) to begin with, so that signing needs no canonicalisation: what is
//! hashed is what stands there.

use attestation::gpu::GpuReferences;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};
use ring::digest;

use super::{
    CHIP, DRIVER_VERSION, DRIVER_VERSION_OLD, NAME, VBIOS_VERSION, VBIOS_VERSION_OLD,
    key::DeviceKey,
    measurements::{MEASUREMENTS_COUNT, Part, part, values, vbios_text},
};
use crate::{
    keys::Seed,
    pki::{Authority, authority_params, leaf_params},
};

const SWID: &str = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";
const SHA384: &str = "http://www.w3.org/2001/04/xmlenc#sha384";
const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const CANONICAL_XML_1_1: &str = "http://www.w3.org/2006/12/xml-c14n11";

/// The end of every manifest; the signature stands in front of it.
const END: &str = "</SoftwareIdentity>";

/// Who signs a manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestSigner {
    /// The signer under this seed's root: the genuine case.
    Genuine,
    /// The signer under another seed's root.
    OtherSeed(u64),
    /// A certificate that is for key agreement, not for signatures.
    WithoutSignatureUsage,
    /// A certificate that is for TLS servers alone.
    ForTlsServers,
    /// An authority that should sign certificates only.
    Authority,
    /// The genuine one, with a certificate beside it that is not of its chain.
    WithStranger,
}

/// What NVIDIA's RIM service would hand out for simulated GPUs.
#[derive(Debug)]
pub struct SimulatedManifests {
    seed: Seed,
    root: Authority<DeviceKey>,
    issuer: Authority<DeviceKey>,
}

impl SimulatedManifests {
    /// The manifests of all GPUs of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let seed = Seed(seed);
        let authority = |name| {
            let name = format!("{NAME} - {name}");
            let params = authority_params(seed, &name, NAME);
            (DeviceKey::new(seed, &name), params)
        };
        let (key, params) = authority("CoRIM signing Root CA");
        let root = Authority::self_signed(key, params);
        let (key, params) = authority("Reference Value CA");
        Self {
            issuer: root.issue(key, params),
            root,
            seed,
        }
    }

    /// The root certificate, a function of the seed alone.
    #[must_use]
    pub fn root_der(&self) -> &[u8] {
        &self.root.der
    }

    /// The manifests of both drivers and both VBIOS versions, by their identifiers.
    #[must_use]
    pub fn references(&self) -> GpuReferences {
        let drivers = [DRIVER_VERSION, DRIVER_VERSION_OLD].map(|version| {
            let id = format!("NV_GPU_DRIVER_{CHIP}_{version}");
            (id, self.driver_payload(version))
        });
        let firmware = [VBIOS_VERSION, VBIOS_VERSION_OLD].map(|version| {
            let id = format!("NV_GPU_VBIOS_1010_0200_882_{}", hex::encode_upper(version));
            (id, self.vbios_payload(version))
        });
        let documents = drivers.into_iter().chain(firmware);
        let signed =
            documents.map(|(id, payload)| (id, self.sign(&payload, ManifestSigner::Genuine)));
        match GpuReferences::from_documents(signed) {
            Ok(references) => references,
            Err(error) => unreachable!("four manifests of 20 KiB are few and short: {error}"),
        }
    }

    /// The unsigned manifest of a driver.
    #[must_use]
    pub fn driver_payload(&self, version: &str) -> String {
        payload(self.seed, Part::Driver, version)
    }

    /// The unsigned manifest of a VBIOS.
    #[must_use]
    pub fn vbios_payload(&self, version: [u8; 5]) -> String {
        payload(self.seed, Part::Vbios, &vbios_text(version))
    }

    /// A manifest with its signature. `payload` must be in canonical form and end as [`SimulatedManifests::driver_payload`]'s.
    #[must_use]
    pub fn sign(&self, payload: &str, signer: ManifestSigner) -> Vec<u8> {
        if let ManifestSigner::OtherSeed(seed) = signer {
            return Self::new(seed).sign(payload, ManifestSigner::Genuine);
        }
        let signing = self.signer(signer);
        let hash = digest::digest(&digest::SHA384, payload.as_bytes());
        // Inside of the document the namespaces are inherited; on its own, which is how it is signed, they are written out.
        let declarations =
            format!(r#" xmlns="{SWID}" xmlns:ds="{DSIG}" xmlns:ns0="{SWID}" xmlns:ns2="{SHA384}""#);
        let message = signed_info(&declarations, hash.as_ref());
        let value = BASE64_STANDARD.encode(signing.key.sign_fixed(message.as_bytes()));
        let mut certificates = vec![&signing.der, &self.issuer.der, &self.root.der];
        let stranger = self.signer(ManifestSigner::ForTlsServers);
        if signer == ManifestSigner::WithStranger {
            certificates.insert(1, &stranger.der);
        }
        let certificates: Vec<String> = certificates
            .into_iter()
            .map(|der| {
                format!(
                    "<ds:X509Certificate>{}</ds:X509Certificate>",
                    BASE64_STANDARD.encode(der)
                )
            })
            .collect();
        let signature = format!(
            r#"<ds:Signature xmlns:ds="{DSIG}">{}<ds:SignatureValue>{value}</ds:SignatureValue><ds:KeyInfo><ds:X509Data>{}</ds:X509Data></ds:KeyInfo></ds:Signature>"#,
            signed_info("", hash.as_ref()),
            certificates.concat(),
        );
        let body = payload.strip_suffix(END).unwrap_or(payload);
        format!("{body}{signature}{END}").into_bytes()
    }

    fn signer(&self, signer: ManifestSigner) -> Authority<DeviceKey> {
        let name = format!("{NAME} - RIM signer {signer:?}");
        let mut params = leaf_params(self.seed, &name, NAME);
        match signer {
            ManifestSigner::WithoutSignatureUsage => {
                params.key_usages = vec![KeyUsagePurpose::KeyAgreement];
            }
            ManifestSigner::ForTlsServers => {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }
            ManifestSigner::Authority => {
                params = authority_params(self.seed, &name, NAME);
                params.key_usages.push(KeyUsagePurpose::DigitalSignature);
            }
            _ => {}
        }
        self.issuer.issue(DeviceKey::new(self.seed, &name), params)
    }
}

/// The signed part of the signature.
fn signed_info(declarations: &str, digest: &[u8]) -> String {
    let method =
        |name: &str, algorithm: &str| format!(r#"<ds:{name} Algorithm="{algorithm}"></ds:{name}>"#);
    [
        format!("<ds:SignedInfo{declarations}>"),
        method("CanonicalizationMethod", CANONICAL_XML_1_1),
        method(
            "SignatureMethod",
            "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384",
        ),
        r#"<ds:Reference URI=""><ds:Transforms>"#.to_owned(),
        method(
            "Transform",
            "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
        ),
        method("Transform", CANONICAL_XML_1_1),
        "</ds:Transforms>".to_owned(),
        method(
            "DigestMethod",
            "http://www.w3.org/2001/04/xmldsig-more#sha384",
        ),
        format!(
            "<ds:DigestValue>{}</ds:DigestValue>",
            BASE64_STANDARD.encode(digest)
        ),
        "</ds:Reference></ds:SignedInfo>".to_owned(),
    ]
    .concat()
}

/// A manifest without its signature, in canonical form: attributes in order, empty elements with an end tag.
fn payload(seed: Seed, described: Part, version: &str) -> String {
    let tag_id = hex::encode(seed.bytes::<48>(&format!("tag id {version}")));
    let resources: String = (0..MEASUREMENTS_COUNT)
        .map(|index| resource(seed, described, version, index))
        .collect();
    format!(
        r#"<SoftwareIdentity xmlns="{SWID}" xmlns:ns0="{SWID}" xmlns:ns2="{SHA384}" corpus="false" name="{CHIP}" patch="false" supplemental="false" tagId="{tag_id}" tagVersion="0" version="1.0">
    <ns0:Entity name="{NAME}" role="softwareCreator tagCreator"></ns0:Entity>
    <ns0:Meta colloquialVersion="{version}" edition="GPU" product="{CHIP}" revision="r1"></ns0:Meta>
    <ns0:Payload>
{resources}    </ns0:Payload>
{END}"#
    )
}

/// One measurement; those that the other part's manifest describes only fill the table.
fn resource(seed: Seed, described: Part, version: &str, index: u8) -> String {
    let (active, values) = if part(index) == Some(described) {
        ("True", values(seed, index, version))
    } else {
        ("False", vec![[0; 48]])
    };
    let count = values.len();
    let hashes: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(number, value)| format!(r#" ns2:Hash{number}="{}""#, hex::encode(value)))
        .collect();
    format!(
        r#"        <ns0:Resource active="{active}" alternatives="{count}" index="{index}" name="Measurement_{index}" size="48" type="Measurement"{}></ns0:Resource>
"#,
        hashes.concat(),
    )
}
