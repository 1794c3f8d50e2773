//! P-384 keys drawn from the seed, whose signatures are deterministic too (RFC 6979).

use p384::ecdsa::{Signature, SigningKey, signature::Signer};
use rcgen::{PKCS_ECDSA_P384_SHA384, PublicKeyData, SignatureAlgorithm};

use crate::keys::Seed;

/// A P-384 key. Anyone who knows the seed knows it.
pub(super) struct DeviceKey {
    signing: SigningKey,
    /// Uncompressed point: 0x04 ‖ x ‖ y.
    point: Vec<u8>,
}

impl DeviceKey {
    /// A digest that is no scalar of the group (one in 2^190) is drawn again.
    pub(super) fn new(seed: Seed, label: &str) -> Self {
        let scalars = (0u32..).map(|attempt| seed.bytes::<48>(&format!("P-384 {attempt} {label}")));
        let mut keys = scalars.filter_map(|scalar| SigningKey::from_slice(&scalar).ok());
        let Some(signing) = keys.next() else {
            unreachable!("one digest in 2^190 is no scalar");
        };
        let point = signing.verifying_key().to_sec1_point(false);
        Self {
            point: point.as_bytes().to_vec(),
            signing,
        }
    }

    /// `r ‖ s`, the form that SPDM and XML signatures use.
    pub(super) fn sign_fixed(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.signing.sign(message);
        signature.to_bytes().to_vec()
    }

    /// The DER form, which X.509 and OCSP use.
    pub(super) fn sign_der(&self, message: &[u8]) -> Vec<u8> {
        let signature: Signature = self.signing.sign(message);
        signature.to_der().as_bytes().to_vec()
    }

    pub(super) fn point(&self) -> &[u8] {
        &self.point
    }
}

impl std::fmt::Debug for DeviceKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("DeviceKey(..)")
    }
}

impl PublicKeyData for DeviceKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P384_SHA384
    }
}

impl rcgen::SigningKey for DeviceKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.sign_der(message))
    }
}
