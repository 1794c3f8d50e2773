//! Offline bundles: evidence with everything that a verdict on it is reached from, as one JSON file.
//!
//! Whose word what is: the quote is the platform's, signed under the trust anchor; the collateral is Intel's, signed too. Policy
//! and time are the bundle's author's. So is the connection: a forger can name any, but not one that the quote's report data
//! covers. Nothing in a bundle is believed before an audit.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use attestation::{
    AppraisalPolicy, Appraiser, AttestationRecord, Binding, Collateral, Evidence, ReportData,
    Transcript, Verifier, evidence,
};
use serde::{Deserialize, Serialize};

use crate::{
    World,
    answer::Answer,
    arguments::BundleCreate,
    output::{Document, Section},
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
        let collateral = record.collateral().clone();
        Self::new(
            subject,
            record.policy_text().to_owned(),
            collateral,
            record.time_s(),
        )
    }
}

impl Bundle {
    pub(crate) fn new(
        subject: Subject,
        policy: String,
        collateral: Collateral,
        time_s: u64,
    ) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            time_s,
            subject,
            policy,
            collateral,
        }
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
        verifier: &Verifier,
        policy: &AppraisalPolicy,
        now_s: u64,
    ) -> Transcript {
        let appraiser = Appraiser {
            verifier,
            policy,
            collateral: &self.collateral,
        };
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
