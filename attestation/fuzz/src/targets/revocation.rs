//! A revocation list, the root's or the Platform CA's, in place of the true one.

use attestation::Collateral;
use simulator::CollateralOptions;

use super::collateral::changes_no_meaning;
use crate::{
    Seeds, Target,
    scene::{NOW_S, SCENE},
};

pub(crate) const TARGET: Target = Target {
    name: "revocation",
    run,
    seeds,
    dictionary: &[],
};

/// The two members, and the first byte of an input that stands for each.
const MEMBERS: [(u8, &str); 2] = [(b'R', "root_ca_crl"), (b'P', "pck_crl")];

fn run(input: &[u8]) {
    let Some((first, list)) = input.split_first() else {
        return;
    };
    let member = MEMBERS.iter().find(|(byte, _)| byte == first);
    let Some((_, member)) = member else { return };
    let mut collateral = serde_json::to_value(&SCENE.collateral).expect("collateral serialises");
    collateral[*member] = hex::encode(list).into();
    if let Ok(collateral) = Collateral::from_json(collateral.to_string().as_bytes()) {
        changes_no_meaning(&collateral);
    }
}

fn seeds(seeds: &mut Seeds) {
    let revoked = CollateralOptions {
        revoke_pck: true,
        revoke_platform_ca: true,
        ..CollateralOptions::at(NOW_S)
    };
    for collateral in [&SCENE.collateral, &SCENE.platform.collateral(&revoked)] {
        let collateral = serde_json::to_value(collateral).expect("collateral serialises");
        for (byte, member) in MEMBERS {
            seeds.add(list(byte, &collateral[member]).expect("a forged list is in hexadecimal"));
        }
    }
    for (byte, member) in MEMBERS {
        seeds.add_vectors("collateral", |json| {
            let collateral: serde_json::Value = serde_json::from_slice(&json).ok()?;
            list(byte, &collateral[member])
        });
    }
}

fn list(byte: u8, member: &serde_json::Value) -> Option<Vec<u8>> {
    let der = hex::decode(member.as_str()?).ok()?;
    Some([&[byte], der.as_slice()].concat())
}
