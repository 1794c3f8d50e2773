//! What a SWID manifest states: product, version, and the measurements.
//!
//! ```text
//! SoftwareIdentity
//!   Entity …
//!   Meta     product="GH100" edition="GPU" colloquialVersion="550.90.07"
//!   Payload
//!     Resource type="Measurement" index="1" active="True" alternatives="2" Hash0="…" Hash1="…" size="48"
//! ```

use std::collections::BTreeMap;

use roxmltree::{Document, Node};

use super::super::{ManifestKind, ReferenceMeasurement, RimError, format::Contents, xml};

const SWID: &str = "http://standards.iso.org/iso/19770/-2/2015/schema.xsd";

/// The namespace of the attributes `Hash0`, `Hash1`, …
const SHA384: &str = "http://www.w3.org/2001/04/xmlenc#sha384";

/// SHA-384, the only digest of these manifests.
const HASH_BYTES: usize = 48;

/// A report has at most 239 measurement blocks (SPDM, DSP0274: indices 1 to 0xEF). Real manifests describe 64.
const MEASUREMENTS_MAX: u32 = 239;

/// Real manifests have four at most.
const ALTERNATIVES_MAX: usize = 64;

/// Real texts have 14 bytes at most.
const TEXT_BYTES_MAX: usize = 64;

/// Read the canonical octets.
pub(super) fn read(payload: &[u8]) -> Result<Contents, RimError> {
    let document = xml::parse(payload)?;
    let meta = only_child(&document, "Meta")?;
    let version = text(meta, "colloquialVersion")?;
    let payload = only_child(&document, "Payload")?;
    Ok(Contents {
        kind: kind(meta, &version)?,
        product: text(meta, "product")?,
        version,
        measurements: measurements(payload)?,
    })
}

fn only_child<'a, 'i>(
    document: &'a Document<'i>,
    name: &'static str,
) -> Result<Node<'a, 'i>, RimError> {
    let root = document.root_element();
    if !root.has_tag_name((SWID, "SoftwareIdentity")) {
        return Err(RimError::Contents("SoftwareIdentity"));
    }
    // ISO/IEC 19770-2: such a tag describes a change to, or an addition to, what another tag describes.
    for partial in ["patch", "supplemental"] {
        if root
            .attribute(partial)
            .is_some_and(|value| value != "false")
        {
            return Err(RimError::Contents(partial));
        }
    }
    let mut found = root
        .children()
        .filter(|node| node.has_tag_name((SWID, name)));
    match (found.next(), found.next()) {
        (Some(child), None) => Ok(child),
        _ => Err(RimError::Contents(name)),
    }
}

/// Letters, digits, `.`, `-` and `_`: the text goes into identifiers, transcripts and logs.
fn text(element: Node<'_, '_>, name: &'static str) -> Result<String, RimError> {
    let permitted = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    element
        .attribute(name)
        .filter(|value| (1..=TEXT_BYTES_MAX).contains(&value.len()))
        .filter(|value| value.chars().all(permitted))
        .map(str::to_owned)
        .ok_or(RimError::Contents(name))
}

/// Manifests of driver and firmware differ in nothing but the form of their versions: `550.90.07`, `96.00.9F.00.01`.
fn kind(meta: Node<'_, '_>, version: &str) -> Result<ManifestKind, RimError> {
    let parts: Vec<&str> = version.split('.').collect();
    let all = |permitted: fn(&u8) -> bool| {
        let fits = |part: &&str| !part.is_empty() && part.as_bytes().iter().all(permitted);
        parts.iter().all(fits)
    };
    let firmware =
        parts.len() == 5 && parts.iter().all(|part| part.len() == 2) && all(u8::is_ascii_hexdigit);
    let driver = (2..=3).contains(&parts.len()) && all(u8::is_ascii_digit);
    match meta.attribute("edition") {
        Some("GPU") if firmware => Ok(ManifestKind::Vbios),
        Some("GPU") if driver => Ok(ManifestKind::Driver),
        Some("SWITCH") if firmware => Ok(ManifestKind::SwitchBios),
        Some("GPU" | "SWITCH") => Err(RimError::Contents("colloquialVersion")),
        _ => Err(RimError::Contents("edition")),
    }
}

fn measurements(payload: Node<'_, '_>) -> Result<BTreeMap<u32, ReferenceMeasurement>, RimError> {
    let resources = xml::elements(payload).ok_or(RimError::Contents("Payload"))?;
    let mut measurements = BTreeMap::new();
    for resource in resources {
        let (index, measurement) = measurement(resource)?;
        if measurements.insert(index, measurement).is_some() {
            return Err(RimError::Measurement {
                index,
                field: "index, used twice",
            });
        }
    }
    if measurements.is_empty() {
        return Err(RimError::Contents("Resource"));
    }
    Ok(measurements)
}

fn measurement(resource: Node<'_, '_>) -> Result<(u32, ReferenceMeasurement), RimError> {
    if !resource.has_tag_name((SWID, "Resource"))
        || resource.attribute("type") != Some("Measurement")
    {
        return Err(RimError::Contents("Resource"));
    }
    let index = number(resource, "index")
        .filter(|index| *index < MEASUREMENTS_MAX)
        .ok_or(RimError::Contents("Resource index"))?;
    let malformed = |field| RimError::Measurement { index, field };
    let active = match resource.attribute("active") {
        Some("True") => true,
        Some("False") => false,
        _ => return Err(malformed("active")),
    };
    if number(resource, "size") != u32::try_from(HASH_BYTES).ok() {
        return Err(malformed("size"));
    }
    let alternatives = hashes(resource).ok_or_else(|| malformed("Hash"))?;
    if number(resource, "alternatives") != u32::try_from(alternatives.len()).ok() {
        return Err(malformed("alternatives"));
    }
    Ok((
        index,
        ReferenceMeasurement {
            active,
            alternatives,
        },
    ))
}

/// `Hash0`, `Hash1` and so on without a gap; one at least.
fn hashes(resource: Node<'_, '_>) -> Option<Vec<Vec<u8>>> {
    let attributes = resource.attributes();
    let count = attributes
        .filter(|one| one.namespace() == Some(SHA384))
        .count();
    (1..=ALTERNATIVES_MAX).contains(&count).then_some(())?;
    (0..count)
        .map(|number| {
            let name = format!("Hash{number}");
            let value = resource.attribute((SHA384, name.as_str()))?;
            hex::decode(value)
                .ok()
                .filter(|hash| hash.len() == HASH_BYTES)
        })
        .collect()
}

/// A decimal number, written in one way.
fn number(element: Node<'_, '_>, name: &'static str) -> Option<u32> {
    let text = element.attribute(name)?;
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
