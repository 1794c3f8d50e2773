//! One seed is one hierarchy, byte for byte; another seed is another.

use simulator::{CollateralOptions, QuoteVersion, SimulatedPlatform};

const NOW_S: u64 = 1_790_000_000;

#[test]
fn one_seed_gives_one_root_one_quote_and_one_collateral() {
    let (one, same) = (
        SimulatedPlatform::from_seed(7),
        SimulatedPlatform::from_seed(7),
    );
    let options = CollateralOptions::at(NOW_S);
    assert_eq!(one.root_der(), same.root_der());
    assert_eq!(one.td(), same.td());
    assert_eq!(
        one.collateral_json(&options),
        same.collateral_json(&options)
    );
    for version in [QuoteVersion::V4, QuoteVersion::V5] {
        let quote =
            |platform: &SimulatedPlatform| platform.quote(version, &platform.td(), &[1; 64]);
        assert_eq!(quote(&one), quote(&same));
    }
}

#[test]
fn another_seed_shares_nothing() {
    let (one, other) = (
        SimulatedPlatform::from_seed(7),
        SimulatedPlatform::from_seed(8),
    );
    assert_ne!(one.root_der(), other.root_der());
    assert_ne!(one.td().mrtd, other.td().mrtd);
    assert_ne!(one.ppid(), other.ppid());
}

#[test]
fn machines_of_one_seed_share_root_and_measurements_but_not_their_identity() {
    let (first, second) = (
        SimulatedPlatform::machine(7, 0),
        SimulatedPlatform::machine(7, 1),
    );
    assert_eq!(first.root_der(), second.root_der());
    assert_eq!(first.td(), second.td());
    assert_ne!(first.ppid(), second.ppid());
}

#[test]
fn every_certificate_says_what_it_is() {
    let platform = SimulatedPlatform::from_seed(7);
    let name = b"SIMULATED - not Intel";
    let says_so = |der: &[u8]| der.windows(name.len()).any(|window| window == name);
    assert!(says_so(platform.root_der()));
    assert!(
        !platform
            .root_der()
            .windows(13)
            .any(|window| window == b"Intel SGX Roo")
    );
}
