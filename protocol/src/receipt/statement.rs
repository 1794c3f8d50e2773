//! The signed statement over one batch: a compact JWS (RFC 7515) with ES256 (RFC 7518).

use ring::rand::SecureRandom;
use serde::{Deserialize, Serialize};

use super::{KeyError, ReceiptKey, ReceiptSigner, base64url};
use crate::digest::Sha256Digest;
use crate::ids::{SessionId, WorkerId};
use crate::limits::{BATCH_TASKS_MAX, RECEIPT_STATEMENT_BYTES_MAX};

/// `typ` of the protected header.
const TYPE: &str = "cocoon-receipts+jws";
const ALGORITHM: &str = "ES256";

/// What one signature says of one batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// RFC 9162 tree head over the batch's leaves.
    pub root: Sha256Digest,
    pub tree_size: u64,
    pub worker: WorkerId,
    pub session: SessionId,
    /// The report data of the attestation in force, hexadecimal: 64 bytes.
    pub attestation: String,
    /// Grows with each batch of an agent's run.
    pub batch: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

/// Why a statement does not hold.
#[derive(Debug, thiserror::Error)]
pub enum StatementError {
    #[error("{0} bytes are more than the {RECEIPT_STATEMENT_BYTES_MAX} that a statement may have")]
    TooLarge(usize),
    #[error("it is not a compact JWS: expected three parts in base64url")]
    NotCompact,
    #[error("the {part} is not the JSON it should be")]
    Json {
        part: &'static str,
        #[source]
        source: serde_json::Error,
    },
    #[error("the header's `{field}` is {seen:?}, not {wanted:?}")]
    Header {
        field: &'static str,
        seen: String,
        wanted: String,
    },
    #[error("the signature does not verify under the receipt key")]
    Signature,
    #[error("a tree of {0} leaves is not a batch of 1 to {BATCH_TASKS_MAX}")]
    TreeSize(u64),
    #[error("the attestation id is not 64 bytes in hexadecimal")]
    Attestation,
}

impl Statement {
    /// Signs, as a compact JWS.
    pub fn sign(
        &self,
        signer: &ReceiptSigner,
        random: &dyn SecureRandom,
    ) -> Result<String, KeyError> {
        let header = Header {
            alg: ALGORITHM.to_owned(),
            kid: signer.key().thumbprint(),
            typ: TYPE.to_owned(),
        };
        let message = format!("{}.{}", encode_json(&header), encode_json(self));
        let signature = signer.sign(message.as_bytes(), random)?;
        Ok(format!("{message}.{}", base64url::encode(&signature)))
    }

    /// Verifies a compact JWS under the given key: algorithm and type are fixed, nothing in the header chooses them.
    pub fn verify(jws: &str, key: &ReceiptKey) -> Result<Self, StatementError> {
        if jws.len() > RECEIPT_STATEMENT_BYTES_MAX {
            return Err(StatementError::TooLarge(jws.len()));
        }
        let (message, signature) = jws.rsplit_once('.').ok_or(StatementError::NotCompact)?;
        let (header, payload) = message.split_once('.').ok_or(StatementError::NotCompact)?;
        let signature = base64url::decode(signature).ok_or(StatementError::NotCompact)?;
        verify_header(&decode_json("header", header)?, key)?;
        key.verify(message.as_bytes(), &signature)
            .map_err(|_| StatementError::Signature)?;
        let statement: Self = decode_json("payload", payload)?;
        statement.bounded()
    }

    fn bounded(self) -> Result<Self, StatementError> {
        let size = usize::try_from(self.tree_size).unwrap_or(usize::MAX);
        if !(1..=BATCH_TASKS_MAX).contains(&size) {
            return Err(StatementError::TreeSize(self.tree_size));
        }
        let is_lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if self.attestation.len() != 128 || !self.attestation.bytes().all(is_lower_hex) {
            return Err(StatementError::Attestation);
        }
        Ok(self)
    }
}

fn verify_header(header: &Header, key: &ReceiptKey) -> Result<(), StatementError> {
    let thumbprint = key.thumbprint();
    let fields = [
        ("alg", &header.alg, ALGORITHM),
        ("typ", &header.typ, TYPE),
        ("kid", &header.kid, thumbprint.as_str()),
    ];
    for (field, seen, wanted) in fields {
        if seen != wanted {
            return Err(StatementError::Header {
                field,
                seen: seen.clone(),
                wanted: wanted.to_owned(),
            });
        }
    }
    Ok(())
}

fn encode_json<T: Serialize>(value: &T) -> String {
    match serde_json::to_vec(value) {
        Ok(json) => base64url::encode(&json),
        // Structs of strings and numbers always serialise.
        Err(error) => unreachable!("{error}"),
    }
}

fn decode_json<T: for<'de> Deserialize<'de>>(
    part: &'static str,
    text: &str,
) -> Result<T, StatementError> {
    let json = base64url::decode(text).ok_or(StatementError::NotCompact)?;
    serde_json::from_slice(&json).map_err(|source| StatementError::Json { part, source })
}
