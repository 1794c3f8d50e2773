//! The supervisor's thread where no child can be had; with a real child see `tests/worker`.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use super::*;

fn settings(executable: &str) -> ExecutorSettings {
    ExecutorSettings {
        executable: executable.into(),
        module_digest: Sha256Digest::of(b"module"),
        device: None,
        cuda_libraries: None,
        model: None,
        task_time_limit: Duration::from_secs(1),
    }
}

fn work() -> (LeaseRef, Work) {
    let offer = crate::session::Offer::read(crate::session::tests::lease(1, &[0; 8])).unwrap();
    (offer.lease, offer.work_inline().unwrap().unwrap())
}

#[tokio::test]
async fn an_executable_that_is_none_is_a_failed_start() {
    for executable in ["/nonexistent/program", "/bin/false", "/bin/true"] {
        let (executor, mut events) = Executor::new(
            settings(executable),
            &World::real(attestation::gpu::GpuTrustAnchor::nvidia()),
        )
        .unwrap();
        executor.start();
        assert!(
            matches!(events.recv().await, Some(Event::RunnerStartFailed)),
            "{executable}"
        );
    }
}

/// It takes what it is told and never greets.
#[tokio::test]
async fn a_child_that_does_not_greet_can_be_killed() {
    let world = World::real(attestation::gpu::GpuTrustAnchor::nvidia());
    let folder = tempfile::tempdir().unwrap();
    let silent = folder.path().join("silent");
    std::fs::write(&silent, "#!/bin/sh\nexec /bin/sleep 600\n").unwrap();
    std::fs::set_permissions(&silent, Permissions::from_mode(0o700)).unwrap();
    let (executor, mut events) = Executor::new(settings(silent.to_str().unwrap()), &world).unwrap();
    executor.start();
    let killed = async {
        loop {
            executor.kill();
            let waited = tokio::time::timeout(Duration::from_millis(10), events.recv());
            if let Ok(event) = waited.await {
                return event;
            }
        }
    };
    let event = tokio::time::timeout(START_LIMIT / 2, killed).await.unwrap();
    assert!(matches!(event, Some(Event::RunnerStartFailed)));
}

#[tokio::test]
async fn works_without_a_child_come_back_untouched() {
    let (executor, mut events) = Executor::new(
        settings("/bin/false"),
        &World::real(attestation::gpu::GpuTrustAnchor::nvidia()),
    )
    .unwrap();
    executor.kill();
    executor.run(vec![work()]);
    assert!(matches!(
        events.recv().await,
        Some(Event::Answered {
            answer: Answer::NotRun,
            ..
        })
    ));
    assert!(matches!(
        events.recv().await,
        Some(Event::RunEnded { child_lost: true })
    ));
    executor.close();
    assert!(matches!(events.recv().await, Some(Event::RunnerClosed)));
}

#[test]
fn a_child_that_is_something_else_is_refused() {
    let digest = |text: &[u8]| Sha256Digest::of(text);
    let settings = ExecutorSettings {
        model: Some(ModelConfig {
            directory: "/model".into(),
            digest: digest(b"model"),
        }),
        ..settings("/bin/false")
    };
    let rightful = Identity {
        kind: ExecutorKind::Cpu,
        module_digest: digest(b"module"),
        model_digest: Some(digest(b"model")),
        in_order: false,
        device: None,
        libraries: Vec::new(),
    };
    compare(&rightful, &settings).unwrap();
    let refusal = |identity| compare(&identity, &settings).unwrap_err();
    let kind = ExecutorKind::Cuda;
    assert!(matches!(
        refusal(Identity {
            kind,
            ..rightful.clone()
        }),
        StartError::Kind { .. }
    ));
    let device = Some("GPU-1".to_owned());
    assert!(matches!(
        refusal(Identity {
            device,
            ..rightful.clone()
        }),
        StartError::Device { .. }
    ));
    let module_digest = digest(b"other");
    assert!(matches!(
        refusal(Identity {
            module_digest,
            ..rightful.clone()
        }),
        StartError::Module { .. }
    ));
    for model_digest in [None, Some(digest(b"other"))] {
        let error = refusal(Identity {
            model_digest,
            ..rightful.clone()
        });
        assert!(matches!(error, StartError::Model { seen, .. } if seen == model_digest));
    }
}
