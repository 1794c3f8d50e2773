//! XML as manifests use it, and its canonical form.
//!
//! The parser refuses document type declarations, and with them every entity that a file could define. What is refused on
//! top (comments, processing instructions, `xml:` attributes, deep nesting) no manifest uses, and each has a part in known
//! attacks on XML signatures or in rules of canonicalisation that are then not needed.

use std::collections::BTreeSet;

use roxmltree::{Document, Namespace, Node, NodeId, NodeType, ParsingOptions};

use super::RimError;
use crate::verify::Details;

/// Real files have 150 nodes, white space included.
const NODES_MAX: u32 = 4096;

/// Real files nest six deep: document element, signature, signed info, reference, transforms, transform.
const DEPTH_MAX: usize = 12;

/// Namespace declarations of a whole file; real files have six. Each is in scope of all that is in its element, and the parser
/// holds each new one against those.
const NAMESPACES_MAX: usize = 16;

/// Attributes of one element, which the parser holds against each other. Real files have 12; the format allows 64 hashes.
const ATTRIBUTES_MAX: usize = 80;

/// The namespace of the prefix `xml`.
const XML_NAMESPACE: &str = "http://www.w3.org/XML/1998/namespace";

pub(super) fn parse(bytes: &[u8]) -> Result<Document<'_>, RimError> {
    let text = std::str::from_utf8(bytes).map_err(|_| RimError::NotUtf8)?;
    hold_to_limits(text)?;
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: NODES_MAX,
        entity_resolver: None,
    };
    let document = Document::parse_with_options(text, options)
        .map_err(|error| RimError::Xml(Details(error.to_string())))?;
    // In document order, so that the first node that is too deep ends the walk.
    for node in document.descendants() {
        hold_to_profile(node)?;
    }
    Ok(document)
}

/// Limits on what the parser spends more than linear time on, counted in the text before it sees it.
///
/// The counts may be too high, never too low: a declaration has its `xmlns` and an attribute its `=` written out, and no `<`
/// stands within a tag.
fn hold_to_limits(text: &str) -> Result<(), RimError> {
    if text.matches("xmlns").count() > NAMESPACES_MAX {
        return Err(RimError::OutsideProfile("too many namespaces"));
    }
    let mut tags = text.split('<');
    if tags.any(|tag| tag.matches('=').count() > ATTRIBUTES_MAX) {
        return Err(RimError::OutsideProfile("too many attributes"));
    }
    Ok(())
}

fn hold_to_profile(node: Node<'_, '_>) -> Result<(), RimError> {
    let refused = match node.node_type() {
        NodeType::Comment => Some("a comment"),
        NodeType::PI => Some("a processing instruction"),
        _ if node.ancestors().take(DEPTH_MAX + 2).count() > DEPTH_MAX + 1 => {
            Some("elements nested too deep")
        }
        _ if node
            .attributes()
            .any(|one| one.namespace() == Some(XML_NAMESPACE)) =>
        {
            Some("an attribute of the namespace xml")
        }
        _ if node.namespaces().any(|one| one.uri().is_empty()) => Some("an empty namespace"),
        // Not well formed, but the parser lets it pass.
        _ if repeats_a_declaration(node) => Some("two default namespaces"),
        _ => None,
    };
    refused.map_or(Ok(()), |what| Err(RimError::OutsideProfile(what)))
}

fn repeats_a_declaration(node: Node<'_, '_>) -> bool {
    let prefixes: BTreeSet<_> = node.namespaces().map(Namespace::name).collect();
    prefixes.len() != node.namespaces().len()
}

/// The canonical form (Canonical XML 1.1, without comments) of an element and what is in it, but for `omitted`.
///
/// Of a whole document it is the document element's: there is nothing but white space around it.
pub(super) fn canonical(apex: Node<'_, '_>, omitted: Option<NodeId>) -> Vec<u8> {
    let mut writer = Writer {
        omitted,
        output: String::new(),
    };
    writer.element(apex, &BTreeSet::new());
    writer.output.into_bytes()
}

