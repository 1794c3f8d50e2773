//! Keys and constants drawn from the seed. Anyone who knows the seed knows every private key.

use p256::ecdsa::{Signature, SigningKey, signature::Signer};
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};
use ring::digest;

/// What everything secret and everything arbitrary in the simulation is drawn from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    /// `N` bytes (64 at most) that depend on the seed and the label alone.
    pub(crate) fn bytes<const N: usize>(self, label: &str) -> [u8; N] {
        const { assert!(N <= 64, "one SHA-512 digest") };
        let mut input = b"simulated TD".to_vec();
        input.extend(self.0.to_be_bytes());
        input.extend(label.as_bytes());
        let drawn = digest::digest(&digest::SHA512, &input);
        let mut bytes = [0; N];
        for (byte, source) in bytes.iter_mut().zip(drawn.as_ref()) {
            *byte = *source;
        }
        bytes
    }

    /// The identity of one of the seed's machines.
    pub(crate) fn ppid(self, machine: u16) -> [u8; 16] {
        self.bytes(&format!("ppid {machine}"))
    }

    /// A P-256 key. A digest that is no scalar of the group (one in 2^32) is drawn again.
    pub(crate) fn key(self, label: &str) -> SeededKey {
        (0u32..)
            .find_map(|attempt| {
                let scalar: [u8; 32] = self.bytes(&format!("key {attempt} {label}"));
                SigningKey::from_slice(&scalar).ok()
            })
            .map_or_else(
                || unreachable!("one digest in 2^32 is no scalar"),
                SeededKey::new,
            )
    }
}

/// A P-256 key whose signatures are deterministic too (RFC 6979), so that one seed gives one PKI, byte for byte.
#[derive(Clone)]
pub(crate) struct SeededKey {
    signing: SigningKey,
    /// Uncompressed point: 0x04 ‖ x ‖ y.
    point: Vec<u8>,
}

impl SeededKey {
    fn new(signing: SigningKey) -> Self {
        let point = signing
            .verifying_key()
            .to_sec1_point(false)
            .as_bytes()
            .to_vec();
        Self { signing, point }
    }

    /// `r ‖ s`, the form that quotes and collateral use.
    pub(crate) fn sign_fixed(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.signing.sign(message);
        signature.to_bytes().to_vec()
    }

    /// `x ‖ y`, the form in which a quote carries its attestation key.
    pub(crate) fn coordinates(&self) -> &[u8] {
        self.point.get(1..).unwrap_or_default()
    }
}

impl std::fmt::Debug for SeededKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SeededKey(..)")
    }
}

impl PublicKeyData for SeededKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for SeededKey {
    /// The DER form, which X.509 uses.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature: Signature = self.signing.sign(message);
        Ok(signature.to_der().as_bytes().to_vec())
    }
}
