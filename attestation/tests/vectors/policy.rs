//! An appraisal policy that fits a quote, whatever it says.

use attestation::{AppraisalPolicy, Quote, TdQuoteBody};

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
