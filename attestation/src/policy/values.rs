//! What the policy's texts may say, each with the mistake in words.

use std::collections::BTreeSet;

use super::NAME_BYTES_MAX;
use crate::{Measurement, TcbStatus};

/// Intel pads its advisories' numbers with zeros.
const ADVISORY_DIGITS: usize = 5;

pub(super) fn status(text: &str) -> Result<TcbStatus, String> {
    match text.parse() {
        Ok(TcbStatus::Revoked) => Err("`Revoked` is never allowed".to_owned()),
        Ok(status) => Ok(status),
        Err(_) => Err(format!(
            "`{text}` is no TCB status; one of {}",
            TcbStatus::ALL
                .iter()
                .filter(|status| **status != TcbStatus::Revoked)
                .map(|status| status.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        )),
    }
}

pub(super) fn advisory(text: &str) -> Result<String, String> {
    let number = text.strip_prefix("INTEL-SA-").unwrap_or_default();
    // Advisories are compared as texts: one in another spelling would be denied in vain.
    if number.len() != ADVISORY_DIGITS || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(format!(
            "`{text}` is no advisory of the form INTEL-SA-00837"
        ));
    }
    Ok(text.to_owned())
}

pub(super) fn name(text: &str) -> Result<String, String> {
    let fits = (1..=NAME_BYTES_MAX).contains(&text.len());
    if fits && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "a name has 1 to {NAME_BYTES_MAX} bytes and no control characters"
        ))
    }
}

pub(super) fn bytes<const N: usize>(text: &str) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    match hex::decode_to_slice(text, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => Err(format!(
            "wants {N} bytes in hexadecimal, not {}",
            flaw(text)
        )),
    }
}

/// What is wrong with hexadecimal: the first digit that is none, or else the length.
fn flaw(text: &str) -> String {
    let mut digits = (1_usize..).zip(text.chars());
    match digits.find(|(_, digit)| !digit.is_ascii_hexdigit()) {
        Some((position, digit)) => format!("{digit:?} at digit {position}"),
        None => match text.len() {
            0 => "an empty text".to_owned(),
            1 => "1 digit".to_owned(),
            length => format!("{length} digits"),
        },
    }
}

pub(super) fn measurements(values: BTreeSet<[u8; 48]>) -> BTreeSet<Measurement> {
    values.into_iter().map(Measurement).collect()
}
