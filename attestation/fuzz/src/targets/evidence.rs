//! A collection of evidence: it has one encoding, and only what the quote covers is ever accepted.

use attestation::{EventLog, Evidence, EvidenceMember, event_log::Replay};
use channel::OpaqueEvidence;

use crate::{Seeds, Target, scene::SCENE};

pub(crate) const TARGET: Target = Target {
    name: "evidence",
    run,
    seeds,
    dictionary: &[
        b"\x65quote",
        b"\x66claims",
        b"\x69event-log",
        b"\x6fdevice-evidence",
        b"application/vnd.intel.tdx-quote",
        b"application/vnd.cocoon.claims+cbor",
        b"application/vnd.uefi.ccel",
        b"application/vnd.cocoon.device-evidence+cbor",
    ],
};

fn run(bytes: &[u8]) {
    let Ok(evidence) = Evidence::decode(bytes) else {
        return;
    };
    assert_eq!(evidence.encode().expect("what decodes encodes"), bytes);
    let packed = OpaqueEvidence::pack(evidence.clone()).expect("what decodes can be sent");
    assert_eq!(packed.unpack().expect("what was packed unpacks"), evidence);
    match SCENE.appraise(&evidence) {
        Ok(result) => {
            let good = &SCENE.evidence;
            assert_eq!(evidence.claims, good.claims);
            assert_eq!(evidence.device_evidence, good.device_evidence);
            assert_eq!(registers(&evidence), registers(good));
            assert!(SCENE.meanings.contains(result.verified_quote()));
            assert_eq!(result.transcript().refusal(), None);
        }
        Err(refusal) => {
            assert_eq!(refusal.transcript.refusal(), Some(refusal.code));
            assert_ne!(evidence, SCENE.evidence);
            for step in &refusal.transcript.steps {
                assert!(!step.seen.chars().any(char::is_control), "{}", step.seen);
            }
        }
    }
}

/// What the event log says of the registers: some of its bytes no register covers.
fn registers(evidence: &Evidence) -> Option<Replay> {
    let log = EventLog::decode(evidence.event_log.as_deref()?).ok()?;
    Some(log.replay())
}

fn seeds(seeds: &mut Seeds) {
    let good = &SCENE.evidence;
    let long = Evidence {
        device_evidence: Some(vec![0xa0; EvidenceMember::DeviceEvidence.bytes_max()]),
        ..good.clone()
    };
    let short = Evidence {
        quote: vec![4],
        claims: vec![0xa0],
        event_log: Some(vec![1]),
        device_evidence: Some(vec![2]),
    };
    for evidence in [good, &long, &short] {
        seeds.add(evidence.encode().expect("evidence encodes"));
    }
}
