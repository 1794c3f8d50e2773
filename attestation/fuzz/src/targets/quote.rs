//! A quote: what it parses to does not depend on its padding, and what verifies was signed.

use attestation::Quote;

use crate::{
    Seeds, Target,
    scene::{SCENE, quotes},
};

pub(crate) const TARGET: Target = Target {
    name: "quote",
    run,
    seeds,
    dictionary: &[b"-----BEGIN CERTIFICATE-----", b"-----END CERTIFICATE-----"],
};

fn run(bytes: &[u8]) {
    let Ok(quote) = Quote::parse(bytes) else {
        return;
    };
    let (read, padding) = bytes.split_at(quote.bytes().len());
    assert_eq!(read, quote.bytes());
    assert_eq!(padding.len(), quote.padding_bytes());
    assert!(padding.iter().all(|&byte| byte == 0));
    let again = Quote::parse(read).expect("a quote parses without its padding");
    assert_eq!(again.body(), quote.body());
    assert_eq!(again.pck_certificate(), quote.pck_certificate());
    if let Some(verified) = SCENE.verify(&quote, &SCENE.collateral) {
        assert!(
            SCENE.meanings.contains(&verified),
            "nobody signed {verified:?}"
        );
    }
}

fn seeds(seeds: &mut Seeds) {
    for quote in quotes(&SCENE.platform) {
        seeds.add(quote);
    }
    seeds.add(SCENE.platform.sgx_quote(&[0x42; 64]));
    seeds.add_vectors("quotes", Some);
}
