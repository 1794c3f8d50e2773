//! The two programs as an operator meets them: exit codes, mistakes, the executor child, signals.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use agent::quote::client::{QuoteClient, QuoteClientError};
use attestation::broker::FailureKind;
use attestation::{Binding, ErrorCode, Role, SuiteHash};
use rustix::process::{Pid, Signal, kill_process};

use crate::gateway::{self, lock};
use crate::life::long_task;
use crate::pool::{serve_quotes, write_config};

fn worker(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cocoon-worker"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

async fn complete() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let running = gateway::start().await;
    let path = write_config(folder.path(), &running);
    let text = std::fs::read_to_string(path).unwrap();
    (folder, text)
}

fn check(folder: &Path, text: &str) -> Output {
    let path = folder.join("worker.toml");
    std::fs::write(&path, text).unwrap();
    worker(&["config", "check", "--config", path.to_str().unwrap()])
}

#[tokio::test]
async fn a_complete_configuration_is_accepted() {
    let (folder, config) = complete().await;
    let output = check(folder.path(), &config);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
}

#[tokio::test]
async fn mistakes_in_the_configuration_exit_with_78() {
    let (folder, config) = complete().await;
    for (from, to, words) in [
        ("capacity = 32", "capacity = 0", "capacity"),
        ("executor = \"cpu\"", "", "executor = \"cpu\""),
        ("capacity = 32", "colour = 1", "colour"),
    ] {
        let output = check(folder.path(), &config.replace(from, to));
        assert_eq!(output.status.code(), Some(78), "{}", text(&output));
        assert!(text(&output).contains(words), "{}", text(&output));
        assert!(!text(&output).contains(&"42".repeat(32)));
    }
}

#[test]
fn usage_exits_with_64_and_help_with_0() {
    assert_eq!(worker(&["dance"]).status.code(), Some(64));
    assert_eq!(worker(&["--help"]).status.code(), Some(0));
    let help = text(&worker(&["--help"]));
    assert!(
        help.contains("config") && !help.contains("executor child"),
        "{help}"
    );
    let output = worker(&["run", "--config", "/nonexistent/worker.toml"]);
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
}

#[test]
fn the_executor_child_called_by_hand_says_why_it_ends() {
    let output = worker(&["executor"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output).contains("standard input"),
        "{}",
        text(&output)
    );
}

#[tokio::test]
async fn cuda_is_refused_with_what_to_do() {
    let (folder, config) = complete().await;
    let path = folder.path().join("worker.toml");
    std::fs::write(&path, config.replace("\"cpu\"", "\"cuda\"")).unwrap();
    let output = worker(&["--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("executor = \\\"cpu\\\""),
        "{}",
        text(&output)
    );
}

/// The file is in order, and the machine is not the one that it is for.
#[tokio::test]
async fn the_check_looks_for_the_gpu_too() {
    let (folder, config) = complete().await;
    let output = check(folder.path(), &config.replace("\"cpu\"", "\"cuda\""));
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    for words in [
        "is complete, for",
        "no GPU was found: install the NVIDIA driver",
    ] {
        assert!(text(&output).contains(words), "{}", text(&output));
    }
}

