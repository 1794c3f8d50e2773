//! The programs that people use, against a real pool: what they print and how they end.

use std::process::{Command, Output};

use tests::fleet::binary;

use crate::pool::Pool;

pub(crate) struct Person<'a> {
    pool: &'a Pool,
    access_token: String,
}

impl<'a> Person<'a> {
    pub(crate) fn developer(pool: &'a Pool) -> Self {
        let environment = pool.fleet.environment();
        let (_, access_token) = environment
            .into_iter()
            .find(|(name, _)| *name == "COCOON_ACCESS_TOKEN")
            .unwrap();
        Self { pool, access_token }
    }

    fn operator(pool: &'a Pool) -> Self {
        let access_token = pool.fleet.operator_access().to_owned();
        Self { pool, access_token }
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new(binary(program).unwrap())
            .args(arguments)
            .current_dir(self.pool.folder.path())
            .env_clear()
            .env("HOME", self.pool.folder.path())
            .envs(self.pool.fleet.environment())
            .env("COCOON_ACCESS_TOKEN", &self.access_token)
            .output()
            .unwrap()
    }

    /// What a run that must succeed printed.
    pub(crate) fn prints(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.run(program, arguments);
        assert!(
            output.status.success(),
            "{program} {arguments:?}: {output:?}"
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// The exit code and what was said on standard error.
    fn fails(&self, program: &str, arguments: &[&str]) -> (i32, String) {
        let output = self.run(program, arguments);
        assert!(
            !output.status.success(),
            "{program} {arguments:?}: {output:?}"
        );
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_developers_day() {
    let pool = Pool::start(1).await;
    let developer = Person::developer(&pool);
    std::fs::write(pool.folder.path().join("a"), "abc").unwrap();
    let sums = developer.prints("cocoon", &["submit", "sha256_batch", "a", "--wait"]);
    assert_eq!(
        sums,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a\n"
    );
    let id = developer.prints("cocoon", &["submit", "sha256_batch", "a"]);
    let id = id.trim();
    pool.wait_state(id.parse().unwrap(), protocol::task::TaskState::Succeeded)
        .await;
    let verdict = developer.prints("cocoon", &["receipt", id, "--verify"]);
    assert!(
        !verdict.contains("FAIL") && verdict.contains("Not verified here"),
        "{verdict}"
    );
    developer.prints("cocoon", &["receipt", id, "-o", "receipt.json"]);
    developer.prints("cocoon", &["attestation", id, "-o", "record.json"]);
    // The record holds the worker's event log, and that explains every register of its quote.
    let explained = developer.prints("cocoon-attest", &["explain", "record.json"]);
    assert!(
        explained.contains("PASS  RTMR3") && !explained.contains("FAIL"),
        "{explained}"
    );
    let task = developer.prints("cocoon", &["status", id, "--json"]);
    let task: serde_json::Value = serde_json::from_str(&task).unwrap();
    assert!(task.to_string().contains("succeeded"), "{task}");
    // The shipped auditor's tool trusts Intel alone, and says that this pool's root is not.
    let arguments = [
        "receipt",
        "verify",
        "--receipt",
        "receipt.json",
        "--attestation",
        "record.json",
    ];
    let output = developer.run("cocoon-attest", &arguments);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("REFUSED") && said.contains("SIMULATED - not Intel - SGX Root CA"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_are_named() {
    let pool = Pool::start(0).await;
    let developer = Person::developer(&pool);
    std::fs::write(pool.folder.path().join("a"), "abc").unwrap();
    let (code, said) =
        developer.fails("cocoon", &["submit", "transpose", "--param", "rows=2", "a"]);
    assert!(code == 1 && said.contains("columns"), "{code} {said}");
    let (code, said) = developer.fails("cocoon", &["status", "01M84EC6KMCABGMPPY9VSCGFCE"]);
    assert!(
        code == 1 && said.contains("01M84EC6KMCABGMPPY9VSCGFCE"),
        "{code} {said}"
    );
    // A developer is no operator.
    let (code, said) = developer.fails("cocoon-admin", &["worker", "list"]);
    assert!(code == 4 && said.contains("role"), "{code} {said}");
    let stranger = Person {
        pool: &pool,
        access_token: format!("ccn_{}", "0".repeat(64)),
    };
    let (code, _) = stranger.fails("cocoon", &["list"]);
    assert_eq!(code, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_day() {
    let pool = Pool::start(1).await;
    let operator = Person::operator(&pool);
    let output = operator.run("cocoon-admin", &["status"]);
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(
        output.status.success() && said.contains("SIMULATED") && said.contains("1 live"),
        "{said}"
    );
    let workers = operator.prints("cocoon-admin", &["worker", "list"]);
    assert!(
        workers.contains("worker-1") && workers.contains("live"),
        "{workers}"
    );
    operator.prints(
        "cocoon-admin",
        &[
            "worker",
            "create",
            "--id",
            "worker_new_001",
            "--secret-file",
            "secret",
        ],
    );
    let secret = std::fs::read_to_string(pool.folder.path().join("secret")).unwrap();
    assert_eq!(secret.trim().len(), 64);
    let (code, said) = operator.fails(
        "cocoon-admin",
        &["worker", "create", "--id", "worker_new_001"],
    );
    assert!(
        code == 1 && said.contains("worker_new_001"),
        "{code} {said}"
    );
    operator.prints(
        "cocoon-admin",
        &["worker", "drain", "--id", "worker-1", "--wait"],
    );
    let worker = operator.prints("cocoon-admin", &["worker", "status", "--id", "worker-1"]);
    assert!(worker.contains("draining"), "{worker}");
    operator.prints("cocoon-admin", &["worker", "undrain", "--id", "worker-1"]);
    operator.prints(
        "cocoon-admin",
        &["worker", "delete", "--id", "worker_new_001", "--yes"],
    );
    let tasks = operator.prints("cocoon-admin", &["task", "list", "--all"]);
    assert!(!tasks.is_empty());
}

/// The OpenAPI document that the gateway serves is the one that the command prints.
#[tokio::test(flavor = "multi_thread")]
async fn the_openapi_document_is_printed() {
    let output = Command::new(binary("cocoon-gateway").unwrap())
        .arg("openapi")
        .output()
        .unwrap();
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    assert!(
        document["paths"]["/v1/tasks"]["post"].is_object(),
        "{document:#}"
    );
}
