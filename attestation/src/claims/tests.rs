//! Tests of the claims: one encoding, and each refusal by name.

use proptest::prelude::*;

use super::*;

fn claims() -> Claims {
    Claims {
        worker_id: "worker-1".into(),
        enrolment_mac: [1; 32],
        receipt_key_spki: vec![2; 91],
        agent_digest: [3; 32],
        configuration_digest: [4; 32],
        module_digest: [5; 32],
        libraries: vec![LibraryClaim {
            name: "libcublasLt".into(),
            version: "13.1".into(),
            digest: [6; 32],
        }],
        gpus: vec![GpuClaim {
            uuid: "GPU-1".into(),
            name: "NVIDIA H100".into(),
        }],
        boot_id: [7; 16],
        sequence: 3,
        executor: ExecutorKind::Cuda,
    }
}

#[test]
fn claims_survive_cbor_and_json() {
    let bytes = claims().encode().unwrap();
    assert_eq!(
        bytes[..3],
        [0xab, 0x00, 0x68],
        "a map of eleven, key 0, a text of eight"
    );
    assert_eq!(Claims::decode(&bytes).unwrap(), claims());
    let json = serde_json::to_string(&claims()).unwrap();
    assert_eq!(serde_json::from_str::<Claims>(&json).unwrap(), claims());
}

#[test]
fn lax_encodings_are_refused() {
    let bytes = claims().encode().unwrap();
    let trailing = [&bytes[..], &[0]].concat();
    // The same map with an indefinite length.
    let indefinite = [&[0xbf], &bytes[1..], &[0xff]].concat();
    // An unknown key 11 behind the known ones.
    let unknown = [&[0xac], &bytes[1..], &[0x0b, 0x00]].concat();
    for lax in [trailing, indefinite, unknown] {
        assert!(
            matches!(Claims::decode(&lax), Err(ClaimsError::NotDeterministic)),
            "{}",
            hex::encode(lax)
        );
    }
    assert!(
        matches!(Claims::decode(&[0xa0]), Err(ClaimsError::Cbor(_))),
        "every claim is required"
    );
    assert!(matches!(
        Claims::decode(&vec![0; CLAIMS_BYTES_MAX + 1]),
        Err(ClaimsError::TooLong(_))
    ));
}

#[test]
fn limits_hold_both_ways() {
    let gpu = claims().gpus.remove(0);
    let many = Claims {
        gpus: vec![gpu; GPUS_COUNT_MAX + 1],
        ..claims()
    };
    assert!(matches!(
        many.encode(),
        Err(ClaimsError::Limit { field: "gpus", .. })
    ));
    assert!(matches!(
        Claims::decode(&many.to_cbor()),
        Err(ClaimsError::Limit { field: "gpus", .. })
    ));
    for name in ["", "worker\n1", "wörker"] {
        let named = Claims {
            worker_id: name.into(),
            ..claims()
        };
        assert!(
            matches!(named.encode(), Err(ClaimsError::Text("worker_id"))),
            "{name:?}"
        );
    }
    let long = Claims {
        worker_id: "w".repeat(NAME_BYTES_MAX + 1),
        ..claims()
    };
    assert!(matches!(
        long.encode(),
        Err(ClaimsError::Limit {
            field: "worker_id",
            ..
        })
    ));
}

proptest! {
    #[test]
    fn decoding_never_panics_and_has_one_preimage(at in any::<prop::sample::Index>(), flip in 1u8..) {
        let mut bytes = claims().encode().unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok(read) = Claims::decode(&bytes) {
            prop_assert_eq!(read.encode().unwrap(), bytes);
        }
    }
}
