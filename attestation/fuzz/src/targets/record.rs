//! An auditor's record: survives its JSON, can be audited whatever it says, and holds under no other root.

use attestation::AttestationRecord;

use crate::{
    Seeds, Target,
    scene::{NOW_S, SCENE},
};

pub(crate) const TARGET: Target = Target {
    name: "record",
    run,
    seeds,
    dictionary: &[
        b"\"evidence\":",
        b"\"binding\":",
        b"\"collateral\":",
        b"\"policy\":",
        b"\"transcript\":",
        b"\"outcome\":\"PASS\"",
        b"\"outcome\":\"SKIP\"",
        b"\"time_s\":",
    ],
};

fn run(json: &[u8]) {
    let Ok(record) = serde_json::from_slice::<AttestationRecord>(json) else {
        return;
    };
    let text = serde_json::to_string(&record).expect("a record serialises");
    let again: AttestationRecord = serde_json::from_str(&text).expect("its own JSON parses");
    assert_eq!(again, record);
    let Ok(transcript) = record.audit(&SCENE.verifier, &SCENE.gpu_verifier) else {
        return;
    };
    assert_eq!(transcript.time_s, record.time_s());
    if transcript.refusal().is_none() {
        assert_eq!(record.evidence().claims, SCENE.evidence.claims);
        let foreign = record.audit(&SCENE.foreign, &SCENE.gpu_verifier);
        let foreign = foreign.expect("the policy has parsed");
        assert!(foreign.refusal().is_some());
    }
}

fn seeds(seeds: &mut Seeds) {
    let appraiser = SCENE.appraiser();
    let transcript = appraiser.audit(&SCENE.evidence, &SCENE.binding, NOW_S);
    let gpus = std::slice::from_ref(&SCENE.gpu_meaning);
    let record = appraiser.record(&SCENE.evidence, &SCENE.binding, &transcript, gpus);
    seeds.add(serde_json::to_vec(&record).expect("a record serialises"));
}
