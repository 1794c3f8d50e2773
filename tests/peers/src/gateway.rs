//! Our own line: the load generator, with the same numbers of everything.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::awaited::Latency;
use crate::work::{Plan, Row};

pub async fn run(plan: &Plan, load: &Path, folder: &Path) -> Result<Row> {
    let mut command = Command::new(load);
    command.arg(if plan.rate.is_some() {
        "latency"
    } else {
        "throughput"
    });
    command.arg("--json");
    let mut option = |name: &str, value: u64| {
        command.arg(name).arg(value.to_string());
    };
    if let Some(rate) = plan.rate {
        option("--rate", rate.into());
        option("--seconds", plan.seconds.into());
    } else {
        option("--tasks", plan.tasks.into());
        option("--batch", plan.batch.into());
        option("--lease", plan.prefetch.into());
        option("--window", plan.window.into());
    }
    option("--workers", plan.consumers.into());
    option("--connections", plan.producers.into());
    let output = command.arg("--folder").arg(folder).output().await;
    let output = output.with_context(|| format!("cannot start {}", load.display()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "the load generator failed: {errors}"
    );
    let figures: Value = serde_json::from_slice(&output.stdout)?;
    let figure = |name: &str| {
        figures[name]
            .as_f64()
            .with_context(|| format!("the load generator prints no {name}"))
    };
    let latency = match plan.rate {
        Some(_) => Some(Latency {
            p50_ms: figure("confirmed_p50_ms")?,
            p99_ms: figure("confirmed_p99_ms")?,
        }),
        None => None,
    };
    Ok(Row {
        name: "Cocoon gateway".to_owned(),
        per_second: match plan.rate {
            Some(rate) => rate.into(),
            None => figure("tasks_per_second")?,
        },
        server_cpu_us: figure("gateway_cpu_us_per_task")?,
        client_cpu_us: figure("generator_cpu_us_per_task")?,
        latency,
        flushes: Some(figure("flushes_per_task")?),
        how: "HTTPS and attested TLS; tasks, outputs and signed receipts are on disk".to_owned(),
    })
}
