//! A stand-in for the GPUs behind NVML: reports and certificate chains of [`SimulatedGpu`]s, over a Unix socket that the fake
//! NVML of `kernels/fakes` asks.
//!
//! ```text
//! request   u8 what: 1 a report, 2 a certificate chain ‖ u32 big-endian index of the GPU ‖ 32 bytes of nonce
//! response  u32 big-endian length ‖ the report (SPDM request ‖ response), or the chain in PEM, leaf first
//! ```
//!
//! One request a connection. A GPU that is not there is answered with no byte.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use attestation::gpu::DeviceReport;
use base64::{Engine, prelude::BASE64_STANDARD};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::{
    gpu::{GpuOptions, SimulatedGpu},
    listening::serve_each,
};

const REQUEST_BYTES: usize = 1 + 4 + 32;
const REPORT: u8 = 1;
const CHAIN: u8 = 2;
/// The library asks at once; it is on the same machine.
const REQUEST_TIMEOUT_S: u64 = 10;
/// RFC 7468, section 2.
const PEM_LINE_BYTES: usize = 64;

/// The GPUs of one machine, in the order in which NVML lists them.
#[derive(Debug)]
pub struct Rack {
    gpus: Vec<SimulatedGpu>,
    options: Mutex<GpuOptions>,
}

impl Rack {
    /// The first `count` GPUs of this seed.
    #[must_use]
    pub fn new(seed: u64, count: u16, options: GpuOptions) -> Self {
        Self {
            gpus: (0..count)
                .map(|index| SimulatedGpu::new(seed, index))
                .collect(),
            options: Mutex::new(options),
        }
    }

    /// What the GPUs say from now on.
    pub fn set(&self, options: GpuOptions) {
        *self.options.lock().unwrap_or_else(PoisonError::into_inner) = options;
    }

    /// What the GPU would show for this nonce.
    #[must_use]
    pub fn report(&self, index: usize, nonce: &[u8; 32]) -> Option<DeviceReport> {
        let options = self.options.lock().unwrap_or_else(PoisonError::into_inner);
        let gpu = self.gpus.get(index)?;
        Some(gpu.report(nonce, &options))
    }

    fn answer(&self, request: [u8; REQUEST_BYTES]) -> Option<Vec<u8>> {
        let (what, rest) = request.split_first()?;
        let (index, nonce) = rest.split_first_chunk()?;
        let index = usize::try_from(u32::from_be_bytes(*index)).ok()?;
        let shown = self.report(index, nonce.try_into().ok()?)?;
        match *what {
            REPORT => Some(shown.report),
            CHAIN => Some(pem(&shown.certificates).into_bytes()),
            _ => None,
        }
    }
}

/// Answers for the GPUs of `rack` on `listener` until `shutdown` is cancelled.
pub async fn serve(listener: UnixListener, rack: Arc<Rack>, shutdown: CancellationToken) {
    serve_each(listener, shutdown, |stream| {
        let rack = Arc::clone(&rack);
        async move {
            let answered = timeout(
                Duration::from_secs(REQUEST_TIMEOUT_S),
                converse(stream, rack),
            );
            match answered.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => debug!(%error, "a caller of the simulated GPUs failed"),
                Err(_) => debug!("a caller of the simulated GPUs was too slow"),
            }
        }
    })
    .await;
}

async fn converse(mut stream: UnixStream, rack: Arc<Rack>) -> io::Result<()> {
    let mut request = [0; REQUEST_BYTES];
    stream.read_exact(&mut request).await?;
    // Signatures over P-384 take their time in a debug build.
    let answer = tokio::task::spawn_blocking(move || rack.answer(request)).await?;
    let answer = answer.unwrap_or_default();
    let length = u32::try_from(answer.len()).unwrap_or_default();
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(&answer).await
}

fn pem(certificates: &[Vec<u8>]) -> String {
    certificates.iter().fold(String::new(), |text, der| {
        let base64 = BASE64_STANDARD.encode(der);
        let lines = base64.as_bytes().chunks(PEM_LINE_BYTES);
        let body = lines.fold(String::new(), |body, line| {
            body + &String::from_utf8_lossy(line) + "\n"
        });
        text + "-----BEGIN CERTIFICATE-----\n" + &body + "-----END CERTIFICATE-----\n"
    })
}
