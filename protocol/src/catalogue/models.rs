//! The models that operations compute with: their files, pinned by size and SHA-256. A worker takes no other files, and a
//! receipt names the [`Model::digest`].

use std::fmt::Write as _;

use crate::digest::Sha256Digest;

/// Numbers of one embedding of [`ALL_MINILM_L6_V2`].
pub const EMBEDDING_DIMENSIONS: u64 = 384;

/// A published model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model {
    pub name: &'static str,
    /// In the order of their names.
    pub files: &'static [ModelFile],
}

/// One file of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelFile {
    pub name: &'static str,
    pub bytes: u64,
    pub sha256: Sha256Digest,
}

/// sentence-transformers/all-MiniLM-L6-v2: six BERT layers, fine-tuned for sentences. Apache-2.0.
pub static ALL_MINILM_L6_V2: Model = Model {
    name: "all-MiniLM-L6-v2",
    files: &[
        ModelFile {
            name: "config.json",
            bytes: 612,
            sha256: pinned("953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
        },
        ModelFile {
            name: "model.safetensors",
            bytes: 90_868_376,
            sha256: pinned("53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
        },
        ModelFile {
            name: "tokenizer.json",
            bytes: 466_247,
            sha256: pinned("be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
        },
    ],
};

impl Model {
    /// SHA-256 over the lines that `sha256sum` prints for the files in the order of their names: anyone can compute it
    /// with `sha256sum config.json model.safetensors tokenizer.json | sha256sum`.
    #[must_use]
    pub fn digest(&self) -> Sha256Digest {
        let mut manifest = String::new();
        for file in self.files {
            // Writing to a String is infallible.
            let _ = writeln!(manifest, "{}  {}", file.sha256, file.name);
        }
        Sha256Digest::of(manifest.as_bytes())
    }
}

/// A digest written in this file. Anything but 64 hexadecimal digits does not compile.
#[expect(
    clippy::indexing_slicing,
    reason = "evaluated by the compiler, which refuses an index out of bounds"
)]
const fn pinned(hexadecimal: &str) -> Sha256Digest {
    let (pairs, rest) = hexadecimal.as_bytes().as_chunks::<2>();
    assert!(pairs.len() == 32 && rest.is_empty());
    let mut bytes = [0; 32];
    let mut index = 0;
    while index < 32 {
        let [high, low] = pairs[index];
        bytes[index] = nibble(high) << 4 | nibble(low);
        index += 1;
    }
    Sha256Digest::from_bytes(bytes)
}

const fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => panic!("no hexadecimal digit"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_sha256sum_over_its_own_lines() {
        assert!(ALL_MINILM_L6_V2.files.is_sorted_by_key(|file| file.name));
        assert_eq!(
            ALL_MINILM_L6_V2.digest().to_string(),
            "843a1ab71ebc52c11094cfbef57c4a45525e2aa0a7bcda0cdaaef97bf2dd9b2f"
        );
    }

    #[test]
    fn pinned_digests_are_those_that_stand_there() {
        let text = "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41";
        assert_eq!(pinned(text).to_string(), text);
    }
}
