//! Receipts: which measured code says that it ran which task on what.
//!
//! For each finished task the worker makes a [`Leaf`]. One signature covers a whole ack batch: a [`statement`] (JWS, ES256)
//! over the Merkle root ([`tree`], RFC 9162) of the batch's leaves. A task's [`Receipt`] is its leaf, its inclusion proof
//! and the statement. [`Receipt::verify`] checks all of it offline; that the receipt key belongs to an attested worker is
//! `cocoon-attest receipt verify`'s part.

mod key;
mod leaf;
pub mod statement;
#[cfg(test)]
mod tests;
pub mod tree;

use serde::{Deserialize, Serialize};

pub use key::{KeyError, ReceiptKey, ReceiptSigner};
pub use leaf::{LEAF_VERSION, Leaf, LeafError};
pub use statement::{Statement, StatementError};

use crate::limits::RECEIPT_LEAF_BYTES_MAX;

/// One task's receipt: everything an offline reader needs but the attestation record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Deterministic CBOR of the [`Leaf`], base64url without padding.
    #[serde(with = "base64url")]
    #[schema(value_type = String)]
    pub leaf: Vec<u8>,
    /// The leaf's position in the batch.
    pub index: u64,
    /// Inclusion proof (RFC 9162, section 2.1.3): hashes from the leaf up, hexadecimal.
    pub proof: Vec<crate::Sha256Digest>,
    /// The batch's signed statement, a compact JWS.
    pub statement: String,
    /// SubjectPublicKeyInfo (DER) of the key that signed it, base64url without padding. The worker's claims bind it.
    #[serde(with = "base64url")]
    #[schema(value_type = String)]
    pub receipt_key: Vec<u8>,
}

/// A receipt whose inclusion proof and signature hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedReceipt {
    leaf: Leaf,
    statement: Statement,
}

impl VerifiedReceipt {
    #[must_use]
    pub fn leaf(&self) -> &Leaf {
        &self.leaf
    }

    #[must_use]
    pub fn statement(&self) -> &Statement {
        &self.statement
    }
}

/// Why a receipt does not hold.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    #[error("the leaf has {0} bytes; the limit is {RECEIPT_LEAF_BYTES_MAX}")]
    LeafTooLarge(usize),
    #[error("the receipt key is not a P-256 key")]
    Key(#[source] KeyError),
    #[error("the signed statement does not hold")]
    Statement(#[source] StatementError),
    #[error("the leaf is not in the tree that the statement signs")]
    Inclusion(#[source] tree::ProofError),
    #[error("the leaf cannot be read")]
    Leaf(#[source] LeafError),
}

impl Receipt {
    /// Verifies inclusion and signature under the key in the receipt.
    pub fn verify(&self) -> Result<VerifiedReceipt, ReceiptError> {
        if self.leaf.len() > RECEIPT_LEAF_BYTES_MAX {
            return Err(ReceiptError::LeafTooLarge(self.leaf.len()));
        }
        let key = ReceiptKey::from_spki(&self.receipt_key).map_err(ReceiptError::Key)?;
        let statement =
            Statement::verify(&self.statement, &key).map_err(ReceiptError::Statement)?;
        let leaf_hash = tree::leaf_hash(&self.leaf);
        tree::verify_inclusion(
            leaf_hash,
            self.index,
            statement.tree_size,
            &self.proof,
            statement.root,
        )
        .map_err(ReceiptError::Inclusion)?;
        let leaf = Leaf::decode(&self.leaf).map_err(ReceiptError::Leaf)?;
        Ok(VerifiedReceipt { leaf, statement })
    }
}

/// Bytes as base64url without padding (RFC 4648, section 5), as JOSE writes them.
pub(crate) mod base64url {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde::{Deserializer, Serializer};

    pub(crate) fn encode(bytes: &[u8]) -> String {
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
        URL_SAFE_NO_PAD.decode(text).ok()
    }

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encode(bytes))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        crate::text::read(deserializer, |text| {
            decode(text).ok_or("expected base64url without padding")
        })
    }
}