#[tokio::test]
async fn an_event_log_that_cannot_be_read_ends_the_start() {
    let (folder, config) = complete().await;
    let path = folder.path().join("worker.toml");
    let config = format!("{config}\n[event_log]\nccel = \"/nonexistent/CCEL\"\n");
    std::fs::write(&path, config).unwrap();
    let output = worker(&["--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    for words in ["event log", "/nonexistent/CCEL"] {
        assert!(text(&output).contains(words), "{}", text(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_ends_a_worker_in_order_even_without_a_gateway() {
    for number in [Signal::TERM, Signal::INT] {
        let (folder, config) = complete().await;
        let path = folder.path().join("worker.toml");
        std::fs::write(&path, config).unwrap();
        let child = start(&path, &[]);
        let listening = folder.path().join("listening.json");
        while !listening.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        signal(&child, number);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        // Not on a terminal: one JSON object a line.
        for line in text(&output).lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|_| panic!("{line}"));
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    let process = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(process, signal).unwrap();
}

/// Whether the process has an executor child that has computed for a while: 10 ticks of a hundredth of a second.
fn executor_computes(parent: u32) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).unwrap();
    let children =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok());
    children
        .collect::<String>()
        .split_whitespace()
        .any(|child| {
            let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            // proc(5): after the name in parentheses, user time is the twelfth field.
            let user_ticks = stat
                .rsplit_once(')')
                .and_then(|(_, rest)| rest.split_whitespace().nth(11));
            user_ticks
                .and_then(|ticks| ticks.parse::<u64>().ok())
                .is_some_and(|ticks| ticks >= 10)
        })
}

/// Starts a worker whose standard error is read by the test.
fn start(config: &Path, environment: &[(&str, &str)]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_cocoon-worker"))
        .args(["--config", config.to_str().unwrap()])
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A program without privileges, as the executor child of a service is one: what root reads proves nothing.
fn unprivileged(program: &str) -> Command {
    if !rustix::process::getuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all", program]);
    command
}

/// Whether another process of the same user may open the file of this one.
fn opens(child: &Child, file: &str) -> bool {
    let path = format!("/proc/{}/{file}", child.id());
    let mut head = unprivileged("head");
    let opened = head.args(["-c", "0", &path]).stderr(Stdio::null()).status();
    opened.unwrap().success()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_process_of_the_same_user_reads_the_agents_memory() {
    let (folder, config) = complete().await;
    let path = folder.path().join("worker.toml");
    std::fs::write(&path, config).unwrap();
    // Of this one everything may be read: it is not that the test may open nothing.
    let mut other = unprivileged("sleep").arg("600").spawn().unwrap();
    let mut worker = unprivileged(env!("CARGO_BIN_EXE_cocoon-worker"))
        .args(["--config", path.to_str().unwrap()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !folder.path().join("listening.json").exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for file in ["mem", "maps", "environ"] {
        assert!(!opens(&worker, file), "{file}");
    }
    // What is public stays so.
    assert!(opens(&worker, "stat"));
    signal(&worker, Signal::TERM);
    assert_eq!(worker.wait().unwrap().code(), Some(0));
    assert!(opens(&other, "environ"));
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_logged_with_its_title_and_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let running = gateway::start().await;
    let _broker = serve_quotes(folder.path());
    *lock(&running.state.refuse) = Some(ErrorCode::QuoteMalformed);
    let child = start(&write_config(folder.path(), &running), &[]);
    while running.state.attempts.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    signal(&child, Signal::TERM);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    for words in [
        "\"code\":\"E301\"",
        ErrorCode::QuoteMalformed.title(),
        ErrorCode::QuoteMalformed.remedy(),
    ] {
        assert!(text(&output).contains(words), "{}", text(&output));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_manager_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let running = gateway::start().await;
    let socket = folder.path().join("notify.sock");
    let manager = tokio::net::UnixDatagram::bind(&socket).unwrap();
    let environment = [
        ("NOTIFY_SOCKET", socket.to_str().unwrap()),
        ("WATCHDOG_USEC", "300000"),
    ];
    let mut child = start(&write_config(folder.path(), &running), &environment);
    let mut told = String::new();
    while !["READY=1", "STATUS=not connected", "WATCHDOG=1"]
        .iter()
        .all(|words| told.contains(words))
    {
        let mut message = [0; 512];
        let length = manager.recv(&mut message).await.unwrap();
        told.push_str(std::str::from_utf8(&message[..length]).unwrap());
    }
    signal(&child, Signal::TERM);
    while !told.contains("STOPPING=1") {
        let mut message = [0; 512];
        let length = manager.recv(&mut message).await.unwrap();
        told.push_str(std::str::from_utf8(&message[..length]).unwrap());
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let running = gateway::start().await;
    let _broker = serve_quotes(folder.path());
    let path = write_config(folder.path(), &running);
    running.state.queue([long_task(&running.state, 1)]);
    let mut child = Command::new(env!("CARGO_BIN_EXE_cocoon-worker"))
        .args(["--config", path.to_str().unwrap()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !executor_computes(child.id()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    signal(&child, Signal::TERM);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(child.try_wait().unwrap(), None, "it finishes what runs");
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(running.state.acked().is_empty());
}

/// As systemd does it with `StandardInput=socket`: the listening socket is descriptor 0, and 3 as well.
#[tokio::test]
async fn the_broker_takes_the_service_managers_socket_over() {
    let folder = tempfile::tempdir().unwrap();
    let (config, socket) = (
        folder.path().join("quote.toml"),
        folder.path().join("quote.sock"),
    );
    let uid = rustix::process::getuid().as_raw();
    let base = folder.path().join("report");
    std::fs::write(
        &config,
        format!(
            "allowed_users = [{uid}]\ntsm_report_dir = \"{}\"",
            base.display()
        ),
    )
    .unwrap();
    let listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let script = r#"exec 3<&0; export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" --config "$1""#;
    let mut child = Command::new("/bin/sh")
        .args([
            "-c",
            script,
            env!("CARGO_BIN_EXE_cocoon-quote"),
            config.to_str().unwrap(),
        ])
        .stdin(OwnedFd::from(listener))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let preimage = Binding {
        role: Role::Client,
        hash: SuiteHash::Sha256,
        exported: [1; 32],
        attester_spki: vec![2; 91],
        peer_spki: vec![3; 91],
    }
    .preimage(b"", b"claims");
    let error = QuoteClient::new(&socket)
        .quote(&preimage)
        .await
        .unwrap_err();
    let QuoteClientError::Refused(failure) = &error else {
        panic!("{error}")
    };
    assert_eq!(failure.kind, FailureKind::Unavailable);
    signal(&child, Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn the_broker_names_its_mistakes_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quote.toml");
    let run = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Command::new(env!("CARGO_BIN_EXE_cocoon-quote"))
            .args(["--config", path.to_str().unwrap()])
            .stdin(Stdio::null())
            .output()
            .unwrap()
    };
    let output = run("allowed_users = []\ncolour = 1");
    assert_eq!(output.status.code(), Some(78), "{}", text(&output));
    assert!(text(&output).contains("allowed_users") && text(&output).contains("colour"));
    let output = run("allowed_users = [0]");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(
        text(&output).contains("cocoon-quote.socket"),
        "{}",
        text(&output)
    );
}
