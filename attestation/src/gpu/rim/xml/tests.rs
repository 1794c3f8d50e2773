//! The profile's refusals by name, and the rules of Canonical XML 1.1 one by one.

use proptest::prelude::*;
use roxmltree::{Document, Node};

use super::*;
use crate::gpu::rim::UnverifiedManifest;

fn canonical_text(text: &str) -> String {
    let document = parse(text.as_bytes()).unwrap();
    String::from_utf8(canonical(document.root_element(), None)).unwrap()
}

fn refusal(text: &str) -> RimError {
    parse(text.as_bytes()).unwrap_err()
}

#[test]
fn what_no_manifest_uses_is_refused() {
    for (text, what) in [
        ("<a><!-- --></a>", "a comment"),
        ("<a/><!-- -->", "a comment"),
        ("<?b?><a/>", "a processing instruction"),
        ("<a xml:lang='en'/>", "an attribute of the namespace xml"),
        ("<a xmlns='u'><b xmlns=''/></a>", "an empty namespace"),
        ("<a xmlns='u' xmlns='v'/>", "two default namespaces"),
    ] {
        assert_eq!(refusal(text), RimError::OutsideProfile(what), "{text}");
    }
}

#[test]
fn what_is_not_plain_well_formed_xml_is_refused() {
    for text in [
        "<!DOCTYPE a><a/>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
        "<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>",
        "<a>&undefined;</a>",
        "<a xmlns:p='u' xmlns:p='u'/>",
        "<a>",
        "",
    ] {
        assert!(matches!(refusal(text), RimError::Xml(_)), "{text}");
    }
    assert_eq!(parse(&[b'<', 0xff]).unwrap_err(), RimError::NotUtf8);
}

#[test]
fn depth_and_nodes_are_bounded() {
    let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
    assert!(parse(nested(DEPTH_MAX).as_bytes()).is_ok());
    let deep = RimError::OutsideProfile("elements nested too deep");
    assert_eq!(refusal(&nested(DEPTH_MAX + 1)), deep);
    // A parser or a walk that recursed without a bound would exhaust the stack here.
    assert!(parse(nested(100_000).as_bytes()).is_err());
    let wide = format!("<a>{}</a>", "<b/>".repeat(5_000));
    assert!(matches!(refusal(&wide), RimError::Xml(_)));
}

/// Work that grows with the square of the text must end before it starts: nobody has signed anything yet.
#[test]
fn namespaces_and_attributes_are_bounded() {
    let namespaces = RimError::OutsideProfile("too many namespaces");
    let attributes = RimError::OutsideProfile("too many attributes");
    let numbered = |count: usize, text: fn(usize) -> String| -> String {
        (0..count).map(text).collect::<Vec<_>>().concat()
    };
    let declared = |count| numbered(count, |number| format!(" xmlns:a{number}='u'"));
    let children = "<b/>".repeat(4_000);
    let on_one = |count| format!("<a{}>{children}</a>", declared(count));
    assert!(parse(on_one(NAMESPACES_MAX).as_bytes()).is_ok());
    assert_eq!(refusal(&on_one(NAMESPACES_MAX + 1)), namespaces);
    assert_eq!(refusal(&on_one(7_000)), namespaces);
    // One each on many elements; and a tag that never ends: the limit comes before the parser, which would refuse that.
    let on_each = numbered(4_000, |number| format!("<b xmlns:a{number}='u'/>"));
    assert_eq!(refusal(&format!("<a>{on_each}</a>")), namespaces);
    assert_eq!(refusal(&format!("<a{}", declared(7_000))), namespaces);

    let given = |count| numbered(count, |number| format!(" a{number} = '>'"));
    assert!(parse(format!("<a{}/>", given(ATTRIBUTES_MAX)).as_bytes()).is_ok());
    let over = given(ATTRIBUTES_MAX + 1);
    assert_eq!(refusal(&format!("<a><b{over}/></a>")), attributes);
    assert_eq!(refusal(&format!("<a{}", given(7_000))), attributes);
}

