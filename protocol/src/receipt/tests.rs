//! Leaves, trees and statements: what holds, and every way in which one does not.

use ring::rand::SystemRandom;

use super::statement::StatementError;
use super::tree::{self, ProofError};
use super::*;
use crate::digest::Sha256Digest;
use crate::ids::{SessionId, TaskId};

fn leaf(number: u64) -> Leaf {
    Leaf {
        version: 1,
        task: TaskId::from_parts(1_700_000_000_000, u128::from(number)).to_string(),
        task_digest: Sha256Digest::of(&number.to_be_bytes()),
        operation: "sha256_batch".to_owned(),
        operation_version: 1,
        module_digest: Sha256Digest::of(b"module"),
        model_digest: None,
        inputs: vec![Sha256Digest::of(b"input")],
        output: Sha256Digest::of(b"output"),
        output_bytes: 6,
        executor: "cpu".to_owned(),
        gpu_uuid: None,
        attempt: 1,
        started_ms: 1_700_000_000_001,
        finished_ms: 1_700_000_000_002,
    }
}

fn statement(leaf_hashes: &[Sha256Digest]) -> Statement {
    Statement {
        root: tree::root(leaf_hashes),
        tree_size: u64::try_from(leaf_hashes.len()).unwrap(),
        worker: "worker-1".parse().unwrap(),
        session: SessionId::from_parts(1, 2),
        attestation: "ab".repeat(64),
        batch: 1,
    }
}

fn receipts(count: u64) -> Vec<Receipt> {
    let random = SystemRandom::new();
    let signer = ReceiptSigner::generate(&random).unwrap();
    let leaves: Vec<_> = (0..count).map(|number| leaf(number).encode()).collect();
    let hashes: Vec<_> = leaves.iter().map(|leaf| tree::leaf_hash(leaf)).collect();
    let jws = statement(&hashes).sign(&signer, &random).unwrap();
    let receipt = |(index, leaf): (usize, Vec<u8>)| Receipt {
        leaf,
        index: u64::try_from(index).unwrap(),
        proof: tree::inclusion_proof(&hashes, index).unwrap(),
        statement: jws.clone(),
        receipt_key: signer.key().spki(),
    };
    leaves.into_iter().enumerate().map(receipt).collect()
}

#[test]
fn every_receipt_of_every_batch_size_verifies() {
    for count in 1..=33 {
        for (number, receipt) in (0..count).zip(receipts(count)) {
            assert_eq!(receipt.verify().unwrap().leaf(), &leaf(number));
        }
    }
    assert!(receipts(1)[0].proof.is_empty());
}

/// Roots of the trees over the leaves "", 0x00, 0x10, 0x2021, … as Certificate Transparency implementations publish them
/// for RFC 6962, whose tree RFC 9162 keeps.
#[test]
fn roots_are_those_of_rfc_6962() {
    let leaves = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    let hashes: Vec<_> = leaves
        .iter()
        .map(|leaf| tree::leaf_hash(&hex::decode(leaf).unwrap()))
        .collect();
    let expected = [
        (
            0,
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ),
        (
            1,
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        ),
        (
            2,
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        ),
        (
            3,
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        ),
        (
            7,
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        ),
        (
            8,
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ),
    ];
    for (size, root) in expected {
        assert_eq!(
            tree::root(&hashes[..size]).to_string(),
            root,
            "{size} leaves"
        );
    }
}

#[test]
fn a_proof_holds_for_its_leaf_alone() {
    let mut receipt = receipts(5).remove(3);
    receipt.index = 2;
    assert!(matches!(
        receipt.verify(),
        Err(ReceiptError::Inclusion(ProofError::Root { .. }))
    ));
    receipt.index = 5;
    assert!(matches!(
        receipt.verify(),
        Err(ReceiptError::Inclusion(ProofError::Index { .. }))
    ));
    receipt.index = 4;
    assert!(matches!(
        receipt.verify(),
        Err(ReceiptError::Inclusion(ProofError::Length { .. }))
    ));
    receipt.index = 3;
    receipt.proof.pop();
    assert!(matches!(
        receipt.verify(),
        Err(ReceiptError::Inclusion(ProofError::Length { .. }))
    ));
}

#[test]
fn a_changed_leaf_is_not_in_the_tree() {
    let mut receipt = receipts(4).remove(0);
    receipt.leaf = leaf(99).encode();
    assert!(matches!(
        receipt.verify(),
        Err(ReceiptError::Inclusion(ProofError::Root { .. }))
    ));
    receipt.leaf = vec![0; RECEIPT_LEAF_BYTES_MAX + 1];
    assert!(matches!(
        receipt.verify(),
        Err(ReceiptError::LeafTooLarge(_))
    ));
}

#[test]
fn another_key_is_refused_by_its_thumbprint() {
    let [mut receipt, other] = [receipts(1).remove(0), receipts(1).remove(0)];
    receipt.receipt_key = other.receipt_key;
    let error = receipt.verify().unwrap_err();
    assert!(matches!(
        error,
        ReceiptError::Statement(StatementError::Header { field: "kid", .. })
    ));
    receipt.receipt_key.pop();
    assert!(matches!(
        receipt.verify(),
        Err(ReceiptError::Key(KeyError::NotP256))
    ));
}

