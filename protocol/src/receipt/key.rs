//! The receipt key: P-256, made inside the worker and bound by its claims. Never the TLS key, so that a leaked TLS key
//! cannot forge receipts.

use std::fmt;

use ring::rand::SecureRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};

use super::base64url;
use crate::digest::Sha256Digest;

/// SubjectPublicKeyInfo of a P-256 key (RFC 5480) up to the uncompressed point.
const SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// 0x04 ‖ x ‖ y (SEC 1, section 2.3.3).
const POINT_BYTES: usize = 65;

/// Why a key could not be read or made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("expected the SubjectPublicKeyInfo of a P-256 key with an uncompressed point")]
    NotP256,
    #[error("the operating system gave no random bytes")]
    Random,
}

/// The public half: verifies statements.
#[derive(Clone, PartialEq, Eq)]
pub struct ReceiptKey {
    point: [u8; POINT_BYTES],
}

impl ReceiptKey {
    /// Reads a DER SubjectPublicKeyInfo.
    pub fn from_spki(spki: &[u8]) -> Result<Self, KeyError> {
        let point = spki.strip_prefix(&SPKI_PREFIX).ok_or(KeyError::NotP256)?;
        Self::from_point(point)
    }

    pub(super) fn from_point(point: &[u8]) -> Result<Self, KeyError> {
        let point: [u8; POINT_BYTES] = point.try_into().map_err(|_| KeyError::NotP256)?;
        if point.first() == Some(&0x04) {
            Ok(Self { point })
        } else {
            Err(KeyError::NotP256)
        }
    }

    /// The DER SubjectPublicKeyInfo, as it stands in the claims.
    #[must_use]
    pub fn spki(&self) -> Vec<u8> {
        [SPKI_PREFIX.as_slice(), &self.point].concat()
    }

    /// The RFC 7638 thumbprint: SHA-256 over the required members of the JWK in order, base64url.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        let (x, y) = self.point.split_at(33);
        let x = base64url::encode(x.get(1..).unwrap_or_default());
        let y = base64url::encode(y);
        let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        base64url::encode(Sha256Digest::of(jwk.as_bytes()).as_bytes())
    }

    /// Verifies r ‖ s (RFC 7518, section 3.4).
    pub(super) fn verify(
        &self,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), ring::error::Unspecified> {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.point).verify(message, signature)
    }
}

impl fmt::Debug for ReceiptKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ReceiptKey({})", self.thumbprint())
    }
}

/// The private half: signs statements. Lives in memory only.
pub struct ReceiptSigner {
    pair: EcdsaKeyPair,
    key: ReceiptKey,
}

impl ReceiptSigner {
    /// A new key from the given source of randomness.
    pub fn generate(random: &dyn SecureRandom) -> Result<Self, KeyError> {
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(algorithm, random).map_err(|_| KeyError::Random)?;
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), random)
            .map_err(|_| KeyError::NotP256)?;
        let key = ReceiptKey::from_point(pair.public_key().as_ref())?;
        Ok(Self { pair, key })
    }

    #[must_use]
    pub fn key(&self) -> &ReceiptKey {
        &self.key
    }

    /// Signs as r ‖ s (RFC 7518, section 3.4).
    pub(super) fn sign(
        &self,
        message: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<Vec<u8>, KeyError> {
        let signature = self
            .pair
            .sign(random, message)
            .map_err(|_| KeyError::Random)?;
        Ok(signature.as_ref().to_vec())
    }
}

impl fmt::Debug for ReceiptSigner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ReceiptSigner({})", self.key.thumbprint())
    }
}
