//! That the statements which run for every task are answered by an index, whatever the size of the queue.

use rusqlite::Connection;

use super::super::database::sqlite_migrations;
use super::pick::{CLOCK, DEMANDS, TASKS, WAITING};
use super::prune::OLD;

fn plan(statement: &str) -> String {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(&sqlite_migrations()).unwrap();
    let mut explained = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
        .unwrap();
    let unbound = vec![None::<i64>; explained.parameter_count()];
    let steps = explained
        .query_map(rusqlite::params_from_iter(unbound), |row| {
            row.get::<_, String>("detail")
        })
        .unwrap();
    steps.collect::<Result<Vec<_>, _>>().unwrap().join("; ")
}

#[test]
fn flows_and_their_tasks_are_read_in_the_order_of_their_indexes() {
    let waiting = "SEARCH flows USING INDEX flows_waiting (operation=? AND version=? AND requirements=? AND turn>?)";
    assert_eq!(plan(WAITING.each), waiting);
    let tasks = "SEARCH tasks USING INDEX tasks_queued (flow=? AND rank>?)";
    assert_eq!(plan(TASKS.each), tasks);
    let demands = plan(DEMANDS.each);
    let step =
        "SEARCH flows USING INDEX flows_waiting (operation=? AND version=? AND requirements>?)";
    assert!(demands.contains(step), "{demands}");
    let clock = "SEARCH flows USING COVERING INDEX flows_turn";
    assert_eq!(plan(CLOCK), clock);
}

#[test]
fn leases_and_deadlines_are_found_by_their_indexes() {
    let run_out = "SELECT number FROM tasks WHERE state = 'running' AND lease_expires_ms <= ?1
                   ORDER BY lease_expires_ms LIMIT ?2";
    assert!(plan(run_out).contains("tasks_leased"), "{}", plan(run_out));
    let late = "SELECT number FROM tasks
                WHERE state = 'queued' AND deadline_ms IS NOT NULL AND deadline_ms <= ?1
                ORDER BY deadline_ms LIMIT ?2";
    assert!(plan(late).contains("tasks_deadline"), "{}", plan(late));
    let held = "SELECT worker, count(*) FROM tasks WHERE state = 'running' GROUP BY worker";
    assert!(
        plan(held).contains("COVERING INDEX tasks_leased"),
        "{}",
        plan(held)
    );
}

#[test]
fn old_tasks_and_known_keys_are_found_by_their_indexes() {
    let old = "SEARCH tasks USING INDEX tasks_finished (finished_ms<?)";
    assert_eq!(plan(OLD), old);
    let known = plan("SELECT id FROM tasks WHERE user_name = ?1 AND idempotency_key = ?2");
    assert!(known.contains("tasks_idempotency_key"), "{known}");
}