/// A namespace declaration: prefix (empty for the default one) and URI.
type Declaration<'a> = (&'a str, &'a str);

struct Writer {
    omitted: Option<NodeId>,
    output: String,
}

impl Writer {
    /// Recursion is bounded by [`DEPTH_MAX`].
    fn element(&mut self, element: Node<'_, '_>, inherited: &BTreeSet<Declaration<'_>>) {
        let name = qualified_name(element);
        let in_scope: BTreeSet<_> = element
            .namespaces()
            .map(|one| (one.name().unwrap_or_default(), one.uri()))
            .filter(|(prefix, _)| *prefix != "xml")
            .collect();
        self.write(&["<", name]);
        for (prefix, uri) in in_scope.difference(inherited) {
            let colon = if prefix.is_empty() { "" } else { ":" };
            self.write(&[" xmlns", colon, prefix, "=\""]);
            self.escaped(uri, reference_in_attribute);
            self.write(&["\""]);
        }
        self.attributes(element);
        self.write(&[">"]);
        for child in element.children() {
            if Some(child.id()) == self.omitted {
                continue;
            }
            match child.node_type() {
                NodeType::Element => self.element(child, &in_scope),
                _ => self.escaped(child.text().unwrap_or_default(), reference_in_text),
            }
        }
        self.write(&["</", name, ">"]);
    }

    /// By namespace and local name; those without a namespace first.
    fn attributes(&mut self, element: Node<'_, '_>) {
        let source = element.document().input_text();
        let mut attributes: Vec<_> = element.attributes().collect();
        attributes.sort_by_key(|one| (one.namespace().unwrap_or_default(), one.name()));
        for attribute in attributes {
            let name = source.get(attribute.range_qname()).unwrap_or_default();
            self.write(&[" ", name, "=\""]);
            self.escaped(attribute.value(), reference_in_attribute);
            self.write(&["\""]);
        }
    }

    fn escaped(&mut self, text: &str, reference: fn(char) -> Option<&'static str>) {
        for character in text.chars() {
            match reference(character) {
                Some(reference) => self.output.push_str(reference),
                None => self.output.push(character),
            }
        }
    }

    fn write(&mut self, parts: &[&str]) {
        self.output.extend(parts.iter().copied());
    }
}

const fn reference_in_attribute(character: char) -> Option<&'static str> {
    Some(match character {
        '&' => "&amp;",
        '<' => "&lt;",
        '"' => "&quot;",
        '\t' => "&#x9;",
        '\n' => "&#xA;",
        '\r' => "&#xD;",
        _ => return None,
    })
}

const fn reference_in_text(character: char) -> Option<&'static str> {
    Some(match character {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '\r' => "&#xD;",
        _ => return None,
    })
}

/// The name as it is written, prefix included: the parser keeps namespaces alone, and two prefixes may mean the same one.
fn qualified_name<'a>(element: Node<'a, '_>) -> &'a str {
    let source = element.document().input_text();
    let tag = source.get(element.range()).unwrap_or_default();
    tag.strip_prefix('<')
        .and_then(|tag| {
            tag.split(|c: char| c.is_ascii_whitespace() || c == '/' || c == '>')
                .next()
        })
        .unwrap_or_default()
}

/// The elements in an element that holds nothing else but white space.
pub(super) fn elements<'a, 'i>(parent: Node<'a, 'i>) -> Option<Vec<Node<'a, 'i>>> {
    let blank = |node: &Node<'_, '_>| {
        let text = node.text().unwrap_or_default();
        text.chars().all(|c| c.is_ascii_whitespace())
    };
    let mut children = parent.children();
    children
        .all(|child| child.is_element() || blank(&child))
        .then(|| parent.children().filter(Node::is_element).collect())
}

/// The text of an element that holds nothing else.
pub(super) fn text<'a>(element: Node<'a, '_>) -> Option<&'a str> {
    element
        .children()
        .all(|child| child.is_text())
        .then(|| element.text().unwrap_or_default())
}

#[cfg(test)]
mod tests;
