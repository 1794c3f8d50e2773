//! INSECURE, for tests and the devnet only, never shipped: forges TDX quotes, collateral and a whole PKI from a number.
//!
//! A fake forges the input; it never skips the check. Everything made here is signed under a root of its own, and the real
//! verifier accepts it only when a test hands it that root. Every certificate is named `SIMULATED - not Intel` or
//! `SIMULATED - not NVIDIA`, and anyone who knows the seed knows every private key.
//!
//! One seed is one hierarchy (root, PCK Platform CA, TCB signer) with up to 65,536 machines under it. Keys, serials, names,
//! dates, measurements and even signatures (RFC 6979) are functions of the seed, so that processes which share nothing but
//! the number agree on the root. Only collateral depends on the time it is made for.
//!
//! ```
//! use attestation::{Quote, TrustAnchor, Verifier};
//! use simulator::{CollateralOptions, QuoteVersion, SimulatedPlatform};
//!
//! let platform = SimulatedPlatform::from_seed(7);
//! let now_s = 1_790_000_000;
//! let quote = Quote::parse(&platform.quote(QuoteVersion::V4, &platform.td(), &[0x42; 64]))?;
//! let collateral = platform.collateral(&CollateralOptions::at(now_s));
//! assert!(Verifier::new(platform.trust_anchor()).verify(&quote, &collateral, now_s).is_ok());
//! assert!(Verifier::new(TrustAnchor::intel()).verify(&quote, &collateral, now_s).is_err());
//! # Ok::<(), attestation::QuoteError>(())
//! ```
#![forbid(unsafe_code)]

pub mod attester;
pub mod broker;
mod collateral;
mod event_log;
pub mod gpu;
mod keys;
mod listening;
pub mod pcs;
mod pki;
mod policy;
mod quote;
mod sgx_extension;
mod worker;

pub use collateral::{CollateralOptions, CollateralSigner, FMSPC, LEVEL_DATE_S, PCE_ID};
pub use policy::MACHINES_ENROLLED_COUNT;
pub use quote::{QuoteVersion, TdOptions};
pub use worker::OneWorker;

use attestation::{Collateral, EventLog, TrustAnchor, gpu::GpuTrustAnchor};
use keys::{Seed, SeededKey};
use pki::{Authority, Pki};
use sgx_extension::PckFacts;

/// CPU security versions of every simulated machine, copied from no machine in particular.
const CPU_SVN: [u8; 16] = [3, 3, 2, 2, 4, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0];

const PCE_SVN: u16 = 11;

/// x87, SSE, AVX, AVX-512, PKRU and AMX: what a TD on a current server is given.
const XFAM: [u8; 8] = [0xe7, 0x02, 0x06, 0, 0, 0, 0, 0];

/// One machine of a simulated hierarchy.
#[derive(Debug)]
pub struct SimulatedPlatform {
    seed: Seed,
    pki: Pki,
    pck: Authority,
    facts: PckFacts,
    attestation_key: SeededKey,
    qe_mr_signer: [u8; 32],
    qe_mr_enclave: [u8; 32],
    is_qe_debuggable: bool,
}

