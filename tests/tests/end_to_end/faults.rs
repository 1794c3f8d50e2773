//! The run of faults over real processes, a short one: `cargo ci faults` makes long ones.

use clap::Parser;
use tests::faults::{Arguments, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_killed_and_stopped_at_random_keeps_its_word() {
    let folder = tempfile::tempdir().unwrap();
    let pool = folder.path().join("pool");
    let log = folder.path().join("log.md");
    let arguments = Arguments::parse_from([
        "faults".as_ref(),
        "--seconds".as_ref(),
        "15".as_ref(),
        "--workers".as_ref(),
        "2".as_ref(),
        "--folder".as_ref(),
        pool.as_os_str(),
        "--log".as_ref(),
        log.as_os_str(),
    ]);
    run(arguments).await.unwrap();
    let section = std::fs::read_to_string(log).unwrap();
    assert!(section.contains("Nothing violated"), "{section}");
    assert!(!pool.exists(), "logs are kept for violations alone");
}
