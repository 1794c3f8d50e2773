//! Offline bundles: evidence with everything that a verdict on it is reached from, as one JSON file.
//!
//! Whose word what is: quote and GPU reports are the platform's, signed under the trust anchors; collateral is Intel's and
//! manifests are NVIDIA's, signed too. Policy and time are the bundle's author's. So is the connection: a forger can name any, but not one that the quote's report data
//! covers. Nothing in a bundle is believed before an audit.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use attestation::{
    AppraisalPolicy, AttestationRecord, Binding, Collateral, Evidence, ReportData, Transcript,
    evidence, gpu::GpuReferences,
};
use serde::{Deserialize, Serialize};

use crate::{
    World,
    answer::Answer,
    arguments::BundleCreate,
    output::{Document, Section},
    verifiers::Verifiers,
    verify,
};

/// The shape of this version.
pub(crate) const SCHEMA: &str = "cocoon-attest/bundle/1";

/// A bundle. What an attestation record holds is one kind of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bundle {
    schema: String,
    /// When it is to be verified, in seconds since the Unix epoch.
    pub(crate) time_s: u64,
    pub(crate) subject: Subject,
    /// The appraisal policy's text.
    policy: String,
    pub(crate) collateral: Collateral,
    /// NVIDIA's manifests that the measurements of GPUs are compared with, by identifier.
    #[serde(default, skip_serializing_if = "GpuReferences::is_empty")]
    references: GpuReferences,
}

/// What a verdict is wanted on.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Subject {
    /// A quote alone, and what its report data must be where that is known.
    Quote {
        #[serde(with = "hex::serde")]
        bytes: Vec<u8>,
        report_data: Option<ReportData>,
    },
    /// A worker's collection, and its connection where that is known.
    Evidence {
        #[serde(with = "evidence::hexadecimal")]
        collection: Evidence,
        binding: Option<Binding>,
    },
}

impl From<&AttestationRecord> for Bundle {
    fn from(record: &AttestationRecord) -> Self {
        let subject = Subject::Evidence {
            collection: record.evidence().clone(),
            binding: Some(record.binding().clone()),
        };
        Self {
            schema: SCHEMA.to_owned(),
            time_s: record.time_s(),
            subject,
            policy: record.policy_text().to_owned(),
            collateral: record.collateral().clone(),
            references: record.references().clone(),
        }
    }
}

impl Bundle {
    pub(crate) fn new(
        subject: Subject,
        policy: &AppraisalPolicy,
        collateral: Collateral,
        time_s: u64,
    ) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            time_s,
            subject,
            policy: policy.text().to_owned(),
            collateral,
            references: GpuReferences::default(),
        }
    }

    pub(crate) fn with_policy(self, policy: &AppraisalPolicy) -> Self {
        Self {
            policy: policy.text().to_owned(),
            ..self
        }
    }

    pub(crate) fn with_references(self, references: GpuReferences) -> Self {
        Self { references, ..self }
    }

    /// Reads a bundle, or an attestation record as one.
    pub(crate) fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let value: serde_json::Value = serde_json::from_slice(bytes).context("it is not JSON")?;
        if value.get("transcript").is_some() {
            let record: AttestationRecord =
                serde_json::from_slice(bytes).context("it is no attestation record")?;
            return Ok(Self::from(&record));
        }
        let bundle: Self = serde_json::from_slice(bytes).context("it is no bundle")?;
        ensure!(
            bundle.schema == SCHEMA,
            "its schema is {:?}; this release reads {SCHEMA}",
            bundle.schema
        );
        Ok(bundle)
    }

    /// The policy that it brings.
    pub(crate) fn own_policy(&self) -> anyhow::Result<AppraisalPolicy> {
        AppraisalPolicy::from_toml(&self.policy)
            .context("its own policy cannot be read; name another with --policy")
    }

    /// The collection, where it is one.
    pub(crate) const fn evidence(&self) -> Option<&Evidence> {
        match &self.subject {
            Subject::Evidence { collection, .. } => Some(collection),
            Subject::Quote { .. } => None,
        }
    }

    /// The report data that the quote must carry, where that is known.
    pub(crate) fn attestation_id(&self) -> Option<ReportData> {
        match &self.subject {
            Subject::Quote { report_data, .. } => *report_data,
            Subject::Evidence {
                collection,
                binding,
            } => {
                let devices = collection.device_evidence_bytes();
                let preimage = |binding: &Binding| binding.preimage(devices, &collection.claims);
                Some(preimage(binding.as_ref()?).report_data())
            }
        }
    }

    /// The verdict under a policy, at a time.
    pub(crate) fn audit(
        &self,
        verifiers: &Verifiers,
        policy: &AppraisalPolicy,
        now_s: u64,
    ) -> Transcript {
        let references = verifiers.references(&self.references);
        let appraiser = verifiers.appraiser(policy, &self.collateral, &references);
        match &self.subject {
            Subject::Quote { bytes, report_data } => {
                appraiser.audit_quote(bytes, *report_data, now_s)
            }
            Subject::Evidence {
                collection,
                binding: Some(binding),
            } => appraiser.audit(collection, binding, now_s),
            Subject::Evidence {
                collection,
                binding: None,
            } => appraiser.audit_unbound(collection, now_s),
        }
    }
}

pub(crate) fn create(arguments: &BundleCreate, world: &mut World<'_>) -> anyhow::Result<Answer> {
    let bundle = verify::bundle(&arguments.given, world)?;
    // A bundle that nobody can read again is none.
    bundle.own_policy()?;
    let text = format!("{}\n", serde_json::to_string_pretty(&bundle)?);
    let output = arguments.output.as_path();
    if output == Path::new("-") {
        return Ok(Answer::Script(text));
    }
    write_new(output, &text)?;
    let name = output.display().to_string();
    let section = Section::new("bundle")
        .field("file", name.clone())
        .field("length_bytes", text.len());
    Ok(Answer::Written(
        Document::new("cocoon-attest/bundle-create/1", vec![section]),
        format!("wrote {name}: verify it with `cocoon-attest verify --bundle {name}`"),
    ))
}

/// Evidence is never overwritten.
fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::{ErrorKind, Write as _};
    let file = std::fs::File::options()
        .write(true)
        .create_new(true)
        .open(path);
    let name = path.display();
    match file {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("{name} exists already; remove it or name another file")
        }
        file => file
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .with_context(|| format!("cannot write {name}")),
    }
}
