//! What the blobs of one user may have together.

use std::collections::HashMap;

use futures_util::future::join_all;
use proptest::prelude::*;
use protocol::Sha256Digest;
use protocol::task::InputDescriptor;
use tokio::runtime::Builder;

use super::harness::{NOW_MS, Pool, user};
use super::pool;
use crate::store::{BlobExcess, BlobStanding, ClaimsBefore, RecordBlobError, Store};

fn blob(name: u64, bytes: u64) -> InputDescriptor {
    InputDescriptor {
        sha256: Sha256Digest::of(&name.to_be_bytes()),
        bytes,
    }
}

async fn record(store: &Store, name: &str, blob: InputDescriptor) -> Result<(), BlobExcess> {
    match store.record_user_blob(&user(name), blob, NOW_MS).await {
        Ok(()) => Ok(()),
        Err(RecordBlobError::Excess(excess)) => Err(excess),
        Err(RecordBlobError::Store(error)) => panic!("{error}"),
    }
}

async fn used(store: &Store, name: &str) -> u64 {
    let nothing = blob(u64::MAX, 0).sha256;
    let standing = store.blob_standing(&user(name), nothing).await.unwrap();
    assert!(!standing.is_owned);
    standing.used
}

/// Users' claims only.
async fn end_claims(store: &Store, users_ms: u64) {
    let before = ClaimsBefore {
        users_ms,
        workers_ms: 0,
    };
    while store.end_blob_claims(before).await.unwrap() {}
}

#[tokio::test]
async fn a_users_blobs_have_a_limit_that_hides_nobody_elses() {
    let pool = pool().await;
    let limited = pool.store.clone().with_blob_bytes_per_user_max(100);
    let (first, second) = (blob(1, 60), blob(2, 41));
    record(&limited, "ada", first).await.unwrap();
    let excess = BlobExcess {
        used: 60,
        bytes: 41,
        bytes_max: 100,
    };
    assert_eq!(record(&limited, "ada", second).await, Err(excess));
    // What was refused is nobody's, and may be collected.
    let ada = user("ada");
    assert_eq!(limited.user_blob(&ada, second.sha256).await.unwrap(), None);
    let unneeded = limited.unreferenced_blobs(vec![first.sha256, second.sha256]);
    assert_eq!(unneeded.await.unwrap(), [second.sha256]);
    // To the last byte, and beyond that nothing but what is there already.
    record(&limited, "ada", blob(3, 40)).await.unwrap();
    record(&limited, "ada", first).await.unwrap();
    record(&limited, "ada", blob(4, 0)).await.unwrap();
    assert!(record(&limited, "ada", blob(5, 1)).await.is_err());
    let full = BlobStanding {
        is_owned: true,
        used: 100,
    };
    let standing = limited.blob_standing(&ada, first.sha256).await.unwrap();
    assert_eq!(standing, full);
    // The same content is each user's own.
    record(&limited, "bob", first).await.unwrap();
    assert_eq!(used(&limited, "bob").await, 60);
    assert_eq!(used(&limited, "eve").await, 0);
}

#[tokio::test]
async fn a_claim_that_ends_frees_its_users_quota() {
    let pool = pool().await;
    let limited = pool.store.clone().with_blob_bytes_per_user_max(100);
    for (name, blob) in [
        ("ada", blob(1, 60)),
        ("ada", blob(2, 40)),
        ("bob", blob(1, 60)),
    ] {
        record(&limited, name, blob).await.unwrap();
    }
    let (ada, again) = (user("ada"), blob(2, 40));
    let sent_again = limited.record_user_blob(&ada, again, NOW_MS + 1);
    sent_again.await.unwrap();
    end_claims(&limited, NOW_MS + 1).await;
    assert_eq!(used(&limited, "ada").await, 40);
    assert_eq!(used(&limited, "bob").await, 0);
    record(&limited, "ada", blob(3, 60)).await.unwrap();
    assert!(record(&limited, "ada", blob(4, 1)).await.is_err());
}

#[tokio::test]
async fn a_lower_limit_takes_nothing_away_and_lets_nothing_in() {
    let pool = pool().await;
    record(&pool.store, "ada", blob(1, 60)).await.unwrap();
    let pool = pool.reopen().await;
    let lower = pool.store.clone().with_blob_bytes_per_user_max(50);
    record(&lower, "ada", blob(1, 60)).await.unwrap();
    let excess = BlobExcess {
        used: 60,
        bytes: 1,
        bytes_max: 50,
    };
    assert_eq!(record(&lower, "ada", blob(2, 1)).await, Err(excess));
}

#[tokio::test]
async fn uploads_at_once_do_not_pass_the_limit_together() {
    let pool = pool().await;
    let limited = pool.store.clone().with_blob_bytes_per_user_max(100);
    let recorded = join_all((0..20).map(|name| record(&limited, "ada", blob(name, 10)))).await;
    assert_eq!(
        recorded.iter().filter(|recorded| recorded.is_ok()).count(),
        10
    );
    assert_eq!(used(&limited, "ada").await, 100);
}

#[derive(Debug, Clone)]
enum Step {
    Record { user: usize, blob: u64, at_ms: u64 },
    End { before_ms: u64 },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let record = (0..2_usize, 0..6_u64, 0..20_u64);
    prop_oneof![
        8 => record.prop_map(|(user, blob, at_ms)| Step::Record { user, blob, at_ms }),
        2 => (0..20_u64).prop_map(|before_ms| Step::End { before_ms }),
        1 => Just(Step::Restart),
    ]
}

const USERS: [&str; 2] = ["ada", "bob"];
const BYTES_MAX: u64 = 60;

/// Of each user and blob its size and when it was sent last.
type Owned = HashMap<(usize, u64), (u64, u64)>;

fn sum(owned: &Owned, user: usize) -> u64 {
    let own = owned.iter().filter(|((of, _), _)| *of == user);
    own.map(|(_, (bytes, _))| bytes).sum()
}

async fn run(steps: Vec<Step>) {
    let mut pool: Pool = pool().await;
    let mut owned = Owned::new();
    for step in steps {
        let limited = pool.store.clone().with_blob_bytes_per_user_max(BYTES_MAX);
        match step {
            Step::Record {
                user: of,
                blob: name,
                at_ms,
            } => {
                let bytes = 10 * name;
                let is_let_in =
                    owned.contains_key(&(of, name)) || sum(&owned, of) + bytes <= BYTES_MAX;
                let (user, blob) = (user(USERS[of]), blob(name, bytes));
                let recorded = limited.record_user_blob(&user, blob, NOW_MS + at_ms);
                assert_eq!(recorded.await.is_ok(), is_let_in);
                if is_let_in {
                    owned.insert((of, name), (bytes, at_ms));
                }
            }
            Step::End { before_ms } => {
                end_claims(&limited, NOW_MS + before_ms).await;
                owned.retain(|_, (_, sent_ms)| *sent_ms >= before_ms);
            }
            Step::Restart => {
                drop(limited);
                pool = pool.reopen().await;
            }
        }
        for (of, name) in USERS.iter().enumerate() {
            assert_eq!(used(&pool.store, name).await, sum(&owned, of));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(super::cases(64)))]
    #[test]
    fn the_kept_sum_is_the_sum(steps in prop::collection::vec(step(), 1..24)) {
        Builder::new_current_thread().enable_all().build().unwrap().block_on(run(steps));
    }
}