#[test]
fn canonical_form_follows_the_specification() {
    for (given, wanted) in [
        ("<?xml version='1.0'?>\n<a/>\n", "<a></a>"),
        // Attributes: by namespace, then name; values in double quotes, white space between them gone.
        (
            "<a  z='1'\n b = '2' y:a='3' x:b='4' xmlns:y='n1' xmlns:x='n2'/>",
            r#"<a xmlns:x="n2" xmlns:y="n1" b="2" z="1" y:a="3" x:b="4"></a>"#,
        ),
        // Declarations: the default one first, then by prefix; each only where it changes something.
        (
            "<p:a xmlns:q='n' xmlns='m' xmlns:p='n'><q:b xmlns:q='n' xmlns:p='o'/></p:a>",
            r#"<p:a xmlns="m" xmlns:p="n" xmlns:q="n"><q:b xmlns:p="o"></q:b></p:a>"#,
        ),
        // References and CDATA become text; what would not survive a reader becomes a reference.
        (
            "<a b='&#x9;&lt;&quot;>&apos;&#10;&#13;'>&gt;&#13;<![CDATA[<&]]>\"</a>",
            "<a b=\"&#x9;&lt;&quot;>'&#xA;&#xD;\">&gt;&#xD;&lt;&amp;\"</a>",
        ),
        // White space: kept in text, line ends as one, normalised in attributes.
        ("<a b='1\n2\t3'>\r\n c\t</a>", "<a b=\"1 2 3\">\n c\t</a>"),
    ] {
        assert_eq!(canonical_text(given), wanted);
        assert_eq!(canonical_text(wanted), wanted, "canonical already");
    }
}

#[test]
fn a_part_carries_the_declarations_around_it() {
    let text = "<a xmlns='m' xmlns:p='n'><p:b xmlns:q='o'><c/></p:b></a>";
    let document = parse(text.as_bytes()).unwrap();
    let part = document.root_element().first_element_child().unwrap();
    let wanted = r#"<p:b xmlns="m" xmlns:p="n" xmlns:q="o"><c></c></p:b>"#;
    assert_eq!(canonical(part, None), wanted.as_bytes());
    let around = canonical(document.root_element(), Some(part.id()));
    assert_eq!(around, br#"<a xmlns="m" xmlns:p="n"></a>"#);
}

/// Everything that a reader of the tree can see.
fn meaning(document: &Document<'_>) -> String {
    fn one(node: Node<'_, '_>) -> String {
        let mut attributes: Vec<_> = node
            .attributes()
            .map(|one| format!("{:?}{}={:?}", one.namespace(), one.name(), one.value()))
            .collect();
        attributes.sort();
        let text = node.is_text().then(|| node.text());
        let children: Vec<_> = node.children().map(one).collect();
        format!("({:?}{attributes:?}{text:?}{children:?})", node.tag_name())
    }
    one(document.root_element())
}

/// Small documents with what canonicalisation has to deal with.
fn documents() -> impl Strategy<Value = String> {
    let value = "[a-c \n\t>&&[^&]]{0,4}(&(lt|amp|quot|gt|#9|#10|#13);)?";
    let attribute = ("(p:|q:)?[a-c]", value).prop_map(|(name, value)| format!(" {name}='{value}'"));
    let declaration = ("(:p|:q)?", "[m-o]").prop_map(|(name, uri)| format!(" xmlns{name}='{uri}'"));
    let leaf = "[a-c \n]{0,4}(&(lt|amp|gt|#13);|<!\\[CDATA\\[[<&a]{1,2}\\]\\]>)?";
    let element = move |inner: BoxedStrategy<String>| {
        let parts = prop_oneof![attribute.clone(), declaration.clone()];
        let inside = proptest::collection::vec(inner, 0..4);
        (
            "(p:|q:)?[a-c]",
            proptest::collection::vec(parts, 0..4),
            inside,
        )
            .prop_map(|(name, parts, inside)| {
                let (parts, inside) = (parts.concat(), inside.concat());
                format!("<{name}{parts}>{inside}</{name}>")
            })
    };
    leaf.prop_recursive(4, 24, 4, element)
        .prop_map(|inside| format!("<r xmlns:p='m' xmlns:q='n'>{inside}</r>"))
}

proptest! {
    /// Some are not well formed: an attribute given twice, under one prefix or under two of the same meaning.
    #[test]
    fn canonical_form_keeps_the_meaning_and_is_its_own(text in documents()) {
        if let Ok(document) = parse(text.as_bytes()) {
            let once = canonical(document.root_element(), None);
            let again = parse(&once).unwrap();
            prop_assert_eq!(meaning(&document), meaning(&again));
            prop_assert_eq!(&canonical(again.root_element(), None), &once);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = UnverifiedManifest::inspect(&bytes);
    }

    #[test]
    fn no_markup_panics(text in "<?([a-c<>/&;'\" =?!\\[\\]-]|<ds:Signature|xmlns(:ds)?=|&#|CDATA|<!){0,60}") {
        let _ = UnverifiedManifest::inspect(text.as_bytes());
    }
}
