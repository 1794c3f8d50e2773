//! What the GPUs say of themselves: reports over the connection's nonce, verified here before they are sent, and the ready
//! state that follows from it.
//!
//! NVML may hang for as long as a driver is in trouble, so a thread of its own asks it, one attestation at a time, and the
//! attestation waits no longer than its deadline.

mod collect;
mod error;
mod library;
pub mod ocsp;
mod ready;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use attestation::gpu::{DeviceReport, GpuVerifier, VerifiedGpu};
use attestation::{GpuClaim, LibraryClaim};
use nvml_wrapper::Nvml;
use tokio::sync::oneshot;
use tokio::time::timeout;

pub use error::GpuError;
use ocsp::Staples;

use crate::config::chain;
use crate::telemetry::Gpus;
use crate::world::World;

/// Eight GPUs answer within a few seconds; the gate gives the worker thirty for this, the quote and the network.
const ATTEST_LIMIT: Duration = Duration::from_secs(15);

/// Has the GPUs of this machine attest.
#[derive(Debug)]
pub struct GpuAttester {
    world: World,
    staples: Option<Arc<Staples>>,
    limit: Duration,
    /// Set while a thread asks NVML, which may be longer than anybody waits for it.
    asking: Arc<AtomicBool>,
}

/// The GPUs as one attestation shows them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttestedGpus {
    pub claims: Vec<GpuClaim>,
    pub libraries: Vec<LibraryClaim>,
    /// Empty where confidential computing is off: such GPUs make no reports. Whether they are admitted is for the
    /// gateway's appraisal policy to say.
    pub reports: Vec<DeviceReport>,
}

impl GpuAttester {
    /// With `staples`, evidence carries the OCSP responses that are at hand.
    #[must_use]
    pub fn new(world: &World, staples: Option<Arc<Staples>>) -> Self {
        Self {
            world: world.clone(),
            staples,
            limit: ATTEST_LIMIT,
            asking: Arc::default(),
        }
    }

    /// The same with another deadline.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// The GPUs' evidence over this nonce. When it comes, it verified here and the GPUs accept work; when it does not, they
    /// accept none, as far as NVML can still be told.
    pub async fn attest(&self, nonce: [u8; 32]) -> Result<AttestedGpus, GpuError> {
        let attested = self.answer(nonce).await;
        let mut attested = attested.inspect_err(|error| {
            tracing::error!(error = chain(error), "the GPUs give no evidence");
        })?;
        if let Some(staples) = &self.staples {
            let chains = attested
                .reports
                .iter()
                .map(|report| &report.certificates[..]);
            staples.want(chains);
            staples.settled().await;
            for report in &mut attested.reports {
                report.ocsp_responses = staples.responses(&report.certificates);
            }
        }
        Ok(attested)
    }

    async fn answer(&self, nonce: [u8; 32]) -> Result<AttestedGpus, GpuError> {
        let asking = Asking::begin(&self.asking).ok_or(GpuError::Busy)?;
        let (answer, answered) = oneshot::channel();
        let exchange = Exchange {
            library: self.world.nvml_library.clone(),
            verifier: GpuVerifier::new(self.world.gpu_anchor.clone()),
            staples: self.staples.clone(),
            nonce,
            now_s: self.world.unix_s(),
        };
        let thread = std::thread::Builder::new().name("gpu-evidence".to_owned());
        thread
            .spawn(move || {
                let attested = exchange.attest();
                drop(asking);
                // Whoever asked may have given up.
                let _ = answer.send(attested);
            })
            .map_err(GpuError::Thread)?;
        timeout(self.limit, answered)
            .await
            .map_err(|_| GpuError::Deadline(self.limit))?
            .map_err(|_| GpuError::Ended)?
    }
}

/// The one attestation that asks NVML.
struct Asking(Arc<AtomicBool>);

impl Asking {
    fn begin(asking: &Arc<AtomicBool>) -> Option<Self> {
        let free = !asking.swap(true, Ordering::SeqCst);
        free.then(|| Self(Arc::clone(asking)))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

/// One attestation, on a thread of its own.
struct Exchange {
    library: Option<PathBuf>,
    verifier: GpuVerifier,
    staples: Option<Arc<Staples>>,
    nonce: [u8; 32],
    now_s: u64,
}

impl Exchange {
    /// NVML is opened anew each time: a GPU may have come or gone, and a handle does not survive a reset.
    fn attest(self) -> Result<AttestedGpus, GpuError> {
        let gpus = Gpus::open(self.library.as_deref()).map_err(GpuError::Open)?;
        let attested = self.evidence(gpus.nvml(), gpus.seen());
        if attested.is_err() {
            ready::refuse_work(gpus.nvml());
        }
        attested
    }

    fn evidence(&self, nvml: &Nvml, seen: u32) -> Result<AttestedGpus, GpuError> {
        let claims = collect::claims(nvml, collect::count_within_limit(seen)?)?;
        let libraries = library::claims(nvml, self.library.clone());
        let reports = match collect::mode(nvml)? {
            None => {
                tracing::warn!(
                    "confidential computing is off: the GPUs are claimed without evidence"
                );
                Vec::new()
            }
            Some(mode) => {
                let reports = collect::reports(nvml, &claims, mode, self.nonce)?;
                ready::accept_work(nvml, &self.verify(&reports)?)?;
                reports
            }
        };
        Ok(AttestedGpus {
            claims,
            libraries,
            reports,
        })
    }

    /// What the worker can tell by itself: each report is signed over this nonce by a key whose chain ends in the root. The
    /// gateway's word is the one that counts.
    fn verify(&self, reports: &[DeviceReport]) -> Result<Vec<VerifiedGpu>, GpuError> {
        let verify = |report: &DeviceReport| {
            let uuid = report.uuid.clone();
            if self.is_revoked(report) {
                return Err(GpuError::Revoked { uuid });
            }
            let verified = self.verifier.verify(report, Some(&self.nonce), self.now_s);
            verified.map_err(|source| GpuError::Unverified { uuid, source })
        };
        reports.iter().map(verify).collect()
    }

    fn is_revoked(&self, report: &DeviceReport) -> bool {
        let staples = self.staples.as_ref();
        staples.is_some_and(|staples| staples.is_revoked(&report.certificates))
    }
}
