//! The API against its own document: schemathesis makes requests out of it, such as fit and such as do not, and holds every
//! answer to it. No failure of the gateway, no status or media type that is not described, no answer of another shape.

use std::path::{Path, PathBuf};
use std::process::Command;

use protocol::task::TaskState;
use serde_json::json;
use tests::sources::workspace_root;

use crate::pool::Pool;

/// Requests of each kind to each operation, where `COCOON_SCHEMATHESIS_EXAMPLES` does not say: half a minute for both roles.
const EXAMPLES: &str = "10";

#[expect(
    clippy::disallowed_methods,
    reason = "a test has no configuration of its own"
)]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_one_that_the_document_describes() {
    let name = "every_answer_is_one_that_the_document_describes";
    let Some(package) = variable("COCOON_SCHEMATHESIS") else {
        eprintln!(
            "SKIPPED {name}: COCOON_SCHEMATHESIS names no folder with the package schemathesis"
        );
        return;
    };
    // One task for each way to end: schemathesis finds them in the list, and asks for all about them.
    let pool = Pool::start(1).await;
    let done = pool
        .submit("sha256_batch", json!({}), &[b"x".to_vec()])
        .await;
    pool.wait_state(done.id, TaskState::Succeeded).await;
    let waiting = json!({"model": "all-MiniLM-L6-v2"});
    let waiting = pool.submit("embed", waiting, &[b"x".to_vec()]).await;
    pool.client().cancel_task(waiting.id).await.unwrap();
    let environment = pool.fleet.environment();
    let of_user = |name| {
        let mut variables = environment.iter();
        variables
            .find(|(known, _)| *known == name)
            .unwrap()
            .1
            .clone()
    };
    let run = Run {
        package: package.into(),
        folder: pool.folder.path(),
        gateway: of_user("COCOON_GATEWAY"),
        ca_file: of_user("COCOON_CA_FILE"),
    };
    run.holds(
        &of_user("COCOON_ACCESS_TOKEN"),
        &["--phases", "examples,coverage,fuzzing"],
    );
    // An operator may take the worker out; the events of a task that nobody takes do not end.
    let events = ["--exclude-name", "GET /v1/tasks/{id}/events"];
    run.holds(pool.fleet.operator_access(), &events);
}

struct Run<'a> {
    package: PathBuf,
    /// Where the program may leave files.
    folder: &'a Path,
    gateway: String,
    ca_file: String,
}

impl Run<'_> {
    fn holds(&self, access_token: &str, options: &[&str]) {
        let own = workspace_root().join("tests/schemathesis");
        let examples = variable("COCOON_SCHEMATHESIS_EXAMPLES");
        let output = Command::new("python3")
            .args(["-m", "schemathesis.cli", "--config-file"])
            .arg(own.join("schemathesis.toml"))
            .args(["run", &format!("{}/openapi.json", self.gateway)])
            .args(["--header", &format!("Authorization: Bearer {access_token}")])
            .args(["--tls-verify", &self.ca_file])
            .args(["--seed", "1", "--no-color"])
            .args(options)
            .args(["--max-examples", examples.as_deref().unwrap_or(EXAMPLES)])
            .args(["--continue-on-failure", "--request-timeout", "60"])
            .current_dir(self.folder)
            .env("PYTHONPATH", &self.package)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("SCHEMATHESIS_HOOKS", own.join("hooks.py"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\n{errors}");
        // A run that tried nothing has shown nothing.
        let tested = said
            .lines()
            .find_map(|line| line.trim().strip_prefix("Tested: "));
        let tested: Option<usize> = tested.and_then(|count| count.parse().ok());
        assert!(tested.is_some_and(|count| count >= 24), "{said}");
        eprintln!("{said}");
    }
}
