//! Receipts: leaves have one encoding, and of a true receipt nothing can be changed but what nobody reads.

use std::sync::LazyLock;

use protocol::{
    SessionId, Sha256Digest, TaskId,
    receipt::{LEAF_VERSION, Leaf, Receipt, ReceiptSigner, Statement, VerifiedReceipt, tree},
};
use ring::rand::SystemRandom;

use crate::{Seeds, Target, edited};

pub(crate) const TARGET: Target = Target {
    name: "receipt",
    run,
    seeds,
    dictionary: &[
        b"\"leaf\":",
        b"\"index\":",
        b"\"proof\":",
        b"\"statement\":",
        b"\"receipt_key\":",
    ],
};

/// A true receipt, under a key of this process.
static RECEIPT: LazyLock<Receipt> = LazyLock::new(receipt);

/// The first byte says what the rest is: a leaf, a receipt's JSON, or edits of one field of a true receipt.
fn run(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    let mut forged = RECEIPT.clone();
    match first % 8 {
        0 => return leaf(rest),
        1 => return json(rest),
        2 => forged.leaf = edited(&forged.leaf, rest),
        3 => {
            forged.statement =
                String::from_utf8_lossy(&edited(forged.statement.as_bytes(), rest)).into_owned();
        }
        4 => forged.receipt_key = edited(&forged.receipt_key, rest),
        5 => {
            forged.index = rest
                .iter()
                .fold(0, |index, &byte| (index << 8) | u64::from(byte));
        }
        6 => drop(forged.proof.drain(..rest.len().min(forged.proof.len()))),
        _ => forged.proof.extend(rest.chunks(32).map(Sha256Digest::of)),
    }
    if let Ok(verified) = forged.verify() {
        assert_eq!(verified, truth());
    }
}

fn truth() -> VerifiedReceipt {
    RECEIPT.verify().expect("the true receipt verifies")
}

fn leaf(bytes: &[u8]) {
    if let Ok(leaf) = Leaf::decode(bytes) {
        assert_eq!(leaf.encode(), bytes);
    }
}

fn json(bytes: &[u8]) {
    let Ok(receipt) = serde_json::from_slice::<Receipt>(bytes) else {
        return;
    };
    let text = serde_json::to_string(&receipt).expect("a receipt serialises");
    let again: Receipt = serde_json::from_str(&text).expect("its own JSON parses");
    assert_eq!(again, receipt);
    if let Ok(verified) = receipt.verify() {
        assert_eq!(verified.leaf().encode(), receipt.leaf);
        assert_eq!(again.verify().ok(), Some(verified));
    }
}

fn receipt() -> Receipt {
    let random = SystemRandom::new();
    let signer = ReceiptSigner::generate(&random).expect("a key");
    let leaves = [1, 2, 3].map(|number| sample(number).encode());
    let hashes = leaves.each_ref().map(|leaf| tree::leaf_hash(leaf));
    let statement = Statement {
        root: tree::root(&hashes),
        tree_size: 3,
        worker: "worker-1".parse().expect("a name"),
        session: SessionId::from_parts(1, 2),
        attestation: "ab".repeat(64),
        batch: 1,
    };
    Receipt {
        leaf: leaves[1].clone(),
        index: 1,
        proof: tree::inclusion_proof(&hashes, 1).expect("the leaf is in the tree"),
        statement: statement.sign(&signer, &random).expect("a signature"),
        receipt_key: signer.key().spki(),
    }
}

fn sample(number: u8) -> Leaf {
    Leaf {
        version: LEAF_VERSION,
        task: TaskId::from_parts(1_700_000_000_000, number.into()).to_string(),
        task_digest: Sha256Digest::of(&[number]),
        operation: "sha256_batch".to_owned(),
        operation_version: 1,
        module_digest: Sha256Digest::of(b"module"),
        model_digest: None,
        inputs: vec![Sha256Digest::of(b"input")],
        output: Sha256Digest::of(b"output"),
        output_bytes: 6,
        executor: "cuda".to_owned(),
        gpu_uuid: Some("GPU-0".to_owned()),
        attempt: 1,
        started_ms: 1_700_000_000_001,
        finished_ms: 1_700_000_000_002,
    }
}

fn seeds(seeds: &mut Seeds) {
    seeds.add([&[0], RECEIPT.leaf.as_slice()].concat());
    let json = serde_json::to_vec(&*RECEIPT).expect("a receipt serialises");
    seeds.add([&[1], json.as_slice()].concat());
    for first in 2..8 {
        seeds.add([first]);
        seeds.add([first, 0, 0, 9, 1]);
    }
}
