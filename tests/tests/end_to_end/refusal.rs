//! Who is not let in, and what the operator sees of it.

use protocol::api::WorkerState;
use simulator::TdOptions;
use tests::fleet::{START_LIMIT, wait_until_async};

use crate::pool::Pool;

/// Starts a worker whose TD is not what the policy admits and gives the refusal's code as the operator sees it.
async fn refusal_of(change: impl FnOnce(&mut TdOptions)) -> String {
    let mut pool = Pool::start(0).await;
    let mut td = pool.fleet.platform().td();
    change(&mut td);
    let id = pool.fleet.add_worker_in("intruder", td).await.unwrap();
    let operator = pool.fleet.operator().unwrap();
    let mut refusal = None;
    wait_until_async(START_LIMIT, "the refusal to be on record", async || {
        let view = operator.worker(&id).await?;
        assert_eq!(view.state, WorkerState::Offline);
        refusal = view.refusal;
        Ok(refusal.is_some())
    })
    .await
    .unwrap();
    // The worker learns the code, says so, and keeps trying at its slow pace.
    let code = refusal.unwrap().code;
    let process = pool.fleet.worker(&id).unwrap();
    process.wait_for_log(&code, START_LIMIT).unwrap();
    process.expect_alive().unwrap();
    code
}

#[tokio::test(flavor = "multi_thread")]
async fn a_debuggable_td_is_refused() {
    let code = refusal_of(|td| td.debug = true).await;
    assert_eq!(code, attestation::ErrorCode::TdDebuggable.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_image_is_refused() {
    let code = refusal_of(|td| td.mrtd = [0xEE; 48]).await;
    assert!(code.starts_with("E5"), "{code}");
}
