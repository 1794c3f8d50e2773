//! What the gateway counts of itself, from its metrics listener.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Far more than all metrics have.
const ANSWER_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Counters of the store's writer.
#[derive(Debug, Clone, Copy)]
pub(super) struct StoreCounts {
    /// Transactions, each with one flush.
    pub(super) commits: f64,
    /// What they carried.
    pub(super) operations: f64,
}

impl StoreCounts {
    pub(super) async fn read(listener: SocketAddr) -> Result<Self> {
        let text = scrape(listener).await?;
        Ok(Self {
            commits: sample(&text, "cocoon_gateway_store_commits_total")?,
            operations: sample(&text, "cocoon_gateway_store_operations_total")?,
        })
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self {
            commits: self.commits - before.commits,
            operations: self.operations - before.operations,
        }
    }
}

async fn scrape(listener: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(listener)
        .await
        .context("cannot reach the metrics listener")?;
    let request = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream
        .take(ANSWER_BYTES_MAX)
        .read_to_string(&mut text)
        .await?;
    ensure!(text.starts_with("HTTP/1.1 200"), "no metrics: {text}");
    Ok(text)
}

/// A sample without labels.
fn sample(text: &str, name: &str) -> Result<f64> {
    let mut values = text
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    let value = values.find_map(|value| value.trim().parse().ok());
    value.with_context(|| format!("the gateway has no metric {name}"))
}

#[cfg(test)]
mod tests {
    use super::sample;

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let text = "# HELP a_total x\na_total_more 3\na_total{x=\"y\"} 4\na_total 17\n";
        assert!((sample(text, "a_total").unwrap() - 17.0).abs() < f64::EPSILON);
        assert!(sample(text, "b_total").is_err());
    }
}
