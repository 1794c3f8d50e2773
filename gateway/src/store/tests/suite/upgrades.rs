//! Databases of earlier gateways.

use std::fmt::Write;

use protocol::api::TaskCounts;
use protocol::task::TaskState;
use protocol::{Sha256Digest, WorkerId};

use super::harness::{Place, user};
use super::kind;
use crate::store::database::{Connection, earlier};
use crate::store::{Age, Location, PrunePlace, Store};

fn bytes(location: &Location, bytes: &[u8]) -> String {
    match location {
        Location::File(_) => format!("x'{}'", hex::encode(bytes)),
        Location::Server(_) => format!("'\\x{}'", hex::encode(bytes)),
    }
}

/// A blob, a flow with some tasks, one that has none any more, and a worker with a batch of receipts.
fn rows(location: &Location) -> String {
    let blob = bytes(location, &[0; 32]);
    let (attestation, session) = (bytes(location, &[0; 64]), bytes(location, &[0; 16]));
    let mut sql = format!(
        "INSERT INTO user_blobs (user_name, sha256, bytes, stored_ms) VALUES ('ada', {blob}, 3, 0);
         INSERT INTO flows (operation, version, requirements, user_name, queued, turn)
         VALUES ('digest', 1, '{{}}', 'ada', 1, 5), ('digest', 1, '{{}}', 'bert', 0, 0);
         INSERT INTO workers (id, enrolment_secret, created_ms, tasks_succeeded) VALUES ('worker-1', {blob}, 0, 7);
         INSERT INTO attestations (id, worker, session, recorded_ms, record)
         VALUES ({attestation}, 'worker-1', {session}, 0, {blob});
         INSERT INTO receipt_batches (attestation, statement, receipt_key, leaf_hashes, accepted_ms)
         VALUES (1, '', {blob}, {blob}, 0);"
    );
    let states = [
        TaskState::Queued,
        TaskState::Running,
        TaskState::Succeeded,
        TaskState::DeadLetter,
        TaskState::DeadLetter,
        TaskState::Cancelled,
        TaskState::Expired,
    ];
    for (number, state) in (1_u8..).zip(states) {
        let id = bytes(location, &[number; 16]);
        let expires = if state == TaskState::Running {
            "9"
        } else {
            "NULL"
        };
        let finished = if state.is_finished() { "7" } else { "NULL" };
        write!(
            sql,
            "INSERT INTO tasks (number, id, user_name, flow, state, priority, rank, submitted_ms, attempts, max_attempts,
                 fencing_token, payload_bytes, worker, lease_expires_ms, finished_ms)
             VALUES ({number}, {id}, 'ada', 1, '{state}', 5, 0, 0, 0, 3, 0, 0, 'worker-1', {expires}, {finished});"
        )
        .unwrap();
    }
    sql
}

/// Since so many migrations a flow's row has its counts.
const COUNTS_OF_FLOWS: usize = 4;
const COUNTED: &str =
    "UPDATE flows SET running = 1, succeeded = 1, dead_letter = 2, cancelled = 1, expired = 1
     WHERE number = 1;";

async fn upgraded(known: usize) -> (Place, Store) {
    let place = Place::new(kind()).await;
    let location = place.location();
    let counted = if known < COUNTS_OF_FLOWS { "" } else { COUNTED };
    let sql = format!(
        "{}; {} {counted}",
        earlier(&location, known),
        rows(&location)
    );
    place.run(&sql).await;
    let store = Store::open(location).await.unwrap();
    (place, store)
}

#[tokio::test]
async fn tasks_of_every_earlier_gateway_are_counted_by_state() {
    for known in 1..=5 {
        let (_place, store) = upgraded(known).await;
        let counted = TaskCounts {
            queued: 1,
            running: 1,
            succeeded: 1,
            dead_letter: 2,
            cancelled: 1,
            expired: 1,
        };
        assert_eq!(store.counts().await.unwrap().tasks, counted, "of {known}");
        store.close().await;
    }
}

#[tokio::test]
async fn in_every_earlier_database_leases_run_out_and_what_ended_is_forgotten() {
    for known in 1..=5 {
        let (_place, store) = upgraded(known).await;
        let expired = store.expire(9).await.unwrap();
        assert_eq!((expired.requeued, expired.more), (1, false), "of {known}");
        let age = Age {
            before_ms: 8,
            now_ms: 9,
        };
        let pruned = store.prune(PrunePlace::START, age).await.unwrap();
        assert_eq!(pruned.tasks, 5, "of {known}");
        store.close().await;
    }
}

#[tokio::test]
async fn what_workers_had_done_is_not_counted_again() {
    for known in 1..=5 {
        let (_place, store) = upgraded(known).await;
        let last =
            |connection: &Connection| connection.get("SELECT last FROM batches_counted", &[]);
        let last: i64 = store.database.read(last).await.unwrap();
        assert_eq!(last, 1, "of {known}");
        store.count_succeeded().await.unwrap();
        let worker: WorkerId = "worker-1".parse().unwrap();
        let record = store.worker(&worker).await.unwrap().unwrap();
        assert_eq!(record.tasks_succeeded, 7, "of {known}");
        store.close().await;
    }
}

/// What the first gateway did not count.
#[tokio::test]
async fn uploads_are_summed_up_and_flows_without_tasks_go() {
    let (_place, store) = upgraded(1).await;
    let blob = Sha256Digest::from_bytes([0; 32]);
    let standing = store.blob_standing(&user("ada"), blob).await.unwrap();
    assert_eq!((standing.used, standing.is_owned), (3, true));
    let flows = |connection: &Connection| connection.get("SELECT count(*) FROM flows", &[]);
    let flows: i64 = store.database.read(flows).await.unwrap();
    assert_eq!(flows, 1);
}
