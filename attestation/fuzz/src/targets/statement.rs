//! TCB info and QE identity that are signed, whatever they say: what a verifier makes of statements that only Intel's
//! key could have made, but that no reader has seen before.

use attestation::{Collateral, Quote};

use crate::{
    Seeds, Target,
    scene::{NOW_S, SCENE},
};

pub(crate) const TARGET: Target = Target {
    name: "statement",
    run,
    seeds,
    dictionary: &[
        b"\"tcbStatus\":\"UpToDate\"",
        b"\"tcbStatus\":\"SWHardeningNeeded\"",
        b"\"tcbStatus\":\"OutOfDateConfigurationNeeded\"",
        b"\"tcbStatus\":\"Revoked\"",
        b"\"advisoryIDs\":[\"INTEL-SA-00837\"]",
        b"\"tcbLevels\":[",
        b"\"tdxModuleIdentities\":[",
        b"\"tdxModule\":",
        b"\"attributesMask\":\"FFFFFFFFFFFFFFFF\"",
        b"\"isvsvn\":65535",
        b"\"pcesvn\":",
        b"\"sgxtcbcomponents\":",
        b"\"tdxtcbcomponents\":",
        b"\"nextUpdate\":\"9999-12-31T23:59:59Z\"",
        b"\"id\":\"TDX_01\"",
        b"\"id\":\"TD_QE\"",
    ],
};

/// The two members, and the first byte of an input that stands for each.
const MEMBERS: [(u8, &str); 2] = [(b'T', "tcb_info"), (b'Q', "qe_identity")];

fn run(input: &[u8]) {
    let Some((first, statement)) = input.split_first() else {
        return;
    };
    let Ok(statement) = std::str::from_utf8(statement) else {
        return;
    };
    let member = MEMBERS.iter().find(|(byte, _)| byte == first);
    let Some((_, member)) = member else { return };
    let mut collateral = collateral();
    collateral[*member] = statement.into();
    // Signing is dear; what does not even parse needs no signature.
    if Collateral::from_json(collateral.to_string().as_bytes()).is_err() {
        return;
    }
    let signature = hex::encode(SCENE.platform.sign_statement(statement));
    collateral[format!("{member}_signature")] = signature.into();
    let collateral =
        Collateral::from_json(collateral.to_string().as_bytes()).expect("it parsed before");
    let quote = Quote::parse(&SCENE.evidence.quote).expect("the forged quote parses");
    let Some(verified) = SCENE.verify(&quote, &collateral) else {
        return;
    };
    assert_eq!(verified.body(), quote.body());
    assert_eq!(
        Some(verified.platform()),
        quote.pck_certificate().ok().as_ref()
    );
    assert_eq!(
        verified.tcb().evaluation_data_number,
        collateral.evaluation_data_number()
    );
    assert!(verified.tcb().advisory_ids.is_sorted_by(|a, b| a < b));
    assert!(verified.collateral_next_update_s() > NOW_S);
}

fn collateral() -> serde_json::Value {
    serde_json::to_value(&SCENE.collateral).expect("collateral serialises")
}

fn seeds(seeds: &mut Seeds) {
    for (byte, member) in MEMBERS {
        let collateral = collateral();
        let statement = collateral[member].as_str().expect("a statement is a text");
        seeds.add([&[byte], statement.as_bytes()].concat());
        seeds.add_vectors("collateral", |json| {
            let collateral: serde_json::Value = serde_json::from_slice(&json).ok()?;
            Some([&[byte], collateral[member].as_str()?.as_bytes()].concat())
        });
    }
}
