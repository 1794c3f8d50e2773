//! The enveloped XML signature, in the one shape that NVIDIA's manifests have:
//!
//! ```text
//! Signature (last child of the document element)
//!   SignedInfo
//!     CanonicalizationMethod   Canonical XML 1.1
//!     SignatureMethod          ecdsa-sha384
//!     Reference URI=""         the whole document
//!       Transforms             enveloped-signature, Canonical XML 1.1
//!       DigestMethod           sha384
//!       DigestValue
//!   SignatureValue             r ‖ s
//!   KeyInfo / X509Data / X509Certificate …
//! ```
//!
//! Nothing is looked up by an ID and nothing else is interpreted, so there is nothing to wrap. Both the signed info and the
//! contents are then read from their canonical octets, which are what digest and signature cover: whatever a parser may make
//! of the file as it came, what is believed is what was signed.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use roxmltree::Node;

use super::super::{RimError, format::Envelope, xml};

const DSIG: &str = "http://www.w3.org/2000/09/xmldsig#";
const CANONICAL_XML_1_1: &str = "http://www.w3.org/2006/12/xml-c14n11";
const ECDSA_SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384";
const ENVELOPED_SIGNATURE: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";
const SHA384: &str = "http://www.w3.org/2001/04/xmldsig-more#sha384";

/// Take a file apart; see the module's head for the shape.
pub(super) fn open(bytes: &[u8]) -> Result<Envelope, RimError> {
    let document = xml::parse(bytes)?;
    let root = document.root_element();
    let signature = only_signature(root)?;
    let [signed_info, value, key_info] =
        children(signature, ["SignedInfo", "SignatureValue", "KeyInfo"])?;
    let message = xml::canonical(signed_info, None);
    Ok(Envelope {
        certificates: certificates(key_info)?,
        payload_digest: payload_digest(&message)?,
        message,
        signature: base64(value)?
            .try_into()
            .map_err(|_| RimError::SignatureShape("SignatureValue"))?,
        payload: xml::canonical(root, Some(signature.id())),
    })
}

fn only_signature<'a, 'i>(root: Node<'a, 'i>) -> Result<Node<'a, 'i>, RimError> {
    let signatures: Vec<_> = root
        .descendants()
        .filter(|node| node.has_tag_name((DSIG, "Signature")))
        .collect();
    let &[signature] = signatures.as_slice() else {
        return Err(RimError::SignatureCount(signatures.len()));
    };
    if root.last_element_child() != Some(signature) {
        return Err(RimError::SignaturePlace);
    }
    Ok(signature)
}

/// The payload's digest, from the canonical octets of the signed info.
fn payload_digest(message: &[u8]) -> Result<[u8; 48], RimError> {
    let document = xml::parse(message)?;
    let signed_info = document.root_element();
    let [canonicalization, signature_method, reference] = children(
        signed_info,
        ["CanonicalizationMethod", "SignatureMethod", "Reference"],
    )?;
    empty_with(canonicalization, CANONICAL_XML_1_1)?;
    empty_with(signature_method, ECDSA_SHA384)?;
    attributes(reference, &[("URI", "")])?;
    let [transforms, digest_method, digest] =
        children(reference, ["Transforms", "DigestMethod", "DigestValue"])?;
    let [enveloped, canonical] = children(transforms, ["Transform", "Transform"])?;
    empty_with(enveloped, ENVELOPED_SIGNATURE)?;
    empty_with(canonical, CANONICAL_XML_1_1)?;
    empty_with(digest_method, SHA384)?;
    let digest = base64(digest)?;
    digest
        .try_into()
        .map_err(|_| RimError::SignatureShape("DigestValue"))
}

fn certificates(key_info: Node<'_, '_>) -> Result<Vec<Vec<u8>>, RimError> {
    let [data] = children(key_info, ["X509Data"])?;
    let certificates = xml::elements(data).ok_or(RimError::SignatureShape("X509Data"))?;
    certificates
        .into_iter()
        .map(|certificate| {
            named(certificate, "X509Certificate")?;
            base64(certificate)
        })
        .collect()
}

/// The children of an element: exactly these, in this order.
fn children<'a, 'i, const N: usize>(
    parent: Node<'a, 'i>,
    names: [&'static str; N],
) -> Result<[Node<'a, 'i>; N], RimError> {
    let unexpected = || RimError::SignatureShape(names.first().copied().unwrap_or_default());
    let found: [_; N] = xml::elements(parent)
        .and_then(|found| found.try_into().ok())
        .ok_or_else(unexpected)?;
    for (child, name) in found.iter().zip(names) {
        named(*child, name)?;
    }
    Ok(found)
}

fn named(element: Node<'_, '_>, name: &'static str) -> Result<(), RimError> {
    if element.has_tag_name((DSIG, name)) {
        return Ok(());
    }
    Err(RimError::SignatureShape(name))
}

/// An element without content that names an algorithm, and this one.
fn empty_with(element: Node<'_, '_>, algorithm: &str) -> Result<(), RimError> {
    attributes(element, &[("Algorithm", algorithm)])?;
    if element.has_children() {
        return Err(RimError::SignatureShape("algorithm with parameters"));
    }
    Ok(())
}

/// Exactly these attributes.
fn attributes(element: Node<'_, '_>, wanted: &[(&'static str, &str)]) -> Result<(), RimError> {
    let all = element.attributes().len() == wanted.len();
    for (name, value) in wanted {
        if !all || element.attribute(*name) != Some(*value) {
            return Err(RimError::SignatureShape(name));
        }
    }
    Ok(())
}

/// Base64 with white space in it, as XML Schema allows.
fn base64(element: Node<'_, '_>) -> Result<Vec<u8>, RimError> {
    let malformed = || RimError::SignatureShape("base64 text");
    let text: String = xml::text(element)
        .ok_or_else(malformed)?
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .collect();
    BASE64_STANDARD.decode(text).map_err(|_| malformed())
}
