//! The folder: written whole, read in order, refreshed in place.

use std::{fs, os::unix::fs::PermissionsExt};

use attestation::Collateral;
use pccs::{CollateralFault, CollateralStore, Put, StoreError, refresh};
use serde_json::Value;
use simulator::{CollateralOptions, CollateralSigner};

use crate::world::{DAY_S, NOW_S, World};

#[tokio::test]
async fn a_refresh_writes_what_is_new_and_leaves_what_is_not() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let store = CollateralStore::at(folder.path().join("collateral"));
    let (client, verifier) = (world.client(), world.verifier());
    let family = world.family();
    assert!(store.find(family).is_none());
    let first = refresh(&client, &store, &verifier, family, NOW_S)
        .await
        .unwrap();
    assert_eq!(first.put, Put::Written);
    assert_eq!(store.find(family), Some(first.collateral));
    let again = refresh(&client, &store, &verifier, family, NOW_S)
        .await
        .unwrap();
    assert_eq!(again.put, Put::Unchanged);

    let later = CollateralOptions::at(NOW_S + DAY_S);
    world.server.serve(world.platform.pcs_parts(&later));
    let newer = refresh(&client, &store, &verifier, family, NOW_S + DAY_S).await;
    assert_eq!(newer.unwrap().put, Put::Written);
    assert_eq!(store.find(family), Some(world.platform.collateral(&later)));

    let path = store.folder().join(format!("{family}.json"));
    assert_eq!(
        fs::metadata(path).unwrap().permissions().mode() & 0o777,
        0o644
    );
    let names = fs::read_dir(store.folder()).unwrap();
    assert_eq!(names.count(), 1, "nothing but the one file is left");
}

#[tokio::test]
async fn a_refused_refresh_leaves_the_file_as_it_was() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let store = CollateralStore::at(folder.path());
    let newer = world.collateral(|options| options.issued_before_s = 60);
    let verified = world.verifier().verify_collateral(newer.clone(), NOW_S);
    store.put(&verified.unwrap()).unwrap();
    let refused = refresh(
        &world.client(),
        &store,
        &world.verifier(),
        world.family(),
        NOW_S,
    )
    .await;
    assert!(refused.is_err());
    assert_eq!(store.find(world.family()), Some(newer));
}

/// A crash in the middle of a write leaves the file under its other name, which nobody reads.
#[tokio::test]
async fn what_a_crash_leaves_behind_is_not_read() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let store = CollateralStore::at(folder.path());
    let verified = world
        .verifier()
        .verify_collateral(world.collateral(|_| {}), NOW_S);
    store.put(&verified.unwrap()).unwrap();
    fs::write(folder.path().join(".collateral-4f2a.new"), b"{\"pck_crl").unwrap();
    let reading = store.read();
    assert_eq!((reading.stored.len(), reading.faults.len()), (1, 0));
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_keeps_what_it_has() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    // A file where the folder should be.
    let store = CollateralStore::at(folder.path().join("file"));
    fs::write(store.folder(), b"").unwrap();
    let verified = world
        .verifier()
        .verify_collateral(world.collateral(|_| {}), NOW_S);
    let refused = store.put(&verified.unwrap()).unwrap_err();
    assert!(matches!(refused, StoreError::Write { .. }), "{refused:?}");
    assert_eq!(fs::read(store.folder()).unwrap(), b"");
}

#[tokio::test]
async fn what_is_no_collateral_is_named_and_the_rest_read() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let store = CollateralStore::at(folder.path());
    fs::write(folder.path().join("notes.txt"), b"not looked at").unwrap();
    fs::write(folder.path().join("broken.json"), b"{").unwrap();
    fs::write(folder.path().join("long.json"), vec![b' '; 1024 * 1024 + 1]).unwrap();
    let older = world.collateral(|options| options.issued_before_s = 7_200);
    fs::write(folder.path().join("z-older.json"), older.to_json().unwrap()).unwrap();
    let newer = world.collateral(|_| {});
    fs::write(folder.path().join("a-newer.json"), newer.to_json().unwrap()).unwrap();
    let reading = store.read();
    assert!(matches!(reading.faults[0], CollateralFault::Parse { .. }));
    assert!(matches!(
        reading.faults[1],
        CollateralFault::TooLarge { .. }
    ));
    assert_eq!(reading.stored.len(), 2);
    assert_eq!(store.find(world.family()), Some(newer));
    let nowhere = CollateralStore::at(folder.path().join("nowhere")).read();
    assert!(matches!(nowhere.faults[..], [CollateralFault::Read { .. }]));
}

/// A file from elsewhere with the newest TCB info and a revocation list from before: what was revoked since would be forgotten.
#[tokio::test]
async fn newer_tcb_info_does_not_make_up_for_an_older_list() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    let store = CollateralStore::at(folder.path());
    let put_by_hand = |name: &str, collateral: &Collateral| {
        fs::write(folder.path().join(name), collateral.to_json().unwrap()).unwrap();
    };
    let issued = |before_s: u64| world.collateral(|options| options.issued_before_s = before_s);
    let (own, newer, older) = (issued(3_600), issued(60), issued(7_200));
    let mixed = mixed(&newer, &older);
    assert!(
        world
            .verifier()
            .verify_collateral(mixed.clone(), NOW_S)
            .is_ok()
    );
    let verified = world.verifier().verify_collateral(own.clone(), NOW_S);
    store.put(&verified.unwrap()).unwrap();
    for name in ["0.json", "z.json"] {
        put_by_hand(name, &mixed);
    }
    assert_eq!(store.find(world.family()), Some(own.clone()));

    // As old in every part, but another: the store's own stays.
    let same_age = world.collateral(|options| {
        options.issued_before_s = 3_600;
        options.signer = CollateralSigner::CorruptTcbInfo;
    });
    assert_ne!(same_age, own);
    put_by_hand("0.json", &same_age);
    assert_eq!(store.find(world.family()), Some(own));

    put_by_hand("1.json", &newer);
    assert_eq!(store.find(world.family()), Some(newer));
}

/// The statements of one and the PCK CRL of another.
fn mixed(statements: &Collateral, list: &Collateral) -> Collateral {
    let json = |collateral: &Collateral| -> Value {
        serde_json::from_str(&collateral.to_json().unwrap()).unwrap()
    };
    let (mut mixed, list) = (json(statements), json(list));
    mixed["pck_crl"] = list["pck_crl"].clone();
    Collateral::from_json(mixed.to_string().as_bytes()).unwrap()
}

#[tokio::test]
async fn a_store_is_bounded() {
    let world = World::new().await;
    let folder = tempfile::tempdir().unwrap();
    for number in 0..pccs::limits::FAMILIES_MAX {
        fs::write(folder.path().join(format!("{number}.json")), b"").unwrap();
    }
    let store = CollateralStore::at(folder.path());
    let verified = world
        .verifier()
        .verify_collateral(world.collateral(|_| {}), NOW_S);
    let refused = store.put(&verified.unwrap()).unwrap_err();
    assert!(matches!(refused, StoreError::Full));
}
