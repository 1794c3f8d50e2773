//! The appraisal policy: what the operator demands of evidence. TOML, complete or refused.
//!
//! There is no default that accepts: a key that is missing is a mistake, as is one that nobody knows, and all
//! mistakes are reported at once with their paths. Where anything goes, the policy must say so: `"any"` instead of a list,
//! zeros in a mask. No policy can allow what the appraisal refuses in any case, such as a debuggable TD.
//!
//! ```toml
//! schema = 1
//!
//! [tcb]
//! statuses_allowed = ["UpToDate"]          # Intel's spelling; "Revoked" is never allowed
//! advisories_denied = ["INTEL-SA-00837"]
//! evaluation_data_number_min = 17
//! statuses_in_grace = ["OutOfDate"]        # allowed too, for so many days after Intel described a better level
//! grace_days = 30
//!
//! [collateral]
//! grace_hours = 0                          # for how long expired collateral still counts
//!
//! [td]
//! attributes_mask = "ffffffffffffffff"     # eight bytes as in the quote, bit 0 first
//! attributes_required = "0000001000000000"
//! xfam_mask = "ffffffffffffffff"
//! xfam_required = "e702060000000000"
//! mr_config_ids = ["00…"]                  # 48 bytes each
//! mr_owners = ["00…"]
//! mr_owner_configs = ["00…"]
//! rtmr3s = "replayed"                      # what the log says; or a list, zeros where nothing is extended and no log required
//! service_td = "absent"                    # the only value understood today
//!
//! [seam]
//! signers = ["00…"]                        # Intel's own module shows zeros
//! measurements = "any"                     # or a list; Intel's TCB info judges the module in either case
//!
//! [[platform_profiles]]                    # what the VM shape and firmware measure
//! name = "tdvf-2026.1, 8 vCPU"
//! mrtd = "…"
//! rtmr0 = "…"
//!
//! [[releases]]                             # what the boot image measures
//! name = "worker-0.1.0"
//! rtmr1 = "…"
//! rtmr2 = "…"
//!
//! [platforms]
//! enrolled = "any"                         # or a list of PPIDs, 16 bytes each
//! revoked = []
//!
//! [evidence]
//! event_log = "required"                   # or "not-required"
//! gpu = "if-claimed"                       # or "required" (of every worker), or "not-required"
//!
//! [gpu]                                    # there unless `evidence.gpu` is "not-required"
//! driver_version_min = "550.90.07"
//! driver_versions_denied = []
//! vbios_versions_min = { hopper = "96.00.9f.00.01" } # an architecture that is not here is refused
//! reference_measurements = "required"      # or "not-required"
//! ocsp = "required"                        # or "not-required": a stapled response for each certificate
//! ocsp_grace_hours = 0
//! enrolled = "any"                         # or a list of certificate serials
//! revoked = []
//! ```

mod gpu;
mod reader;
pub mod rules;
mod td;
mod toml_fault;
mod values;

use std::collections::BTreeSet;

use crate::{Measurement, TcbStatus, digest::sha256};
pub(crate) use gpu::GpuRules;
pub use gpu::OCSP_GRACE_HOURS_MAX;
use reader::{EMPTY, Reader, Table};
pub(crate) use td::{MaskedBits, Rtmr3Rule, TdRules};
pub use toml_fault::TomlFault;
use values::{advisory, bytes, measurements, name, status};

/// A policy is written by hand; a fleet's reference values fit many times over.
pub const POLICY_BYTES_MAX: usize = 1024 * 1024;
/// A grace longer than a month is no grace but a decision not to look.
pub const GRACE_HOURS_MAX: u32 = 24 * 30;
/// A platform that lacks an update for a year is not being updated.
pub const TCB_GRACE_DAYS_MAX: u32 = 366;
/// Names of profiles and releases are read in tables.
pub const NAME_BYTES_MAX: usize = 128;
const HOUR_S: u64 = 3600;
pub(crate) const DAY_S: u64 = 24 * HOUR_S;
/// The one version of this file's schema.
const SCHEMA: u32 = 1;

/// A complete appraisal policy. Keeps its text, so that a record of an appraisal holds the very rules it was made under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppraisalPolicy {
    text: String,
    pub(crate) tcb: TcbRules,
    pub(crate) collateral_grace_s: u64,
    pub(crate) td: TdRules,
    pub(crate) seam: SeamRules,
    pub(crate) platform_profiles: Vec<PlatformProfile>,
    pub(crate) releases: Vec<Release>,
    pub(crate) platforms: PlatformRules,
    pub(crate) event_log: Demand,
    pub(crate) gpu: GpuDemand,
}

