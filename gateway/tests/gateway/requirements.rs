//! What a task demands of its worker: held against evidence, and said to whoever asks why it waits.

use gateway::world::{Clock, SystemClock};
use serde_json::{Value, json};
use simulator::gpu::{GpuOptions, SimulatedGpu};

use crate::pool::{Pool, SEED, hash_task};
use crate::references::{self, RULES};
use crate::worker::{TestAttester, Worker, admitted, connect};

/// A worker whose GPU showed evidence.
async fn with_gpu(pool: &Pool, id: &str) -> Worker {
    let secret = pool.enrol(id).await;
    let now_s = SystemClock::start().now_us() / 1_000_000;
    let gpu = SimulatedGpu::new(SEED, 0);
    let attester = TestAttester {
        gpu: Some(Box::new((gpu, GpuOptions::at(now_s)))),
        ..TestAttester::new(pool, id, &secret)
    };
    connect(pool, attester).await.unwrap()
}

fn demanding(input: &[u8], requirements: &Value) -> Value {
    let mut task = hash_task(input);
    task["requirements"] = requirements.clone();
    task
}

#[tokio::test]
async fn a_task_goes_to_a_worker_that_is_what_it_demands_and_holds_up_nobody() {
    let pool = references::pool().await;
    let policy = pool.platform.policy_toml();
    let policy = policy.replace("gpu = \"not-required\"\n", RULES);
    pool.reload_policy(&policy).await;
    let alice = pool.https(&pool.client("alice").await);
    let (cpu, gpu) = (
        admitted(&pool, "worker-1").await,
        with_gpu(&pool, "worker-2").await,
    );
    let hopper = json!({ "gpu_architectures": ["hopper"] });
    let task = alice.post("/v1/tasks", &demanding(b"abc", &hopper)).await;
    assert_eq!(task.status, 201, "{task:?}");
    assert_eq!(task.json()["requirements"], hopper);
    let anywhere = crate::pool::submit(&alice, b"abc").await;
    // The demand came first, and is no reason for a worker without a GPU to go without.
    let leases = cpu.lease(10, 0).await;
    assert_eq!(leases.len(), 1);
    assert_eq!(leases[0].task.to_string(), anywhere);
    let id = task.json()["id"].as_str().unwrap().to_owned();
    let path = format!("/v1/tasks/{id}/explanation");
    let explanation = alice.get(&path).await.json();
    assert_eq!(explanation["reasons"][0]["code"], "requirements-unmet");
    let leases = gpu.lease(10, 0).await;
    assert_eq!(leases.len(), 1);
    assert_eq!(leases[0].task.to_string(), id);
}

#[tokio::test]
async fn a_worker_appraised_under_another_policy_gets_nothing_that_demands_one() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    let worker = admitted(&pool, "worker-1").await;
    let session = pool.operator().get("/v1/workers/worker-1").await.json();
    let policy = session["session"]["appraisal_policy_sha256"].clone();
    let mut ids = Vec::new();
    for policy in [json!("00".repeat(32)), policy] {
        let demand = json!({ "appraisal_policy": policy });
        let task = alice.post("/v1/tasks", &demanding(b"abc", &demand)).await;
        ids.push(task.json()["id"].as_str().unwrap().to_owned());
    }
    let leases = worker.lease(10, 0).await;
    assert_eq!(leases.len(), 1);
    assert_eq!(leases[0].task.to_string(), ids[1]);
}

#[tokio::test]
async fn demands_that_nobody_understands_are_refused() {
    let pool = Pool::start().await;
    let alice = pool.https(&pool.client("alice").await);
    for (demand, status, field) in [
        (
            json!({ "gpu_memory_gib_min": 0 }),
            413,
            json!("requirements.gpu_memory_gib_min"),
        ),
        (json!({ "gpu_architectures": ["ampere"] }), 400, Value::Null),
        (json!({ "memory": 1 }), 400, Value::Null),
    ] {
        let refused = alice.post("/v1/tasks", &demanding(b"abc", &demand)).await;
        assert_eq!(refused.status, status, "{refused:?}");
        assert_eq!(refused.json()["field"], field);
    }
}