impl SimulatedPlatform {
    /// The first machine of this seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self::machine(seed, 0)
    }

    /// One of this seed's machines: the same root and measurements as its sisters, a PPID and keys of its own.
    #[must_use]
    pub fn machine(seed: u64, machine: u16) -> Self {
        let seed = Seed(seed);
        let pki = Pki::new(seed);
        let facts = PckFacts {
            ppid: seed.ppid(machine),
            cpu_svn: CPU_SVN,
            pce_svn: PCE_SVN,
            pce_id: PCE_ID,
            fmspc: FMSPC,
            platform_instance_id: seed.bytes(&format!("platform instance {machine}")),
        };
        Self {
            pck: pki.pck(seed, machine, &facts),
            attestation_key: seed.key(&format!("attestation {machine}")),
            qe_mr_signer: seed.bytes("QE signer"),
            qe_mr_enclave: seed.bytes("QE enclave"),
            is_qe_debuggable: false,
            seed,
            pki,
            facts,
        }
    }

    /// The same machine with a PCK certificate that is valid from one time to another, in seconds since the epoch.
    #[must_use]
    pub fn with_pck_validity(mut self, from_s: u64, to_s: u64) -> Self {
        self.pck = self.pki.with_validity(&self.pck, from_s, to_s);
        self
    }

    /// The same machine with a quoting enclave in debug mode.
    #[must_use]
    pub fn with_debuggable_qe(mut self) -> Self {
        self.is_qe_debuggable = true;
        self
    }

    /// The root certificate, a function of the seed alone.
    #[must_use]
    pub fn root_der(&self) -> &[u8] {
        &self.pki.root.der
    }

    /// The root as a trust anchor, whose label says that it is not Intel's.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the simulator is what other roots exist for; nothing that ships depends on it"
    )]
    pub fn trust_anchor(&self) -> TrustAnchor {
        match TrustAnchor::from_der(self.root_der()) {
            Ok(anchor) => anchor,
            Err(error) => unreachable!("the forged root is a CA certificate: {error}"),
        }
    }

    /// The root of the simulated GPUs of this seed, whose label says that it is not NVIDIA's.
    #[must_use]
    pub fn gpu_trust_anchor(&self) -> GpuTrustAnchor {
        gpu::simulated_gpu_anchor(self.seed.0)
    }

    /// The platform's identity as its PCK certificate states it.
    #[must_use]
    pub fn ppid(&self) -> [u8; 16] {
        self.facts.ppid
    }

    /// The TD that [`SimulatedPlatform::policy_toml`] admits.
    #[must_use]
    pub fn td(&self) -> TdOptions {
        TdOptions {
            debug: false,
            migratable: false,
            sept_ve_disable: true,
            attributes_more: 0,
            xfam: XFAM,
            tee_tcb_svn2: quote::TEE_TCB_SVN,
            mr_seam: self.seed.bytes("MRSEAM"),
            mrtd: self.seed.bytes("MRTD"),
            rtmrs: event_log::rtmrs(self.seed),
            mr_config_id: [0; 48],
            mr_owner: [0; 48],
            mr_owner_config: [0; 48],
            mr_service_td: [0; 48],
        }
    }

    /// The event log that replays to the registers of [`SimulatedPlatform::td`], closed.
    #[must_use]
    pub fn event_log(&self) -> EventLog {
        event_log::event_log(self.seed)
    }

    /// The log area from which its firmware's part was read, as Linux shows it: 64 KiB, padded.
    #[must_use]
    pub fn ccel_area(&self) -> Vec<u8> {
        event_log::ccel_area(self.seed)
    }

    /// A TDX quote of `td` over `report_data`, signed as a quoting enclave of this machine would.
    #[must_use]
    pub fn quote(&self, version: QuoteVersion, td: &TdOptions, report_data: &[u8; 64]) -> Vec<u8> {
        quote::tdx(self, version, td, report_data)
    }

    /// An SGX quote (version 3) over `report_data`: well signed, and never admissible to the pool.
    #[must_use]
    pub fn sgx_quote(&self, report_data: &[u8; 64]) -> Vec<u8> {
        quote::sgx(self, report_data)
    }

    /// Collateral for this machine's quotes.
    #[must_use]
    pub fn collateral(&self, options: &CollateralOptions) -> Collateral {
        match Collateral::from_json(self.collateral_json(options).as_bytes()) {
            Ok(collateral) => collateral,
            Err(error) => unreachable!("forged collateral always parses: {error}"),
        }
    }

    /// The same collateral as the JSON that clients of Intel's caching service write.
    #[must_use]
    pub fn collateral_json(&self, options: &CollateralOptions) -> String {
        collateral::encode(self, options)
    }

    /// The same collateral as the parts of which Intel's service makes its answers.
    #[must_use]
    pub fn pcs_parts(&self, options: &CollateralOptions) -> pcs::PcsParts {
        match pcs::PcsParts::of_json(&self.collateral_json(options)) {
            Some(parts) => parts,
            None => unreachable!("forged collateral always has its parts"),
        }
    }

    /// The TCB signer's signature over a statement of the collateral that a test has written or changed.
    #[must_use]
    pub fn sign_statement(&self, statement: &str) -> Vec<u8> {
        self.pki.tcb_signer.key.sign_fixed(statement.as_bytes())
    }

    /// The appraisal policy (TOML) that admits [`SimulatedPlatform::td`] on the first [`MACHINES_ENROLLED_COUNT`] machines
    /// of this seed, with up-to-date collateral, and nothing laxer.
    #[must_use]
    pub fn policy_toml(&self) -> String {
        policy::encode(self)
    }
}