/// Whether a kind of evidence must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    Required,
    NotRequired,
}

/// Of whom GPU evidence is demanded, and what of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GpuDemand {
    /// Of every worker.
    Required(GpuRules),
    /// Of a worker that claims GPUs, for each of them.
    IfClaimed(GpuRules),
    /// Of nobody; what comes is not appraised, and no GPU counts as attested.
    NotRequired,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TcbRules {
    pub(crate) statuses_allowed: BTreeSet<TcbStatus>,
    pub(crate) statuses_in_grace: BTreeSet<TcbStatus>,
    pub(crate) grace_s: u64,
    pub(crate) advisories_denied: BTreeSet<String>,
    pub(crate) evaluation_data_number_min: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeamRules {
    pub(crate) signers: BTreeSet<Measurement>,
    pub(crate) measurements: Allowed<Measurement>,
}

/// What a VM shape and its firmware measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlatformProfile {
    pub(crate) name: String,
    pub(crate) mrtd: Measurement,
    pub(crate) rtmr0: Measurement,
}

/// What a boot image measures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) name: String,
    pub(crate) rtmr1: Measurement,
    pub(crate) rtmr2: Measurement,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlatformRules {
    pub(crate) enrolled: Allowed<[u8; 16]>,
    pub(crate) revoked: BTreeSet<[u8; 16]>,
}

/// A list, or `"any"` spelled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Allowed<T> {
    Any,
    Listed(BTreeSet<T>),
}

impl<T: Ord> Allowed<T> {
    pub(crate) fn allows(&self, value: &T) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(values) => values.contains(value),
        }
    }
}

impl AppraisalPolicy {
    /// Parse a policy. Every mistake is reported.
    pub fn from_toml(text: &str) -> Result<Self, PolicyError> {
        if text.len() > POLICY_BYTES_MAX {
            return Err(PolicyError::TooLong(text.len()));
        }
        let table = text
            .parse::<toml::Table>()
            .map_err(|error| PolicyError::Toml(TomlFault::new(text, &error)))?;
        let mut reader = Reader::default();
        let policy = read(text, &mut reader, table);
        reader.finish(policy).map_err(PolicyError::Mistakes)
    }

    /// The text that it was parsed from.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// SHA-256 of the text.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(&[self.text.as_bytes()])
    }

    /// For how many seconds after its `nextUpdate` collateral still counts.
    #[must_use]
    pub const fn collateral_grace_s(&self) -> u64 {
        self.collateral_grace_s
    }
}

/// Read everything, also behind a mistake; `None` only where the reader has noted one.
fn read(text: &str, reader: &mut Reader, table: toml::Table) -> Option<AppraisalPolicy> {
    let mut root = Table::root(table);
    let schema = root.number(reader, "schema", SCHEMA..=SCHEMA);
    let tcb = root
        .table(reader, "tcb")
        .and_then(|table| read_tcb(reader, table));
    let grace_hours = root.table(reader, "collateral").and_then(|mut table| {
        let hours = table.number(reader, "grace_hours", 0..=GRACE_HOURS_MAX);
        table.close(reader);
        hours
    });
    let td = root
        .table(reader, "td")
        .and_then(|table| td::read(reader, table));
    let seam = root
        .table(reader, "seam")
        .and_then(|table| read_seam(reader, table));
    let profiles = root.tables(reader, "platform_profiles", read_profile);
    let releases = root.tables(reader, "releases", read_release);
    root.distinct(
        reader,
        "platform_profiles",
        profiles.as_deref(),
        |profile| (profile.mrtd, profile.rtmr0),
    );
    root.distinct(reader, "releases", releases.as_deref(), |release| {
        (release.rtmr1, release.rtmr2)
    });
    let platforms = root
        .table(reader, "platforms")
        .and_then(|table| read_platforms(reader, table));
    let evidence = root
        .table(reader, "evidence")
        .and_then(|table| read_evidence(reader, table));
    let gpu = gpu::read(reader, &mut root, evidence.map(|(_, gpu)| gpu));
    if let (Some(td), Some((event_log, _))) = (&td, evidence)
        && let Some(mistake) = td.rtmr3s.contradiction(event_log)
    {
        root.mistake(reader, "td.rtmr3s", mistake);
    }
    root.close(reader);
    schema?;
    Some(AppraisalPolicy {
        text: text.to_owned(),
        tcb: tcb?,
        collateral_grace_s: u64::from(grace_hours?).saturating_mul(HOUR_S),
        td: td?,
        seam: seam?,
        platform_profiles: profiles?,
        releases: releases?,
        platforms: platforms?,
        event_log: evidence?.0,
        gpu: gpu?,
    })
}

