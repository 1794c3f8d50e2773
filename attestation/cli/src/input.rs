//! Reading what the user names: files and standard input, with a limit; quotes in three spellings; points in time.

use std::{fs::File, io::Read, path::Path};

use anyhow::{Context, anyhow, ensure};
use base64::{
    Engine,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

/// The largest input, in bytes. Records of a worker with many GPUs reach one; eight leave room for base64.
const INPUT_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// The length of `2026-01-31`: a day alone begins at midnight UTC.
const DATE_BYTES: usize = 10;

/// Base64 as people paste it: padded or not.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// The contents of `path`; `-` is standard input.
pub(crate) fn read(path: &Path, standard_input: &mut dyn Read) -> anyhow::Result<Vec<u8>> {
    if path == Path::new("-") {
        return read_bounded(standard_input).context("cannot read standard input");
    }
    let name = path.display();
    let mut file = File::open(path).with_context(|| format!("cannot open {name}"))?;
    read_bounded(&mut file).with_context(|| format!("cannot read {name}"))
}

/// The contents of `path` as text.
pub(crate) fn read_text(path: &Path, standard_input: &mut dyn Read) -> anyhow::Result<String> {
    let bytes = read(path, standard_input)?;
    String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8 text", path.display()))
}

/// The raw bytes of `what` in `path`, in whatever spelling.
pub(crate) fn read_binary(
    what: &str,
    path: &Path,
    standard_input: &mut dyn Read,
) -> anyhow::Result<Vec<u8>> {
    let input = read(path, standard_input)?;
    decode_binary(what, input).with_context(|| format!("cannot use {}", path.display()))
}

fn read_bounded(source: &mut dyn Read) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source
        .take(INPUT_BYTES_MAX.saturating_add(1))
        .read_to_end(&mut bytes)?;
    let length = u64::try_from(bytes.len())?;
    ensure!(
        length <= INPUT_BYTES_MAX,
        "it is larger than {INPUT_BYTES_MAX} bytes"
    );
    Ok(bytes)
}

/// Whether bytes are text: nothing binary that this tool reads is printable throughout.
pub(crate) fn is_text(input: &[u8]) -> bool {
    let mut bytes = input.iter();
    bytes.all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
}

/// The raw bytes of `what`, given raw, in hexadecimal or in base64.
pub(crate) fn decode_binary(what: &str, input: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    ensure!(!input.is_empty(), "the {what} is empty");
    if !is_text(&input) {
        return Ok(input);
    }
    let digits: Vec<u8> = input
        .into_iter()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let hexadecimal = digits.strip_prefix(b"0x").unwrap_or(&digits);
    if let Ok(bytes) = hex::decode(hexadecimal) {
        return Ok(bytes);
    }
    [base64::alphabet::STANDARD, base64::alphabet::URL_SAFE]
        .iter()
        .find_map(|alphabet| GeneralPurpose::new(alphabet, LENIENT).decode(&digits).ok())
        .ok_or_else(|| anyhow!("the {what} is text, but neither hexadecimal nor base64"))
}

/// A point in time in seconds since the epoch: RFC 3339, a date, a whole number of seconds, or the word `now`.
pub(crate) fn parse_time(text: &str, now_s: impl FnOnce() -> u64) -> anyhow::Result<u64> {
    if text == "now" {
        return Ok(now_s());
    }
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let time: jiff::Timestamp = if text.len() == DATE_BYTES {
        format!("{text}T00:00:00Z").parse()
    } else {
        text.parse()
    }
    .with_context(|| {
        format!("{text:?} is no time; write 2026-01-31, 2026-01-31T12:00:00Z, 1769860800 or now")
    })?;
    u64::try_from(time.as_second()).with_context(|| format!("{text:?} is before 1970"))
}

/// Bytes from hexadecimal, with the argument's name in the error.
pub(crate) fn decode_hex(name: &str, text: &str) -> anyhow::Result<Vec<u8>> {
    hex::decode(text.trim()).with_context(|| format!("{name} is not hexadecimal"))
}

/// Exactly `N` bytes from hexadecimal, with the argument's name in the error.
pub(crate) fn decode_hex_array<const N: usize>(name: &str, text: &str) -> anyhow::Result<[u8; N]> {
    let bytes = decode_hex(name, text)?;
    let length = bytes.len();
    bytes
        .try_into()
        .map_err(|_| anyhow!("{name} has {length} bytes; it must have {N}"))
}

#[cfg(test)]
mod tests;
