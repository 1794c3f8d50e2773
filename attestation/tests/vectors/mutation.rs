//! Mutations of quotes from a seed: bit flips, splices, truncations, swapped fields, changed lengths.

/// `SplitMix64` (Steele, Lea, Flood 2014): every mutation is a function of its seed alone.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).unwrap()).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }
}

/// Where the parts of a version 4 quote with a TD 1.0 body begin: header fields, body, lengths, signatures, key, quoting
/// enclave's report, authentication data, certification data. Other layouts differ, and are mutated all the same.
const PARTS: &[usize] = &[
    0, 2, 4, 8, 12, 28, 48, 64, 112, 160, 168, 176, 184, 232, 376, 424, 568, 632, 636, 700, 764,
    766, 770, 1154, 1218, 1220, 1252, 1254, 1258,
];

/// One to three mutations of `quote`, some with bytes of `other`.
pub(crate) fn mutated(random: &mut Random, quote: &[u8], other: &[u8]) -> Vec<u8> {
    let count = 1 + random.below(3);
    (0..count).fold(quote.to_vec(), |bytes, _| mutate(random, bytes, other))
}

fn mutate(random: &mut Random, mut bytes: Vec<u8>, other: &[u8]) -> Vec<u8> {
    if bytes.is_empty() {
        return other.to_vec();
    }
    let at = random.below(bytes.len());
    match random.below(8) {
        0 => bytes[at] ^= 1 << random.below(8),
        1 => bytes[at] = random.byte(),
        2 => bytes.truncate(at),
        3 => bytes.insert(at, random.byte()),
        4 => {
            let trailing = if random.below(2) == 0 {
                0
            } else {
                random.byte()
            };
            bytes.extend(std::iter::repeat_n(trailing, 1 + random.below(64)));
        }
        5 => splice(random, &mut bytes, other),
        6 => swap(random, &mut bytes),
        _ => {
            let part = PARTS[random.below(PARTS.len())].min(bytes.len() - 1);
            bytes[part] = bytes[part].wrapping_add(random.byte() % 5);
        }
    }
    bytes
}

/// Replaces a part by the same part of another quote.
fn splice(random: &mut Random, bytes: &mut [u8], other: &[u8]) {
    let part = random.below(PARTS.len());
    let start = PARTS[part];
    let end = PARTS.get(part + 1).copied().unwrap_or(usize::MAX);
    let end = end.min(bytes.len()).min(other.len());
    if start < end {
        bytes[start..end].copy_from_slice(&other[start..end]);
    }
}

/// Exchanges two runs of equal length.
fn swap(random: &mut Random, bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    let (low, high) = bytes.split_at_mut(middle);
    if low.is_empty() {
        return;
    }
    let (one, another) = (random.below(low.len()), random.below(high.len()));
    let length = 48.min(low.len() - one).min(high.len() - another);
    low[one..one + length].swap_with_slice(&mut high[another..another + length]);
}
