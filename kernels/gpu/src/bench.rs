//! The benchmark: one table, each figure beside the limit that it can be read against, all from one run.

mod copies;
mod device_time;
mod embeddings;
mod executor;
mod launches;
mod torch_peer;

use std::time::Duration;

use anyhow::Result;
use comfy_table::Table;
use comfy_table::presets;
use kernels::executor::cuda::CudaExecutor;

use crate::device::Device;

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    what: String,
    shape: String,
    seen: String,
    beside: String,
    part: Option<f64>,
}

/// Rows as they come, and what later rows are compared with.
#[derive(Debug, Default)]
pub(crate) struct Rows(Vec<Row>);

impl Rows {
    /// `part` is this figure as a part of the one `beside` it.
    fn add(&mut self, what: &str, shape: &str, seen: String, beside: String, part: Option<f64>) {
        eprintln!("   {what} {shape}: {seen}");
        self.0.push(Row {
            what: what.to_owned(),
            shape: shape.to_owned(),
            seen,
            beside,
            part,
        });
    }
}

pub(crate) fn run(device: &Device, quick: bool) -> Result<()> {
    let mut rows = Rows::default();
    let torch = torch_peer::Torch::measure(device, quick);
    // The context of this executor is what the copies and launches below use too.
    let mut own = CudaExecutor::start(&device.uuid, None)?;
    let copy_bytes_per_s = copies::run(&mut rows, quick)?;
    let launch = launches::run(&mut rows, quick)?;
    device_time::memory_bound(&mut rows, &mut own, copy_bytes_per_s, &torch, quick)?;
    device_time::products(&mut rows, &mut own, &torch, quick)?;
    executor::in_process(&mut rows, &mut own, quick)?;
    // Its memory back, before a child asks for as much.
    drop(own);
    executor::run(&mut rows, device, launch, quick)?;
    embeddings::run(&mut rows, device, &torch, quick)?;
    println!("{}", table(&rows));
    println!("PyTorch: {torch}");
    Ok(())
}

fn table(rows: &Rows) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["what", "shape", "seen", "beside", "part"]);
    for row in &rows.0 {
        let part = row.part.map(|part| format!("{:.1} %", part * 100.0));
        table.add_row([
            row.what.clone(),
            row.shape.clone(),
            row.seen.clone(),
            row.beside.clone(),
            part.unwrap_or_default(),
        ]);
    }
    table
}

/// A count for a quotient. Counts here are far below 2^53, from which on binary64 skips numbers.
pub(crate) fn real(count: usize) -> f64 {
    let parts = u64::try_from(count).unwrap_or(u64::MAX);
    let (high, low) = (parts >> 32, parts & 0xffff_ffff);
    let real = |half: u64| f64::from(u32::try_from(half).unwrap_or(u32::MAX));
    real(high) * 4_294_967_296.0 + real(low)
}

fn rate(count: f64, time: Duration) -> f64 {
    count / time.as_secs_f64().max(f64::MIN_POSITIVE)
}

fn gigabytes(bytes_per_s: f64) -> String {
    format!("{:.1} GB/s", bytes_per_s / 1e9)
}

fn microseconds(time: Duration) -> String {
    format!("{:.2} us", time.as_secs_f64() * 1e6)
}

/// The middle one.
fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