/// A JWS of the given header, payload and an honest signature over them.
fn forged(header: &str, payload: &str, signer: &ReceiptSigner) -> String {
    let message = format!(
        "{}.{}",
        base64url::encode(header.as_bytes()),
        base64url::encode(payload.as_bytes())
    );
    let signature = signer
        .sign(message.as_bytes(), &SystemRandom::new())
        .unwrap();
    format!("{message}.{}", base64url::encode(&signature))
}

#[test]
fn the_header_chooses_nothing() {
    let signer = ReceiptSigner::generate(&SystemRandom::new()).unwrap();
    let kid = signer.key().thumbprint();
    let payload = serde_json::to_string(&statement(&[leaf(1).output])).unwrap();
    for (field, header) in [
        (
            "alg",
            format!(r#"{{"alg":"none","kid":"{kid}","typ":"cocoon-receipts+jws"}}"#),
        ),
        (
            "typ",
            format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"JWT"}}"#),
        ),
    ] {
        let error =
            Statement::verify(&forged(&header, &payload, &signer), signer.key()).unwrap_err();
        assert!(
            matches!(error, StatementError::Header { field: seen, .. } if seen == field),
            "{error}"
        );
    }
    let extended =
        format!(r#"{{"alg":"ES256","kid":"{kid}","typ":"cocoon-receipts+jws","crit":["x"]}}"#);
    let error = Statement::verify(&forged(&extended, &payload, &signer), signer.key()).unwrap_err();
    assert!(matches!(error, StatementError::Json { part: "header", .. }));
}

#[test]
fn statements_outside_their_bounds_are_refused() {
    let signer = ReceiptSigner::generate(&SystemRandom::new()).unwrap();
    let random = SystemRandom::new();
    let good = statement(&[leaf(1).output]);
    let verify = |statement: Statement| {
        Statement::verify(&statement.sign(&signer, &random).unwrap(), signer.key())
    };
    assert_eq!(verify(good.clone()).unwrap(), good);
    for tree_size in [0, 1_001, u64::MAX] {
        let error = verify(Statement {
            tree_size,
            ..good.clone()
        })
        .unwrap_err();
        assert!(matches!(error, StatementError::TreeSize(_)));
    }
    let error = verify(Statement {
        attestation: "ABCD".repeat(32),
        ..good.clone()
    })
    .unwrap_err();
    assert!(matches!(error, StatementError::Attestation));
    for text in ["", "a.b", "a.b.c", &"a".repeat(3_000)] {
        assert!(Statement::verify(text, signer.key()).is_err());
    }
}

#[test]
fn a_flipped_byte_of_a_statement_never_verifies() {
    let receipt = receipts(2).remove(1);
    for position in 0..receipt.statement.len() {
        let mut bytes = receipt.statement.clone().into_bytes();
        bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
        let changed = Receipt {
            statement: String::from_utf8(bytes).unwrap(),
            ..receipt.clone()
        };
        assert!(changed.verify().is_err(), "byte {position}");
    }
}

#[test]
fn only_deterministic_leaves_are_read() {
    let bytes = leaf(1).encode();
    assert_eq!(Leaf::decode(&bytes).unwrap(), leaf(1));
    let mut trailing = bytes.clone();
    trailing.push(0);
    assert!(matches!(
        Leaf::decode(&trailing),
        Err(LeafError::NotDeterministic)
    ));
    assert!(matches!(
        Leaf::decode(&bytes[..20]),
        Err(LeafError::Cbor(_))
    ));
    let version = Leaf {
        version: 2,
        ..leaf(1)
    };
    assert!(matches!(
        Leaf::decode(&version.encode()),
        Err(LeafError::Version(2))
    ));
    let inputs = Leaf {
        inputs: vec![leaf(1).output; 257],
        ..leaf(1)
    };
    assert!(matches!(
        Leaf::decode(&inputs.encode()),
        Err(LeafError::Inputs(257))
    ));
}

/// The example of RFC 7638 is an RSA key; this one was computed with an independent implementation from the P-256 key of
/// RFC 7515, appendix A.3.
#[test]
fn thumbprint_covers_the_required_members() {
    let x = base64url::decode("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU").unwrap();
    let y = base64url::decode("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0").unwrap();
    let point = [&[0x04], x.as_slice(), &y].concat();
    let key = ReceiptKey::from_point(&point).unwrap();
    assert_eq!(
        key.thumbprint(),
        "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U"
    );
}

/// A leaf is shown in terminals and logs, and is made by whoever holds a receipt key: anyone, before the key is traced.
#[test]
fn texts_of_a_leaf_are_plain() {
    let refused = |change: fn(&mut Leaf)| {
        let mut changed = leaf(1);
        change(&mut changed);
        let refused = Leaf::decode(&changed.encode());
        assert!(refused.is_err(), "{refused:?}");
    };
    refused(|leaf| leaf.task = "another".into());
    refused(|leaf| leaf.task = leaf.task.to_lowercase());
    refused(|leaf| leaf.operation = "sha256_batch\nACCEPTED".into());
    refused(|leaf| leaf.operation = String::new());
    refused(|leaf| leaf.executor = "\u{1b}[2J".into());
    refused(|leaf| leaf.executor = "c".repeat(129));
    refused(|leaf| leaf.gpu_uuid = Some("GPU-\u{202e}1".into()));
}