fn read_tcb(reader: &mut Reader, mut table: Table) -> Option<TcbRules> {
    let statuses_allowed = table.set(reader, "statuses_allowed", status);
    let advisories_denied = table.set(reader, "advisories_denied", advisory);
    let evaluation_data_number_min =
        table.number(reader, "evaluation_data_number_min", 0..=u32::MAX);
    let statuses_in_grace = table.set(reader, "statuses_in_grace", status);
    let grace_days = table.number(reader, "grace_days", 0..=TCB_GRACE_DAYS_MAX);
    if let (Some(allowed), Some(graced)) = (&statuses_allowed, &statuses_in_grace)
        && let Some(both) = allowed.intersection(graced).next()
    {
        table.mistake(
            reader,
            "statuses_in_grace",
            format!("`{both}` is allowed already, without an end"),
        );
    }
    if let (Some(allowed), Some(graced)) = (&statuses_allowed, &statuses_in_grace)
        && allowed.is_empty()
        && graced.is_empty()
    {
        table.mistake(reader, "statuses_allowed", EMPTY);
    }
    table.close(reader);
    Some(TcbRules {
        statuses_allowed: statuses_allowed?,
        statuses_in_grace: statuses_in_grace?,
        grace_s: u64::from(grace_days?).saturating_mul(DAY_S),
        advisories_denied: advisories_denied?,
        evaluation_data_number_min: evaluation_data_number_min?,
    })
}

fn read_seam(reader: &mut Reader, mut table: Table) -> Option<SeamRules> {
    let signers = table.list(reader, "signers", bytes::<48>);
    let modules = table.any_or_list(reader, "measurements", bytes::<48>);
    table.close(reader);
    let modules = match modules? {
        Allowed::Any => Allowed::Any,
        Allowed::Listed(values) => Allowed::Listed(measurements(values)),
    };
    Some(SeamRules {
        signers: measurements(signers?),
        measurements: modules,
    })
}

fn read_profile(reader: &mut Reader, mut table: Table) -> Option<PlatformProfile> {
    let name = table.value(reader, "name", name);
    let mrtd = table.value(reader, "mrtd", bytes::<48>);
    let rtmr0 = table.value(reader, "rtmr0", bytes::<48>);
    table.close(reader);
    Some(PlatformProfile {
        name: name?,
        mrtd: Measurement(mrtd?),
        rtmr0: Measurement(rtmr0?),
    })
}

fn read_release(reader: &mut Reader, mut table: Table) -> Option<Release> {
    let name = table.value(reader, "name", name);
    let rtmr1 = table.value(reader, "rtmr1", bytes::<48>);
    let rtmr2 = table.value(reader, "rtmr2", bytes::<48>);
    table.close(reader);
    Some(Release {
        name: name?,
        rtmr1: Measurement(rtmr1?),
        rtmr2: Measurement(rtmr2?),
    })
}

fn read_platforms(reader: &mut Reader, mut table: Table) -> Option<PlatformRules> {
    let enrolled = table.any_or_list(reader, "enrolled", bytes::<16>);
    let revoked = table.set(reader, "revoked", bytes::<16>);
    table.close(reader);
    Some(PlatformRules {
        enrolled: enrolled?,
        revoked: revoked?,
    })
}

/// What `evidence.gpu` says; the rules stand in a table of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GpuWord {
    Required,
    IfClaimed,
    NotRequired,
}

fn read_evidence(reader: &mut Reader, mut table: Table) -> Option<(Demand, GpuWord)> {
    let event_log = table.choice(reader, "event_log", &DEMANDS);
    let gpu = table.choice(
        reader,
        "gpu",
        &[
            ("required", GpuWord::Required),
            ("if-claimed", GpuWord::IfClaimed),
            ("not-required", GpuWord::NotRequired),
        ],
    );
    table.close(reader);
    event_log.zip(gpu)
}

/// The words for a demand.
const DEMANDS: [(&str, Demand); 2] = [
    ("required", Demand::Required),
    ("not-required", Demand::NotRequired),
];

/// Why a text is no appraisal policy.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Longer than any policy.
    #[error("a policy of {0} bytes exceeds {POLICY_BYTES_MAX}")]
    TooLong(usize),
    /// Not TOML.
    #[error("the appraisal policy is not TOML")]
    Toml(#[source] TomlFault),
    /// Every mistake, each with the path of its key.
    #[error("the appraisal policy has mistakes:\n  {}", .0.join("\n  "))]
    Mistakes(Vec<String>),
}

#[cfg(test)]
mod tests;
