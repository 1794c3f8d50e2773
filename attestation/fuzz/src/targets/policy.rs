//! An appraisal policy: an operator's file, read as if it were anybody's.

use attestation::AppraisalPolicy;

use crate::{
    Seeds, Target,
    scene::{self, SCENE},
};

pub(crate) const TARGET: Target = Target {
    name: "policy",
    run,
    seeds,
    dictionary: &[
        b"[tcb]",
        b"[td]",
        b"[seam]",
        b"[collateral]",
        b"[platforms]",
        b"[evidence]",
        b"[gpu]",
        b"[[platform_profiles]]",
        b"[[releases]]",
        b"\"any\"",
        b"\"UpToDate\"",
        b"\"INTEL-SA-00837\"",
        b"\"absent\"",
        b"\"not-required\"",
        b"\"required\"",
        b"\"if-claimed\"",
        b"\"replayed\"",
        b"hopper",
    ],
};

fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let Ok(policy) = AppraisalPolicy::from_toml(text) else {
        return;
    };
    assert_eq!(policy.text(), text);
    assert_eq!(
        AppraisalPolicy::from_toml(policy.text()).expect("its own text parses"),
        policy
    );
    // No policy drops a table: each of them decides something.
    for line in text.lines().filter(|line| line.starts_with('[')) {
        let without = text.replace(line, "");
        assert!(
            AppraisalPolicy::from_toml(&without).is_err(),
            "{line} can be left out"
        );
    }
}

fn seeds(seeds: &mut Seeds) {
    seeds.add(scene::policy(&SCENE.platform));
    // A policy lists PPIDs; few make the mutations of the rest likelier.
    let policy = SCENE.platform.policy_toml();
    let enrolled = policy
        .lines()
        .find(|line| line.starts_with("enrolled"))
        .expect("the policy enrols");
    seeds.add(policy.replace(enrolled, "enrolled = \"any\""));
}
