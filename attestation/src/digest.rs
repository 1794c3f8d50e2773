//! The digests used here, as arrays of their own length.

use ring::digest::{Algorithm, Context, SHA256, SHA384, SHA512};

/// SHA-256 of the concatenation of `parts`.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    hash(&SHA256, parts)
}

/// SHA-384 of the concatenation of `parts`.
pub(crate) fn sha384(parts: &[&[u8]]) -> [u8; 48] {
    hash(&SHA384, parts)
}

/// SHA-512 of the concatenation of `parts`.
pub(crate) fn sha512(parts: &[&[u8]]) -> [u8; 64] {
    hash(&SHA512, parts)
}

fn hash<const N: usize>(algorithm: &'static Algorithm, parts: &[&[u8]]) -> [u8; N] {
    let mut context = Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    let mut output = [0; N];
    // The three callers above pair each algorithm with its own output length.
    output.copy_from_slice(context.finish().as_ref());
    output
}
