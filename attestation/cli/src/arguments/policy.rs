//! Arguments of `policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

/// The verbs of `policy`.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    Lint(PolicyLint),
    Diff(PolicyDiff),
    Simulate(PolicySimulate),
}

/// Find every mistake in an appraisal policy, and what in it is wide open.
///
/// A mistake keeps the gateway from starting. A warning is a rule that accepts more than most pools want, or that nothing can
/// satisfy.
#[derive(Debug, Args)]
#[command(after_help = help!(
    yes: "no mistake; warnings may have been printed",
    findings: "the policy has mistakes, or warnings under --deny-warnings",
    examples:
        "cocoon-attest policy lint appraisal-policy.toml",
        "cocoon-attest policy lint --deny-warnings appraisal-policy.toml",
))]
pub(crate) struct PolicyLint {
    /// The appraisal policy, as TOML. `-` reads standard input.
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) policy: PathBuf,

    /// Treat warnings as findings.
    #[arg(long)]
    pub(crate) deny_warnings: bool,
}

/// Compare two appraisal policies by meaning: what becomes stricter, what laxer.
///
/// Order, comments and spelling do not count. `stricter` refuses more and accepts nothing more; `laxer` the reverse; `other` is
/// both, or neither can be said; `neutral` changes no verdict.
#[derive(Debug, Args)]
#[command(after_help = help!(
    yes: "the comparison was printed, whether they differ or not",
    findings: "a rule becomes laxer or other, under --deny-laxer",
    examples:
        "cocoon-attest policy diff appraisal-policy.toml new-policy.toml",
        "cocoon-attest policy diff --deny-laxer --json old.toml new.toml",
))]
pub(crate) struct PolicyDiff {
    /// The policy as it is.
    #[arg(value_name = "OLD", value_hint = ValueHint::FilePath)]
    pub(crate) old: PathBuf,

    /// The policy as it shall be.
    #[arg(value_name = "NEW", value_hint = ValueHint::FilePath)]
    pub(crate) new: PathBuf,

    /// Treat every rule that becomes laxer or other as a finding.
    #[arg(long)]
    pub(crate) deny_laxer: bool,
}

/// Appraise stored evidence under a policy: whom would it cut?
///
/// Reads every `*.json` of a folder, each an attestation record (of a worker from `cocoon-admin`, as in the first example, of a
/// task from `cocoon attestation`) or a bundle. `before` is the verdict under the file's own policy, reached again here, not the gateway's word.
#[derive(Debug, Args)]
#[command(after_help = help!(
    yes: "the policy would cut nobody who is accepted now",
    findings: "it would cut somebody; or neither policy had its say, as no evidence verifies",
    examples:
        "cocoon-admin worker attestation --id worker-1 --output records/worker-1.json",
        "cocoon-attest policy simulate new-policy.toml --evidence-dir records/",
        "cocoon-attest policy simulate new.toml --evidence-dir records/ --time now --json",
))]
pub(crate) struct PolicySimulate {
    /// The policy to try, as TOML.
    #[arg(value_name = "POLICY", value_hint = ValueHint::FilePath)]
    pub(crate) policy: PathBuf,

    /// The folder of records and bundles.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) evidence_dir: PathBuf,

    /// Appraise at this time instead of each file's own: RFC 3339, a date, seconds since the epoch, or `now`. Both verdicts are of it.
    #[arg(long, value_name = "TIME")]
    pub(crate) time: Option<String>,
}
