//! The texts of a new pool's files.

use super::Initialise;
use crate::config::{
    BLOB_BYTES_PER_USER_DEFAULT, BURST_PER_USER_DEFAULT, IN_FLIGHT_PER_USER_DEFAULT,
    METRICS_ADDRESS_DEFAULT, QUEUED_PER_USER_DEFAULT, REATTEST_INTERVAL_S_DEFAULT,
    REQUESTS_PER_USER_PER_S_DEFAULT, RETENTION_DAYS_DEFAULT, SESSION_AGE_S_DEFAULT,
};

/// The configuration, with every key and what it means.
pub(super) fn configuration(options: &Initialise) -> String {
    let (worker_port, api_port) = (options.worker_port, options.api_port);
    let lease_duration_s = protocol::limits::LEASE_DURATION_S_DEFAULT;
    format!(
        r#"# cocoon-gateway. Relative paths start at this file's folder. `cocoon-gateway config check --config FILE` reports
# every mistake. SIGHUP reads appraisal policy and collateral again; all else takes a restart.

# Database, blobs and listening.json. Holds enrolment secrets: back it up, and let nobody else read it.
state_dir = "state"
# Inputs and outputs above 64 KiB; below state_dir unless this names another folder. Gateways on one database share it.
# blobs_dir = "/srv/cocoon/blobs"

# Without this section the database is a file in state_dir, for one gateway. PostgreSQL 15 or later serves several: a task that
# is submitted at one is leased at any. A server on another machine is spoken to over TLS alone.
# [database]
# address = "postgresql://cocoon@db.example.org/cocoon"   # or "host=/run/postgresql user=cocoon dbname=cocoon"
# password_file = "database.password"                     # its first line
# ca = "tls/database-ca.pem"                              # of a server whose certificate is not from a public CA

# Workers connect here, attested only. TLS must end in this process: no terminating proxy in between.
[worker]
address = "0.0.0.0:{worker_port}"
certificate = "tls/worker-listener.pem"   # from the pool's own CA, tls/pool-ca.pem, which workers pin
key = "tls/worker-listener.key"           # used nowhere else

# Clients and operators connect here: REST over HTTPS. GET /openapi.json describes it.
[api]
address = "0.0.0.0:{api_port}"
certificate = "tls/api.pem"               # from tls/api-ca.pem; any server certificate will do
key = "tls/api.key"
# What one user's access tokens may ask, all together: so many requests a second in the long run, so many at once after a
# pause, so many in progress at a time. A further one is refused with 429 and told when to come back. A batch is one request.
requests_per_user_per_s = {REQUESTS_PER_USER_PER_S_DEFAULT}
burst_per_user_max = {BURST_PER_USER_DEFAULT}
in_flight_per_user_max = {IN_FLIGHT_PER_USER_DEFAULT}

# /metrics, /healthz, /readyz, in plain HTTP: keep it on loopback.
[metrics]
address = "{METRICS_ADDRESS_DEFAULT}"

[attestation]
appraisal_policy = "appraisal-policy.toml"
# A folder of *.json, each one platform family's collateral (QuoteCollateralV3, as PCCS clients write it). Read again every
# minute. Collateral ends at its nextUpdate, some 30 days after it was issued.
collateral_dir = "collateral"
# Who is asked for collateral, in this order: a PCCS of your own, "https://api.trustedservices.intel.com" (Intel's PCS). What
# comes is verified, written to that folder and renewed before it ends; nothing older replaces what is there. Empty: nobody.
pccs_urls = []
# The CA (PEM) of a PCCS whose certificate is not from a public one.
# pccs_ca = "tls/pccs-ca.pem"
# A folder of NVIDIA's reference manifests (RIM), each named by its identifier, such as NV_GPU_DRIVER_GH100_550.90.07.xml
# (or .swidtag). Read again every minute. Without it no GPU is attested.
# gpu_references_dir = "gpu-references"
# How often a worker attests again on its live connection, give or take a fifth. 60 to 86400.
reattest_interval_s = {REATTEST_INTERVAL_S_DEFAULT}
# How old a connection may become. 600 to 604800.
session_age_s_max = {SESSION_AGE_S_DEFAULT}

[tasks]
# How long a worker holds a task without renewing its lease before another one gets it. 1 to 3600.
lease_duration_s = {lease_duration_s}
# How many days a finished task is kept, with its output and its receipt. 1 to 3650.
retention_days = {RETENTION_DAYS_DEFAULT}
# How many tasks of one user may wait at a time; a further one is refused. 1 to 1000000000.
queued_per_user_max = {QUEUED_PER_USER_DEFAULT}
# How many bytes of blobs one user may have; an upload that would be more is refused. Each blob counts once, for retention_days
# since the user last sent it. Outputs do not count: they come of tasks that were let in. 1 to 1000000000000000.
blob_bytes_per_user_max = {BLOB_BYTES_PER_USER_DEFAULT}
"#
    )
}

/// An appraisal policy that is refused until the operator has filled in what the pool's machines measure.
pub(super) const APPRAISAL_POLICY: &str = r#"# What this pool demands of a worker's evidence. There is no default that accepts: every key must be here, and the gateway
# does not start until every FILL-IN below has a value. Measurements are 48 bytes in hexadecimal (96 digits).
#
# Where the values come from: boot the released image on each kind of machine, and run `cocoon-attest inspect` on a quote
# of it; or take the reference values that the image's release publishes. Compare the two.
schema = 1

