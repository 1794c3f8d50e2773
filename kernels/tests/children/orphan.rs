//! An agent that is killed takes its child along, even one in mid-task.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::{LIMIT, alone, child, is_running, run, spawn, trigger};

/// Marks the line with the child's number among what the test harness prints.
const MARK: &str = "child process: ";

/// The process that stands for the agent: starts a child, says its number, and waits for a work that never ends.
pub(crate) fn agent_main() {
    let mut child = spawn("hang");
    println!("{MARK}{}", child.process_id());
    drop(run(&mut child, &[trigger()], LIMIT));
}

#[test]
fn a_killed_agent_takes_its_child_along() {
    let _turn = alone();
    let mut agent = Command::new("/proc/self/exe")
        .args(["--exact", child::MAIN, "--nocapture"])
        .env(child::BEHAVIOUR, "agent")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(agent.stdout.take().unwrap()).lines();
    let number = lines.map_while(Result::ok).find_map(|line| {
        let (_, number) = line.split_once(MARK)?;
        number.parse().ok()
    });
    let process_id: u32 = number.expect("the agent says its child's number");
    assert!(is_running(process_id));
    agent.kill().unwrap();
    agent.wait().unwrap();
    for _ in 0..1_000 {
        if !is_running(process_id) {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("the child {process_id} outlives its agent");
}
