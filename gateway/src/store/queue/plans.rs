//! That the statements which run for every task are answered by an index, whatever the size of the queue.

use rusqlite::Connection;

use super::super::database::{COUNT, COUNT_QUEUED, TAKE_TURN, sqlite_migrations};
use super::super::workers::RECORD;
use super::END_LEASE;
use super::ack::{INSERT_BATCH, INSERT_OUTPUT, STANDING, SUCCEED};
use super::lease::{GRANT, PAYLOAD};
use super::pick::{DEMANDS, LATEST, OUTER_DEMANDS, TASKS, WAITING};
use super::prune::{BATCHES, TASKS as OLD_TASKS};
use super::release::{HELD_BY, LATE, RUN_OUT};
use super::submit::{INSERT_PAYLOAD, INSERT_TASK, USERS_QUEUED};

fn plan(statement: &str) -> String {
    explained("EXPLAIN QUERY PLAN", statement, "detail").join("; ")
}

fn explained(how: &str, statement: &str, column: &str) -> Vec<String> {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(&sqlite_migrations()).unwrap();
    let mut explained = connection.prepare(&format!("{how} {statement}")).unwrap();
    let unbound = vec![None::<i64>; explained.parameter_count()];
    let steps = explained
        .query_map(rusqlite::params_from_iter(unbound), |row| row.get(column))
        .unwrap();
    steps.collect::<Result<_, _>>().unwrap()
}

/// RETURNING, a common table expression, an IN of more than two words (in a CHECK, too): for each of them SQLite makes a table,
/// fills it and drops it again whenever the statement runs, which costs more than the rest of it.
#[test]
fn what_runs_for_every_task_makes_no_table_of_its_own() {
    for statement in [
        &INSERT_TASK.texts().one,
        &INSERT_TASK.texts().some,
        &INSERT_PAYLOAD.texts().some,
        OUTER_DEMANDS.each,
        LATEST.each,
        WAITING.each,
        TASKS.each,
        COUNT.each,
        COUNT_QUEUED.each,
        TAKE_TURN.each,
        &GRANT.texts().one,
        &GRANT.texts().run,
        STANDING.each,
        INSERT_BATCH,
        &INSERT_OUTPUT.texts().some,
        &SUCCEED.texts().one,
        &SUCCEED.texts().run,
        PAYLOAD.each,
        USERS_QUEUED,
        END_LEASE.each,
    ] {
        let steps = explained("EXPLAIN", statement, "opcode");
        let tables: Vec<_> = steps
            .iter()
            .filter(|step| step.starts_with("OpenEphemeral") || step.starts_with("SorterOpen"))
            .collect();
        assert!(tables.is_empty(), "{tables:?}: {statement}");
    }
}

#[test]
fn flows_and_their_tasks_are_read_in_the_order_of_their_indexes() {
    let waiting = "SEARCH flows USING COVERING INDEX flows_turns (operation=? AND version=? AND <expr>=? AND requirements=? AND turn>?)";
    assert_eq!(plan(WAITING.each), waiting);
    let tasks =
        "SEARCH tasks USING INDEX tasks_unfinished (lease_expires_ms=? AND flow=? AND rank>?)";
    assert_eq!(plan(TASKS.each), tasks);
    let demands = plan(DEMANDS.each);
    let step = "SEARCH flows USING COVERING INDEX flows_turns (operation=? AND version=? AND <expr>=? AND requirements>?)";
    assert!(demands.contains(step), "{demands}");
    let outer = plan(OUTER_DEMANDS.each);
    let look =
        "SEARCH flows USING COVERING INDEX flows_turns (operation=? AND version=? AND <expr>=?)";
    assert_eq!(outer.matches(look).count(), 2, "{outer}");
    let latest = plan(LATEST.each);
    let look = "SEARCH flows USING COVERING INDEX flows_turns (operation=? AND version=? AND <expr>=? AND requirements=?)";
    assert_eq!(latest.matches(look).count(), 2, "{latest}");
}

#[test]
fn leases_and_deadlines_are_found_by_their_indexes() {
    let leases = "INDEX tasks_unfinished (lease_expires_ms<?)";
    assert!(plan(RUN_OUT).contains(leases), "{}", plan(RUN_OUT));
    assert!(plan(LATE).contains("tasks_deadline"), "{}", plan(LATE));
    let running = "INDEX tasks_unfinished (lease_expires_ms>?)";
    assert!(plan(RECORD).contains(running), "{}", plan(RECORD));
    assert!(plan(HELD_BY).contains(running), "{}", plan(HELD_BY));
    let uncounted = "SEARCH receipt_batches USING INTEGER PRIMARY KEY (rowid>?)";
    assert!(plan(RECORD).contains(uncounted), "{}", plan(RECORD));
}

#[test]
fn old_tasks_and_known_keys_are_found_by_their_indexes() {
    let old = plan(OLD_TASKS);
    assert_eq!(old, "SEARCH tasks USING INTEGER PRIMARY KEY (rowid>?)");
    let batches = "SEARCH receipt_batches USING INTEGER PRIMARY KEY (rowid>?)";
    assert_eq!(plan(BATCHES), batches);
    let known = plan("SELECT id FROM tasks WHERE user_name = ?1 AND idempotency_key = ?2");
    assert!(known.contains("tasks_idempotency_key"), "{known}");
}
