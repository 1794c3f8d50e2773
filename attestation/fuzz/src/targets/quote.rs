//! A quote: what it parses to does not depend on its padding, what verifies was signed, and `dcap-qvl`'s own call agrees.

use std::sync::LazyLock;

use attestation::{Quote, QuoteError, VerifiedQuote};
use dcap_qvl::{QuoteCollateralV3, QuotePolicy, verify::QuoteVerifier};

use crate::{
    Seeds, Target,
    scene::{NOW_S, SCENE, quotes},
};

pub(crate) const TARGET: Target = Target {
    name: "quote",
    run,
    seeds,
    dictionary: &[b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"],
};

/// The library's own verifier under the same root, and the same collateral in its form.
static DCAP: LazyLock<(QuoteVerifier, QuoteCollateralV3)> = LazyLock::new(|| {
    let verifier = QuoteVerifier::new(SCENE.platform.root_der().to_vec());
    let json = SCENE.collateral.to_json().expect("collateral serialises");
    let collateral = serde_json::from_str(&json).expect("its own JSON parses");
    (
        verifier.allow_debug(true).allow_service_td(true),
        collateral,
    )
});

fn run(bytes: &[u8]) {
    let quote = Quote::parse(bytes);
    let verified = quote.as_ref().ok().and_then(|quote| verified(bytes, quote));
    // What we refuse beyond the library, whatever is signed.
    let is_stricter = matches!(
        quote,
        Err(QuoteError::TrailingBytes | QuoteError::TooLong(_) | QuoteError::Vendor)
    );
    assert!(is_stricter || verified.is_some() == is_accepted_by_dcap(bytes));
}

fn is_accepted_by_dcap(bytes: &[u8]) -> bool {
    let (verifier, collateral) = &*DCAP;
    let policy = QuotePolicy::claims_only(NOW_S);
    verifier
        .verify_with_policy(bytes, collateral, NOW_S, &policy)
        .is_ok()
}

fn verified(bytes: &[u8], quote: &Quote) -> Option<VerifiedQuote> {
    let (read, padding) = bytes.split_at(quote.bytes().len());
    assert_eq!(read, quote.bytes());
    assert_eq!(padding.len(), quote.padding_bytes());
    assert!(padding.iter().all(|&byte| byte == 0));
    let again = Quote::parse(read).expect("a quote parses without its padding");
    assert_eq!(again.body(), quote.body());
    assert_eq!(again.pck_certificate(), quote.pck_certificate());
    let verified = SCENE.verify(quote, &SCENE.collateral)?;
    assert!(
        SCENE.meanings.contains(&verified),
        "nobody signed {verified:?}"
    );
    Some(verified)
}

fn seeds(seeds: &mut Seeds) {
    for quote in quotes(&SCENE.platform) {
        seeds.add(quote);
    }
    seeds.add(SCENE.platform.sgx_quote(&[0x42; 64]));
    seeds.add_vectors("quotes", Some);
}
