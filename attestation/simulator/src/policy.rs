//! The appraisal policy that admits the simulated TD, and nothing laxer.

use crate::{SimulatedPlatform, collateral::EVALUATION_NUMBER, quote};

/// How many machines of a seed the policy enrols: more than any test or devnet starts.
pub const MACHINES_ENROLLED_COUNT: u16 = 64;

/// The policy as TOML, every field filled: where a real policy may say "any", this one lists.
pub(crate) fn encode(platform: &SimulatedPlatform) -> String {
    let td = platform.td();
    let zeros = "00".repeat(48);
    let [rtmr0, rtmr1, rtmr2, rtmr3] = td.rtmrs.map(hex::encode);
    let ppids: Vec<String> = (0..MACHINES_ENROLLED_COUNT)
        .map(|machine| format!("\"{}\"", hex::encode(platform.seed.ppid(machine))))
        .collect();
    format!(
        r#"# SIMULATED - not Intel: made for forged quotes, of no use for real ones.
schema = 1

[tcb]
statuses_allowed = ["UpToDate"]
advisories_denied = []
evaluation_data_number_min = {EVALUATION_NUMBER}
statuses_in_grace = []
grace_days = 0

[collateral]
grace_hours = 0

[td]
attributes_mask = "ffffffffffffffff"
attributes_required = "{attributes}"
xfam_mask = "ffffffffffffffff"
xfam_required = "{xfam}"
mr_config_ids = ["{zeros}"]
mr_owners = ["{zeros}"]
mr_owner_configs = ["{zeros}"]
rtmr3s = ["{rtmr3}"]
service_td = "absent"

[seam]
signers = ["{signer}"]
measurements = ["{module}"]

[[platform_profiles]]
name = "simulated"
mrtd = "{mrtd}"
rtmr0 = "{rtmr0}"

[[releases]]
name = "simulated"
rtmr1 = "{rtmr1}"
rtmr2 = "{rtmr2}"

[platforms]
enrolled = [{ppids}]
revoked = []

[evidence]
event_log = "not-required"
gpu = "not-required"
"#,
        attributes = hex::encode(td.attributes().to_le_bytes()),
        xfam = hex::encode(td.xfam),
        signer = hex::encode(quote::MR_SIGNER_SEAM),
        module = hex::encode(td.mr_seam),
        mrtd = hex::encode(td.mrtd),
        ppids = ppids.join(", "),
    )
}
