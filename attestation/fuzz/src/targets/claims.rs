//! The worker's claims: one encoding, in CBOR and as JSON.

use attestation::{Claims, GpuClaim, LibraryClaim};

use crate::{Seeds, Target, scene::SCENE};

pub(crate) const TARGET: Target = Target {
    name: "claims",
    run,
    seeds,
    dictionary: &[b"\x58\x20", b"\x58\x5b", b"GPU-"],
};

fn run(bytes: &[u8]) {
    let Ok(claims) = Claims::decode(bytes) else {
        return;
    };
    assert_eq!(claims.encode().expect("what decodes encodes"), bytes);
    let json = serde_json::to_string(&claims).expect("claims serialise");
    assert_eq!(
        serde_json::from_str::<Claims>(&json).expect("their own JSON parses"),
        claims
    );
}

fn seeds(seeds: &mut Seeds) {
    let few = SCENE.platform.claims(&SCENE.binding);
    let many = Claims {
        libraries: vec![LibraryClaim {
            name: "libcublasLt".to_owned(),
            version: "13.1".to_owned(),
            digest: [9; 32],
        }],
        gpus: vec![GpuClaim {
            uuid: "GPU-1".to_owned(),
            name: "NVIDIA H100".to_owned(),
        }],
        ..few.clone()
    };
    for claims in [few, many] {
        seeds.add(claims.encode().expect("claims encode"));
    }
}
