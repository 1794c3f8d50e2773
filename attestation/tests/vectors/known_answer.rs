//! Report data and GPU nonce equal what an independent implementation computed.

use attestation::{Binding, Preimage, Role, SuiteHash};
use serde::Deserialize;

use crate::support;

#[derive(Deserialize)]
struct Case {
    hash: SuiteHash,
    role: u8,
    #[serde(with = "hex::serde")]
    exported_hex: [u8; 32],
    #[serde(with = "hex::serde")]
    spki_attester_hex: Vec<u8>,
    #[serde(with = "hex::serde")]
    spki_peer_hex: Vec<u8>,
    #[serde(with = "hex::serde")]
    device_evidence_hex: Vec<u8>,
    #[serde(with = "hex::serde")]
    claims_hex: Vec<u8>,
    binding_hex: String,
    aik_hash_hex: String,
    preimage_len: usize,
    report_data_hex: String,
    gpu_nonce_hex: String,
}

#[test]
fn the_known_answers_are_reproduced() {
    let Some(directory) = support::directory("the_known_answers_are_reproduced") else {
        return;
    };
    let cases = support::read(directory.join("channel-known-answer.json"));
    let cases: Vec<Case> = serde_json::from_slice(&cases).unwrap();
    assert!(cases.len() >= 3);
    for case in cases {
        let binding = Binding {
            role: if case.role == Role::Client.byte() {
                Role::Client
            } else {
                Role::Server
            },
            hash: case.hash,
            exported: case.exported_hex,
            attester_spki: case.spki_attester_hex,
            peer_spki: case.spki_peer_hex,
        };
        let preimage = binding.preimage(&case.device_evidence_hex, &case.claims_hex);
        assert_eq!(hex::encode(binding.value()), case.binding_hex);
        assert_eq!(hex::encode(binding.attester_key_hash()), case.aik_hash_hex);
        assert_eq!(preimage.bytes().len(), case.preimage_len);
        assert_eq!(preimage.report_data().to_string(), case.report_data_hex);
        assert_eq!(hex::encode(binding.gpu_nonce()), case.gpu_nonce_hex);
        assert_eq!(Preimage::parse(preimage.bytes()), Ok(preimage));
    }
}
