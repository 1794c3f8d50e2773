//! Numbers for inputs: of about one, of either sign, the same in each run.

use half::bf16;

/// An endless sequence that depends on the seed alone (`SplitMix64`, Steele, Lea and Flood, 2014).
fn noise(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    })
}

fn reals(seed: u64) -> impl Iterator<Item = f32> {
    noise(seed).map(|word| {
        let [low, high, ..] = word.to_le_bytes();
        f32::from(u16::from_le_bytes([low, high])) / 16_384.0 - 2.0
    })
}

/// Binary32, little-endian.
pub(crate) fn binary32(seed: u64, count: usize) -> Vec<u8> {
    reals(seed).take(count).flat_map(f32::to_le_bytes).collect()
}

/// bfloat16, little-endian.
pub(crate) fn bfloat16(seed: u64, count: usize) -> Vec<u8> {
    let short = |real| bf16::from_f32(real).to_le_bytes();
    reals(seed).take(count).flat_map(short).collect()
}

/// Any bytes.
pub(crate) fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let words = noise(seed).flat_map(u64::to_le_bytes);
    words.take(count).collect()
}
