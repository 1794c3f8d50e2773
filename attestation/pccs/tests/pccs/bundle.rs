//! A store as one file, carried to another.

use pccs::{Bundle, BundleError, CollateralStore, EntryError, Put, Rejection};
use proptest::prelude::*;
use serde_json::{Value, json};
use simulator::CollateralSigner;

use crate::world::{DAY_S, NOW_S, World};

struct Stores {
    world: World,
    _folder: tempfile::TempDir,
    from: CollateralStore,
    to: CollateralStore,
}

async fn stores() -> Stores {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let from = CollateralStore::at(folder.path().join("from"));
    for fmspc in [simulator::FMSPC, [1, 2, 3, 4, 5, 6]] {
        let collateral = world.collateral(|options| options.fmspc = fmspc);
        let verified = world.verifier().verify_collateral(collateral, NOW_S);
        from.put(&verified.unwrap()).unwrap();
    }
    Stores {
        from,
        to: CollateralStore::at(folder.path().join("to")),
        _folder: folder,
        world,
    }
}

impl Stores {
    fn exported(&self) -> Value {
        let json = Bundle::of(&self.from).to_json().unwrap();
        serde_json::from_str(&json).unwrap()
    }

    fn import(&self, bundle: &Value, now_s: u64) -> Vec<Result<Put, EntryError>> {
        let bundle = Bundle::read(bundle.to_string().as_bytes()).unwrap();
        let imported = bundle.import(&self.to, &self.world.verifier(), now_s);
        imported.into_iter().map(|entry| entry.outcome).collect()
    }
}

#[tokio::test]
async fn a_store_travels_whole() {
    let stores = stores().await;
    let bundle = stores.exported();
    assert_eq!(bundle["schema"], "cocoon/collateral-bundle/1");
    let outcomes = stores.import(&bundle, NOW_S);
    assert!(matches!(outcomes[..], [Ok(Put::Written), Ok(Put::Written)]));
    assert_eq!(stores.to.read().families(), stores.from.read().families());
    let again = stores.import(&bundle, NOW_S);
    assert!(matches!(
        again[..],
        [Ok(Put::Unchanged), Ok(Put::Unchanged)]
    ));
    assert_eq!(stores.exported(), bundle);
}

#[tokio::test]
async fn each_entry_is_judged_by_itself() {
    let stores = stores().await;
    let mut bundle = stores.exported();
    let good = bundle["entries"][0].clone();
    let mut mislabelled = good.clone();
    mislabelled["family"] = "ffffffffffff-platform".into();
    let forged = stores.world.collateral(|options| {
        options.fmspc = [9; 6];
        options.signer = CollateralSigner::CorruptQeIdentity;
    });
    let older = stores
        .world
        .collateral(|options| options.issued_before_s = 7_200);
    let family = stores.world.family().to_string();
    bundle["entries"] = json!([
        { "family": "090909090909-platform", "collateral": forged },
        bundle["entries"][1],
        7,
        { "family": "x", "collateral": {} },
        mislabelled,
        { "family": family, "collateral": older },
    ]);
    let outcomes = stores.import(&bundle, NOW_S);
    assert!(matches!(
        outcomes[0],
        Err(EntryError::Refused(Rejection::Unverified(_)))
    ));
    assert!(matches!(outcomes[1], Ok(Put::Written)));
    assert!(matches!(outcomes[2], Err(EntryError::Json(_))));
    assert!(matches!(outcomes[3], Err(EntryError::Collateral(_))));
    assert!(matches!(outcomes[4], Err(EntryError::Label { .. })));
    assert!(
        matches!(
            outcomes[5],
            Err(EntryError::Refused(Rejection::Older { .. }))
        ),
        "{outcomes:?}"
    );
}

#[tokio::test]
async fn what_has_ended_is_not_imported() {
    let stores = stores().await;
    let outcomes = stores.import(&stores.exported(), NOW_S + 31 * DAY_S);
    assert!(
        outcomes
            .iter()
            .all(|outcome| matches!(outcome, Err(EntryError::Refused(Rejection::Unverified(_))))),
        "{outcomes:?}"
    );
    assert!(stores.to.read().stored.is_empty());
}

#[test]
fn what_is_no_bundle_is_refused_by_name() {
    let refused = |text: &str| Bundle::read(text.as_bytes()).unwrap_err();
    assert!(matches!(refused("{"), BundleError::Json(_)));
    let other = r#"{"schema":"cocoon/collateral-bundle/2","entries":[]}"#;
    assert!(matches!(refused(other), BundleError::Schema(_)));
    let many = vec!["0"; pccs::limits::FAMILIES_MAX + 1].join(",");
    let many = format!(r#"{{"schema":"cocoon/collateral-bundle/1","entries":[{many}]}}"#);
    assert!(matches!(refused(&many), BundleError::Entries(_)));
    let endless = std::io::repeat(b' ');
    assert!(matches!(Bundle::read(endless), Err(BundleError::TooLarge)));
}

proptest! {
    /// Members in any order and of any kind: a bundle with a reason for each entry of no use, or a reason for the whole.
    #[test]
    fn no_file_panics_the_reader(
        schema in prop_oneof![Just("cocoon/collateral-bundle/1".to_owned()), ".{0,20}"],
        entries in prop::collection::vec(".{0,60}", 0..4),
        junk in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let labelled = |text: &String| json!({ "family": text, "collateral": text });
        let entries: Vec<_> = entries.iter().map(labelled).collect();
        let text = json!({ "schema": schema, "entries": entries }).to_string();
        if let Ok(bundle) = Bundle::read(text.as_bytes()) {
            prop_assert!(bundle.entries.iter().all(Result::is_err));
        }
        prop_assert!(Bundle::read(junk.as_slice()).is_err());
    }
}