[tcb]
# Intel's verdicts on the platform's patches that are good enough. SWHardeningNeeded and ConfigurationNeeded are usual on
# well-kept machines; OutOfDate is not. "Revoked" can never be allowed.
statuses_allowed = ["UpToDate", "SWHardeningNeeded"]
# Refuse platforms that one of these advisories applies to, whatever their status.
advisories_denied = []
# Collateral that knows of this TCB recovery event at least. `cocoon-attest verify` shows the number of yours.
evaluation_data_number_min = 17
# Allowed as well, for so many days after Intel described a better level: time to patch. Every verdict and the metrics count
# the days down; then E410 refuses. An empty list and 0 days: no grace.
statuses_in_grace = ["OutOfDate"]
grace_days = 30

[collateral]
# For how many hours collateral counts after its end. 0: not at all.
grace_hours = 0

[td]
# (seen AND mask) = required; eight bytes as they stand in the quote, bit 0 first. This demands SEPT_VE_DISABLE (bit 28)
# and nothing else: no DEBUG, no migration, no profiling.
attributes_mask = "ffffffffffffffff"
attributes_required = "0000001000000000"
# The CPU features that the VM is given. Depends on the VMM and the machine.
xfam_mask = "ffffffffffffffff"
xfam_required = "FILL-IN"
# Set by the VMM at creation; zeros unless you set them.
mr_config_ids = ["000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"]
mr_owners = ["000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"]
mr_owner_configs = ["000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"]
# Zeros where the image extends nothing at run time. "replayed" takes what the event log replays to, if the log is closed
# exactly once; it needs event_log = "required" below, under which zeros alone are a mistake: closing extends RTMR3.
rtmr3s = ["000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"]
service_td = "absent"

[seam]
# Intel's own TDX module shows zeros.
signers = ["000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"]
# "any": Intel's TCB info judges the module. A list pins exact modules beside that.
measurements = "any"

# One for each kind of machine (VM shape and firmware).
[[platform_profiles]]
name = "FILL-IN"
mrtd = "FILL-IN"
rtmr0 = "FILL-IN"

# One for each boot image that may serve.
[[releases]]
name = "FILL-IN"
rtmr1 = "FILL-IN"
rtmr2 = "FILL-IN"

[platforms]
# The PPIDs (16 bytes) of your machines, or "any". Physical extraction of keys on a machine that is not yours is what this
# list stops; prefer it to "any".
enrolled = ["FILL-IN"]
revoked = []

[evidence]
# "required": the worker sends its event log, which must replay to the quote's four registers. Or "not-required".
event_log = "not-required"
# "if-claimed": a worker that computes on GPUs shows NVIDIA's evidence for each of them. "required": so does every worker, and
# one without a GPU is refused. "not-required": no GPU counts as attested, and the table [gpu] is left out.
gpu = "if-claimed"

[gpu]
# NVIDIA's driver, this version at least and none of those.
driver_version_min = "550.90.07"
driver_versions_denied = []
# The VBIOS, by architecture (hopper, blackwell; ls10 for NVSwitches); an architecture that is not here is refused.
vbios_versions_min = { hopper = "96.00.9F.00.01", blackwell = "97.00.88.00.0F" }
# "required": measurements are compared with NVIDIA's reference integrity manifests (RIM) of driver and VBIOS.
reference_measurements = "required"
# "required": for each certificate of a GPU the worker staples a response of NVIDIA's OCSP service, in date or overdue by so
# many hours at most.
ocsp = "required"
ocsp_grace_hours = 0
# Serials of GPU certificates that may serve, or "any"; and those that may not. `cocoon-attest inspect` shows them.
enrolled = "any"
revoked = []
"#;

/// What to do with what was written.
pub(super) fn next_steps(options: &Initialise, access_token: &str) -> String {
    let (dir, hostname) = (options.dir.display(), &options.hostname);
    let (worker_port, api_port) = (options.worker_port, options.api_port);
    format!(
        r"A new pool is in {dir}.

Access token of user `operator`, role operator. It is shown this once and stored nowhere:

  {access_token}

Next:
  1. Complete {dir}/appraisal-policy.toml: every FILL-IN. What is still amiss:
       cocoon-attest policy lint {dir}/appraisal-policy.toml
  2. Collateral: set pccs_urls in {dir}/gateway.toml; or fetch it yourself, with a quote of a machine of each kind:
       cocoon-attest collateral fetch --quote quote.bin --store {dir}/collateral
  3. Workers with GPUs: put NVIDIA's reference manifests into a folder, and set gpu_references_dir in
     {dir}/gateway.toml to it. Which ones a machine's GPU evidence wants:
       cocoon-attest inspect evidence.json
  4. Find every mistake, then run:
       cocoon-gateway config check --config {dir}/gateway.toml
       cocoon-gateway run --config {dir}/gateway.toml
  5. Enrol workers; clients and operators trust {dir}/tls/api-ca.pem:
       cocoon-admin worker create --id worker-1 --gateway https://{hostname}:{api_port} --ca-file {dir}/tls/api-ca.pem
  6. Workers dial {hostname}:{worker_port} and pin {dir}/tls/pool-ca.pem.
Keep tls/pool-ca.key and tls/api-ca.key off this machine: the gateway does not need them.
"
    )
}
