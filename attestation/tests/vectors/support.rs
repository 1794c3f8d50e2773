//! Where the vectors lie, how they are read, and a policy that fits a quote.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use attestation::{AppraisalPolicy, Collateral, Quote, TdQuoteBody, TrustAnchor};

/// The directory of vectors; `None`, said plainly, where none is named.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no configuration of its own"
)]
pub(crate) fn directory(test: &str) -> Option<PathBuf> {
    let directory = std::env::var_os("COCOON_VECTORS").map(PathBuf::from);
    if directory.is_none() {
        println!("SKIPPED {test}: COCOON_VECTORS names no directory of vectors");
    }
    directory
}

pub(crate) fn read(path: impl AsRef<Path>) -> Vec<u8> {
    let path = path.as_ref();
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of `MANIFEST.tsv`, each a value for every column's title.
pub(crate) fn manifest(directory: &Path) -> Vec<BTreeMap<String, String>> {
    let manifest = fs::read_to_string(directory.join("MANIFEST.tsv")).unwrap();
    let mut lines = manifest
        .lines()
        .map(|line| line.split('\t').map(str::to_owned));
    let header: Vec<String> = lines.next().unwrap().collect();
    lines
        .map(|fields| header.iter().cloned().zip(fields).collect())
        .collect()
}

pub(crate) fn collateral(path: impl AsRef<Path>) -> Collateral {
    Collateral::from_json(&read(path)).unwrap()
}

/// A root that is not Intel's.
#[expect(clippy::disallowed_methods, reason = "tests choose their root")]
pub(crate) fn root(path: impl AsRef<Path>) -> TrustAnchor {
    TrustAnchor::from_der(&read(path)).unwrap()
}

/// A real quote with its collateral and a time at which it verifies.
pub(crate) fn real_quote(directory: &Path) -> (Vec<u8>, Collateral, u64) {
    let quote = read(directory.join("quotes/tdx_v4_td10_b0c06f000000_dcap-qvl_f1c850.bin"));
    let collateral =
        collateral(directory.join("collateral/tdx_b0c06f000000_2025-06-19_25e3ff.json"));
    (quote, collateral, 1_750_646_964)
}

/// A policy under which nothing but mode, report data and claims can refuse this quote.
pub(crate) fn policy_for(quote: &Quote) -> AppraisalPolicy {
    AppraisalPolicy::from_toml(&policy_toml(quote.td().unwrap())).unwrap()
}

fn policy_toml(td: &TdQuoteBody) -> String {
    format!(
        r#"
schema = 1
[tcb]
statuses_allowed = ["UpToDate", "SWHardeningNeeded", "ConfigurationNeeded", "ConfigurationAndSWHardeningNeeded",
    "OutOfDate", "OutOfDateConfigurationNeeded", "TDRelaunchAdvised", "TDRelaunchAdvisedConfigurationNeeded"]
advisories_denied = []
evaluation_data_number_min = 0
statuses_in_grace = []
grace_days = 0
[collateral]
grace_hours = 0
[td]
attributes_mask = "0000000000000000"
attributes_required = "0000000000000000"
xfam_mask = "ffffffffffffffff"
xfam_required = "{}"
mr_config_ids = ["{}"]
mr_owners = ["{}"]
mr_owner_configs = ["{}"]
rtmr3s = ["{}"]
service_td = "absent"
[seam]
signers = ["{}"]
measurements = ["{}"]
[[platform_profiles]]
name = "as quoted"
mrtd = "{}"
rtmr0 = "{}"
[[releases]]
name = "as quoted"
rtmr1 = "{}"
rtmr2 = "{}"
[platforms]
enrolled = "any"
revoked = []
[evidence]
event_log = "not-required"
gpu = "not-required"
"#,
        hex::encode(td.xfam),
        td.mr_config_id,
        td.mr_owner,
        td.mr_owner_config,
        td.rtmrs[3],
        td.mr_signer_seam,
        td.mr_seam,
        td.mrtd,
        td.rtmrs[0],
        td.rtmrs[1],
        td.rtmrs[2],
    )
}
