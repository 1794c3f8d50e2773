//! What a task demands of the worker that runs it, and what a worker is.
//!
//! Architecture and attestation are NVIDIA's word and the appraisal's; how much memory a GPU has is the worker's, whose code is
//! measured.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::digest::Sha256Digest;
use crate::limits::GPU_MEMORY_GIB_MAX;

const GIB: u64 = 1 << 30;

/// A family of GPUs, as NVIDIA-signed evidence names it.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum GpuArchitecture {
    /// Such as H100 and H200.
    Hopper,
    /// Such as B200.
    Blackwell,
}

impl GpuArchitecture {
    pub const ALL: [Self; 2] = [Self::Hopper, Self::Blackwell];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hopper => "hopper",
            Self::Blackwell => "blackwell",
        }
    }
}

impl fmt::Display for GpuArchitecture {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// A text that names no architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected hopper or blackwell")]
pub struct UnknownArchitecture;

impl std::str::FromStr for GpuArchitecture {
    type Err = UnknownArchitecture;

    fn from_str(text: &str) -> Result<Self, UnknownArchitecture> {
        let mut all = Self::ALL.into_iter();
        all.find(|architecture| architecture.as_str() == text)
            .ok_or(UnknownArchitecture)
    }
}

/// Demands on a worker. An absent member demands nothing; what is demanded of a GPU holds for each that the worker has, and
/// for one at least.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Requirements {
    /// One of these. Only a GPU whose evidence was accepted has one, so this implies `gpu_attested`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schema(max_items = 2)]
    pub gpu_architectures: BTreeSet<GpuArchitecture>,
    /// GiB of GPU memory at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 4096)]
    pub gpu_memory_gib_min: Option<u32>,
    /// A GPU in confidential mode, whose evidence NVIDIA signed and the pool accepted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub gpu_attested: bool,
    /// SHA-256 of the appraisal policy under which the worker was accepted, as `cocoon status` and the attestation record show
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub appraisal_policy: Option<Sha256Digest>,
}

// As the annotation above has it.
const _: () = assert!(GPU_MEMORY_GIB_MAX == 4_096);

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_false(value: &bool) -> bool {
    !value
}

/// What a worker is, as far as tasks may demand it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkerTraits {
    pub gpus: Vec<GpuTraits>,
    /// Of its last accepted appraisal.
    pub appraisal_policy: Option<Sha256Digest>,
}

/// One GPU.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GpuTraits {
    /// Of its accepted evidence; absent: it showed none.
    pub architecture: Option<GpuArchitecture>,
    pub memory_bytes: Option<u64>,
}

/// A demand that a worker does not meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unmet {
    Gpu,
    GpuAttested,
    GpuArchitecture,
    GpuMemory,
    AppraisalPolicy,
}

impl Requirements {
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    /// The first demand that this worker does not meet.
    #[must_use]
    pub fn unmet(&self, by: &WorkerTraits) -> Option<Unmet> {
        let demands_gpu = !self.gpu_architectures.is_empty()
            || self.gpu_memory_gib_min.is_some()
            || self.gpu_attested;
        if demands_gpu && by.gpus.is_empty() {
            return Some(Unmet::Gpu);
        }
        if let Some(unmet) = by.gpus.iter().find_map(|gpu| self.unmet_by_gpu(gpu)) {
            return Some(unmet);
        }
        match self.appraisal_policy {
            Some(policy) if by.appraisal_policy != Some(policy) => Some(Unmet::AppraisalPolicy),
            _ => None,
        }
    }

    fn unmet_by_gpu(&self, gpu: &GpuTraits) -> Option<Unmet> {
        let demands_evidence = self.gpu_attested || !self.gpu_architectures.is_empty();
        if demands_evidence && gpu.architecture.is_none() {
            return Some(Unmet::GpuAttested);
        }
        let is_of = |architecture| self.gpu_architectures.contains(&architecture);
        if !self.gpu_architectures.is_empty() && !gpu.architecture.is_some_and(is_of) {
            return Some(Unmet::GpuArchitecture);
        }
        let enough = u64::from(self.gpu_memory_gib_min?).saturating_mul(GIB);
        (gpu.memory_bytes.unwrap_or(0) < enough).then_some(Unmet::GpuMemory)
    }
}

