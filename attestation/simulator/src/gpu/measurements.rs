//! What firmware and driver leave in a GPU's measurements, from their versions and the seed.

use crate::keys::Seed;

/// As many as a real GPU has.
pub(super) const MEASUREMENTS_COUNT: u8 = 64;

/// The indices that an H100's VBIOS manifests cover. The driver's cover 7, and 21 to 40.
const VBIOS_LAST: u8 = 12;
const DRIVER_ALONE: u8 = 7;
const DRIVER: std::ops::RangeInclusive<u8> = 21..=40;

/// A measurement that two releases of one version may leave, as some of a real driver's do.
const TWO_ALTERNATIVES: u8 = 23;

/// Whose manifest describes a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Driver,
    Vbios,
}

/// `None` where no manifest does.
pub(super) fn part(index: u8) -> Option<Part> {
    if index == DRIVER_ALONE || DRIVER.contains(&index) {
        return Some(Part::Driver);
    }
    (index <= VBIOS_LAST).then_some(Part::Vbios)
}

/// The values that a measurement may have under a version of its part; the first is what a GPU shows. All zeros where no
/// manifest describes it.
pub(super) fn values(seed: Seed, index: u8, version: &str) -> Vec<[u8; 48]> {
    if part(index).is_none() {
        return vec![[0; 48]];
    }
    let value = |alternative: u8| seed.bytes(&format!("GPU {version} {index} {alternative}"));
    let alternatives = 1 + u8::from(index == TWO_ALTERNATIVES);
    (0..alternatives).map(value).collect()
}

/// As reports and manifests write a VBIOS version: `96.00.9F.00.01`.
pub(super) fn vbios_text(version: [u8; 5]) -> String {
    version.map(|byte| format!("{byte:02X}")).join(".")
}
