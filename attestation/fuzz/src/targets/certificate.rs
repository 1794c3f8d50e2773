//! A PCK certificate in a quote, with its SGX extension: reading it, and following its chain.

use std::sync::LazyLock;

use attestation::{PckCertificate, Quote};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{Seeds, Target, scene::SCENE};

pub(crate) const TARGET: Target = Target {
    name: "certificate",
    run,
    seeds,
    // SGX extension (1.2.840.113741.1.13.1), its members 1 to 4, and the tags around them.
    dictionary: &[
        b"\x06\x09\x2a\x86\x48\x86\xf8\x4d\x01\x0d\x01",
        b"\x06\x0a\x2a\x86\x48\x86\xf8\x4d\x01\x0d\x01\x01\x04\x10",
        b"\x06\x0a\x2a\x86\x48\x86\xf8\x4d\x01\x0d\x01\x02",
        b"\x06\x0a\x2a\x86\x48\x86\xf8\x4d\x01\x0d\x01\x03\x04\x02",
        b"\x06\x0a\x2a\x86\x48\x86\xf8\x4d\x01\x0d\x01\x04\x04\x06",
    ],
};

/// Where a version 4 quote holds its lengths: of the signature data, of the outer certification data, of the inner.
const SIGNATURE_LENGTH_AT: usize = 632;
const OUTER_LENGTH_AT: usize = 766;
const INNER_LENGTH_AT: usize = 1254;
const CHAIN_AT: usize = 1258;
const PEM_BEGIN: &str = "-----BEGIN CERTIFICATE-----";

/// The simulated quote up to its PCK chain, and the certificates of that chain in PEM.
static QUOTE: LazyLock<(Vec<u8>, Vec<String>)> = LazyLock::new(|| {
    let (signed, chain) = SCENE.evidence.quote.split_at(CHAIN_AT);
    let chain = std::str::from_utf8(chain).expect("the chain is in PEM");
    let blocks = chain.split(PEM_BEGIN).skip(1);
    let blocks: Vec<_> = blocks.map(|block| format!("{PEM_BEGIN}{block}")).collect();
    assert_eq!(blocks.len(), 3, "PCK, Platform CA and root");
    (signed.to_vec(), blocks)
});

fn run(leaf: &[u8]) {
    let quote = quote_with_leaf(leaf);
    let Ok(quote) = Quote::parse(&quote) else {
        return;
    };
    let certificate = quote.pck_certificate();
    assert_eq!(certificate, quote.pck_certificate());
    if let Ok(certificate) = certificate {
        let json = serde_json::to_string(&certificate).expect("a certificate's facts serialise");
        assert_eq!(
            serde_json::from_str::<PckCertificate>(&json).ok(),
            Some(certificate)
        );
    }
    if let Some(verified) = SCENE.verify(&quote, &SCENE.collateral) {
        assert!(
            SCENE.meanings.contains(&verified),
            "nobody signed {verified:?}"
        );
    }
}

/// The simulated quote with another PCK certificate, its lengths true.
fn quote_with_leaf(leaf: &[u8]) -> Vec<u8> {
    let (signed, chain) = &*QUOTE;
    let leaf = format!(
        "{PEM_BEGIN}\n{}\n-----END CERTIFICATE-----\n",
        STANDARD.encode(leaf)
    );
    let chain = [leaf.as_str(), &chain[1], &chain[2]].concat();
    let mut quote = [signed, chain.as_bytes()].concat();
    for at in [SIGNATURE_LENGTH_AT, OUTER_LENGTH_AT, INNER_LENGTH_AT] {
        let length = u32::try_from(quote.len() - at - 4).expect("a quote is short");
        quote[at..at + 4].copy_from_slice(&length.to_le_bytes());
    }
    quote
}

fn seeds(seeds: &mut Seeds) {
    for block in &QUOTE.1 {
        seeds.add(first_der(block.as_bytes()).expect("a forged certificate is PEM"));
    }
    seeds.add_vectors("quotes", |quote| first_der(&quote));
}

/// The DER of the first PEM block in `bytes`.
fn first_der(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(bytes);
    let (_, block) = text.split_once(PEM_BEGIN)?;
    let (base64, _) = block.split_once("-----END")?;
    let base64: String = base64.split_whitespace().collect();
    STANDARD.decode(base64).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without this, a shifted offset would let the target test nothing.
    #[test]
    fn the_true_certificate_still_verifies() {
        let leaf = first_der(QUOTE.1[0].as_bytes()).unwrap();
        let quote = Quote::parse(&quote_with_leaf(&leaf)).unwrap();
        assert!(SCENE.verify(&quote, &SCENE.collateral).is_some());
    }
}