/// In words, as in "a GPU of hopper with 80 GiB at least".
impl fmt::Display for Requirements {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut demands = Vec::new();
        if !self.gpu_architectures.is_empty() {
            let names: Vec<_> = self
                .gpu_architectures
                .iter()
                .map(|name| name.as_str())
                .collect();
            demands.push(format!("an attested GPU of {}", names.join(" or ")));
        } else if self.gpu_attested {
            demands.push("an attested GPU".to_owned());
        }
        if let Some(gib) = self.gpu_memory_gib_min {
            demands.push(format!("{gib} GiB of GPU memory"));
        }
        if let Some(policy) = self.appraisal_policy {
            demands.push(format!("acceptance under the appraisal policy {policy}"));
        }
        if demands.is_empty() {
            formatter.write_str("nothing")
        } else {
            formatter.write_str(&demands.join(" and "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hopper(gib: u64) -> WorkerTraits {
        WorkerTraits {
            gpus: vec![GpuTraits {
                architecture: Some(GpuArchitecture::Hopper),
                memory_bytes: Some(gib * GIB),
            }],
            appraisal_policy: Some(Sha256Digest::of(b"policy")),
        }
    }

    fn read(json: &str) -> Requirements {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn who_demands_nothing_takes_anybody() {
        assert!(read("{}").is_none());
        assert_eq!(read("{}").unmet(&WorkerTraits::default()), None);
        assert_eq!(
            serde_json::to_string(&Requirements::default()).unwrap(),
            "{}"
        );
    }

    #[test]
    fn each_demand_is_held() {
        let cpu = WorkerTraits::default();
        let mut unattested = hopper(80);
        unattested.gpus[0].architecture = None;
        let policy = format!(
            r#"{{"appraisal_policy":"{}"}}"#,
            Sha256Digest::of(b"policy")
        );
        let other = format!(r#"{{"appraisal_policy":"{}"}}"#, Sha256Digest::of(b"other"));
        for (json, by, unmet) in [
            (r#"{"gpu_attested":true}"#, &cpu, Some(Unmet::Gpu)),
            (r#"{"gpu_memory_gib_min":1}"#, &cpu, Some(Unmet::Gpu)),
            (
                r#"{"gpu_attested":true}"#,
                &unattested,
                Some(Unmet::GpuAttested),
            ),
            (
                r#"{"gpu_architectures":["hopper"]}"#,
                &unattested,
                Some(Unmet::GpuAttested),
            ),
            (r#"{"gpu_attested":true}"#, &hopper(80), None),
            (
                r#"{"gpu_architectures":["blackwell"]}"#,
                &hopper(80),
                Some(Unmet::GpuArchitecture),
            ),
            (
                r#"{"gpu_architectures":["hopper","blackwell"]}"#,
                &hopper(80),
                None,
            ),
            (
                r#"{"gpu_memory_gib_min":81}"#,
                &hopper(80),
                Some(Unmet::GpuMemory),
            ),
            (r#"{"gpu_memory_gib_min":80}"#, &unattested, None),
            (&policy, &hopper(80), None),
            (&other, &hopper(80), Some(Unmet::AppraisalPolicy)),
            (&policy, &cpu, Some(Unmet::AppraisalPolicy)),
        ] {
            assert_eq!(read(json).unmet(by), unmet, "{json}");
        }
    }

    #[test]
    fn every_gpu_of_a_worker_must_do() {
        let mut two = hopper(80);
        two.gpus.push(GpuTraits::default());
        let demand = read(r#"{"gpu_attested":true}"#);
        assert_eq!(demand.unmet(&two), Some(Unmet::GpuAttested));
    }

    #[test]
    fn one_text_for_one_demand() {
        let there = r#"{"gpu_architectures":["hopper","blackwell"],"gpu_memory_gib_min":80,"gpu_attested":true}"#;
        let back = r#"{"gpu_attested":true,"gpu_memory_gib_min":80,"gpu_architectures":["blackwell","hopper","hopper"]}"#;
        assert_eq!(serde_json::to_string(&read(back)).unwrap(), there);
        let words = "an attested GPU of hopper or blackwell and 80 GiB of GPU memory";
        assert_eq!(read(there).to_string(), words);
        assert!(serde_json::from_str::<Requirements>(r#"{"gpu":1}"#).is_err());
    }

    #[test]
    fn architectures_are_read_as_they_are_shown() {
        for architecture in GpuArchitecture::ALL {
            assert_eq!(architecture.as_str().parse(), Ok(architecture));
        }
        assert_eq!(
            "ampere".parse::<GpuArchitecture>(),
            Err(UnknownArchitecture)
        );
    }
}
