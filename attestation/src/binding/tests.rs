//! Tests of the binding: shape and refusals. The known answers are compared in `tests/vectors.rs`.

use super::*;

fn binding(hash: SuiteHash) -> Binding {
    Binding {
        role: Role::Client,
        hash,
        exported: [7; 32],
        attester_spki: vec![1; 91],
        peer_spki: vec![2; 91],
    }
}

#[test]
fn preimages_have_the_lengths_of_their_suites() {
    for (hash, length) in [(SuiteHash::Sha256, 191), (SuiteHash::Sha384, 223)] {
        let preimage = binding(hash).preimage(b"", b"claims");
        assert_eq!(preimage.bytes().len(), length);
        assert_eq!(Preimage::parse(preimage.bytes()), Ok(preimage));
    }
    assert_eq!(Preimage::BYTES_MAX, 223);
}

#[test]
fn every_fact_of_the_connection_changes_report_data() {
    let base = binding(SuiteHash::Sha384);
    let changed = [
        Binding {
            role: Role::Server,
            ..base.clone()
        },
        Binding {
            hash: SuiteHash::Sha256,
            ..base.clone()
        },
        Binding {
            exported: [8; 32],
            ..base.clone()
        },
        Binding {
            attester_spki: vec![3; 91],
            ..base.clone()
        },
        Binding {
            peer_spki: vec![3; 91],
            ..base.clone()
        },
    ];
    let wanted = base.preimage(b"d", b"c").report_data();
    for other in &changed {
        assert_ne!(
            other.preimage(b"d", b"c").report_data(),
            wanted,
            "{other:?}"
        );
        assert_ne!(other.gpu_nonce(), base.gpu_nonce(), "{other:?}");
    }
    assert_ne!(base.preimage(b"", b"c").report_data(), wanted);
    assert_ne!(base.preimage(b"d", b"").report_data(), wanted);
}

#[test]
fn malformed_preimages_are_refused_by_name() {
    let good = binding(SuiteHash::Sha256)
        .preimage(b"", b"")
        .bytes()
        .to_vec();
    let role_at = REPORT_DATA_LABEL.len();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Preimage::parse(&bytes)
    };
    assert_eq!(with(0, b'x'), Err(PreimageError::Label));
    assert_eq!(with(role_at, 3), Err(PreimageError::Role(3)));
    assert_eq!(with(role_at + 1, 20), Err(PreimageError::DigestLength(20)));
    assert_eq!(
        with(role_at + 2 + 32, 48),
        Err(PreimageError::DigestLength(48))
    );
    assert_eq!(
        Preimage::parse(&good[..good.len() - 1]),
        Err(PreimageError::Length)
    );
    assert_eq!(
        Preimage::parse(&[&good[..], b"\0"].concat()),
        Err(PreimageError::Length)
    );
    assert_eq!(
        Preimage::parse(REPORT_DATA_LABEL),
        Err(PreimageError::Length)
    );
    assert_eq!(Preimage::parse(b""), Err(PreimageError::Label));
}

#[test]
fn a_binding_survives_json() {
    let base = binding(SuiteHash::Sha384);
    let json = serde_json::to_string(&base).unwrap();
    assert!(
        json.contains(r#""role":"client","hash":"sha384","exported":"0707"#),
        "{json}"
    );
    assert_eq!(serde_json::from_str::<Binding>(&json).unwrap(), base);
}
