//! Merkle trees over receipt leaves: RFC 9162, sections 2.1.1 (tree hash) and 2.1.3 (inclusion proofs), with SHA-256.

use crate::digest::Sha256Digest;

/// Separates leaves from inner nodes (RFC 9162, section 2.1.1).
const LEAF_PREFIX: &[u8] = &[0x00];
const NODE_PREFIX: &[u8] = &[0x01];

/// Why an inclusion proof does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    #[error("index {index} is not in a tree of {size} leaves")]
    Index { index: u64, size: u64 },
    #[error("the proof has {seen} hashes; a leaf there needs {wanted}")]
    Length { seen: usize, wanted: usize },
    #[error("the proof leads to {seen}, not to the signed root {wanted}")]
    Root {
        seen: Sha256Digest,
        wanted: Sha256Digest,
    },
}

/// The hash of one leaf's bytes.
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Sha256Digest {
    Sha256Digest::of_parts(&[LEAF_PREFIX, leaf])
}

fn node_hash(left: &Sha256Digest, right: &Sha256Digest) -> Sha256Digest {
    Sha256Digest::of_parts(&[NODE_PREFIX, left.as_bytes(), right.as_bytes()])
}

/// The root over leaf hashes; the hash of nothing for an empty tree.
#[must_use]
pub fn root(leaf_hashes: &[Sha256Digest]) -> Sha256Digest {
    match leaf_hashes {
        [] => Sha256Digest::of(&[]),
        [only] => *only,
        several => {
            let (left, right) = several.split_at(split(several.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// The inclusion proof of the leaf at `index`, from the leaf up; `None` when there is no such leaf.
#[must_use]
pub fn inclusion_proof(leaf_hashes: &[Sha256Digest], index: usize) -> Option<Vec<Sha256Digest>> {
    if index >= leaf_hashes.len() {
        return None;
    }
    let mut proof = Vec::new();
    let (mut leaves, mut index) = (leaf_hashes, index);
    while leaves.len() > 1 {
        let middle = split(leaves.len());
        let (left, right) = leaves.split_at(middle);
        if index < middle {
            proof.push(root(right));
            leaves = left;
        } else {
            proof.push(root(left));
            (leaves, index) = (right, index.saturating_sub(middle));
        }
    }
    proof.reverse();
    Some(proof)
}

/// Verifies that a leaf hash is at `index` of the tree of `size` leaves with this root.
pub fn verify_inclusion(
    leaf: Sha256Digest,
    index: u64,
    size: u64,
    proof: &[Sha256Digest],
    wanted: Sha256Digest,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Index { index, size });
    }
    let steps = path(index, size);
    if steps.len() != proof.len() {
        return Err(ProofError::Length {
            seen: proof.len(),
            wanted: steps.len(),
        });
    }
    let seen = steps
        .iter()
        .zip(proof)
        .fold(leaf, |hash, (side, sibling)| match side {
            Sibling::Left => node_hash(sibling, &hash),
            Sibling::Right => node_hash(&hash, sibling),
        });
    if seen == wanted {
        Ok(())
    } else {
        Err(ProofError::Root { seen, wanted })
    }
}

enum Sibling {
    Left,
    Right,
}

/// On which side the sibling stands at each level, from the leaf up.
fn path(index: u64, size: u64) -> Vec<Sibling> {
    let (mut steps, mut index, mut last) = (Vec::new(), index, size.saturating_sub(1));
    while last > 0 {
        if index % 2 == 1 {
            steps.push(Sibling::Left);
        } else if index < last {
            steps.push(Sibling::Right);
        }
        // A node without a sibling is carried up as it is.
        index /= 2;
        last /= 2;
    }
    steps
}

/// The largest power of two smaller than `size`, which is at least 2.
fn split(size: usize) -> usize {
    size.div_ceil(2).next_power_of_two()
}
