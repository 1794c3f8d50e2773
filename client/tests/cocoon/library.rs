//! The library as other programs use it: a handle, prepared tasks, batches, and futures that may move between threads.

use client::gateway::{
    Address, GatewayError, Options, Retries, Sight, TaskFilter, Upload, UploadSource,
};
use client::task::{Input, PreparedTask, Unobserved};
use client::tls::Roots;
use client::{AccessToken, Exit, Gateway};
use protocol::api::{BatchOutcome, InputSource, SubmitTask};
use protocol::task::{InputDescriptor, TaskState};
use serde_json::Map;

use crate::fake::{Fake, Mischief};
use crate::support::ACCESS_TOKEN;

fn gateway(fake: &Fake) -> Gateway {
    Gateway::new(Options {
        address: Address::parse(&fake.server.url()).unwrap(),
        access_token: Some(AccessToken::parse(ACCESS_TOKEN).unwrap()),
        roots: Roots::Only {
            pem: std::fs::read(fake.server.ca_file()).unwrap(),
        },
        retries: Retries { count_max: 1 },
    })
    .unwrap()
}

fn prepared() -> PreparedTask {
    PreparedTask::new(
        "sha256_batch",
        None,
        Map::new(),
        vec![Input::from_bytes("a", "abc")],
    )
    .unwrap()
}

fn task(data: &[u8]) -> SubmitTask {
    SubmitTask {
        operation: "sha256_batch".to_owned(),
        version: Some(1),
        parameters: Map::new(),
        inputs: vec![InputSource::Inline {
            data: data.to_vec(),
        }],
        priority: None,
        deadline_s: None,
        max_attempts: None,
        idempotency_key: None,
        requirements: protocol::requirements::Requirements::default(),
    }
}

#[tokio::test]
async fn a_prepared_task_runs_to_its_output() {
    let fake = Fake::honest();
    let gateway = gateway(&fake);
    let queued = prepared().submit(&gateway, &mut Unobserved).await.unwrap();
    let mut seen = Vec::new();
    let finished = gateway
        .wait_task(queued.id, |task| seen.push(task.state))
        .await
        .unwrap();
    assert_eq!(
        (finished.state, seen),
        (TaskState::Succeeded, vec![TaskState::Succeeded])
    );
    let mut sink = tokio::fs::File::from_std(tempfile::tempfile().unwrap());
    gateway
        .download(queued.id, finished.output.unwrap(), &mut sink, |_| ())
        .await
        .unwrap();
    let listed = gateway.tasks(&TaskFilter::default()).await.unwrap();
    assert_eq!(listed.tasks, [finished]);
}

#[tokio::test]
async fn futures_may_move_between_threads() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let fake = Fake::honest();
    let gateway = gateway(&fake);
    let queued = is_send(prepared().submit(&gateway, &mut Unobserved))
        .await
        .unwrap();
    let finished = is_send(gateway.wait_task(queued.id, |_| ())).await.unwrap();
    let mut sink = tokio::fs::File::from_std(tempfile::tempfile().unwrap());
    let download = gateway.download(queued.id, finished.output.unwrap(), &mut sink, |_| ());
    is_send(download).await.unwrap();
}

#[tokio::test]
async fn a_batch_has_an_outcome_for_each_task() {
    let fake = Fake::honest();
    let gateway = gateway(&fake);
    let mut wrong = task(b"b");
    wrong.operation = "nothing".to_owned();
    let mut tasks = [task(b"a"), wrong];
    tasks[0].idempotency_key = Some("first".parse().unwrap());
    let outcomes = gateway.submit_batch(&tasks).await.unwrap();
    assert!(matches!(
        outcomes.as_slice(),
        [BatchOutcome::Task(_), BatchOutcome::Problem(_)]
    ));
}

/// A submission without a key may have arrived when its answer was lost: it is not made twice.
#[tokio::test]
async fn only_what_may_be_repeated_is_repeated() {
    let fake = Fake::with(Mischief::Status(502));
    let gateway = gateway(&fake);
    let error = gateway.submit(&task(b"a")).await.unwrap_err();
    assert!(matches!(error, GatewayError::BadAnswer { .. }));
    assert_eq!(fake.requests().len(), 1);
    let mut keyed = task(b"a");
    keyed.idempotency_key = Some("key".parse().unwrap());
    gateway.submit(&keyed).await.unwrap_err();
    assert_eq!(fake.requests().len(), 3);
}

#[tokio::test]
async fn an_input_that_changed_after_it_was_digested_is_refused() {
    let fake = Fake::honest();
    let gateway = gateway(&fake);
    let upload = Upload {
        source: UploadSource::Bytes("after".into()),
        content: InputDescriptor {
            bytes: 5,
            ..InputDescriptor::of(b"before")
        },
    };
    let error = gateway.upload(upload, |_| ()).await.unwrap_err();
    assert_eq!(error.exit(), Exit::Error);
    assert!(
        error
            .remedy()
            .unwrap()
            .contains("leave the input files alone")
    );
}

#[tokio::test]
async fn a_watch_is_told_of_an_outage_and_of_its_end() {
    let fake = Fake::honest();
    let gateway = gateway(&fake);
    let queued = prepared().submit(&gateway, &mut Unobserved).await.unwrap();
    fake.turns(Mischief::Overloaded { times: 2 });
    let mut seen = Vec::new();
    let watch = gateway.watch_task(queued.id, 1, |sight| {
        seen.push(match sight {
            Sight::Task(task) => Some(task.state),
            Sight::Lost(_) => None,
        });
    });
    watch.await.unwrap();
    assert_eq!(seen, [None, Some(TaskState::Succeeded)]);
}
