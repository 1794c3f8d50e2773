//! Steps 9 and 11: whose platform it is, and who the worker says it is.

use crate::{
    AppraisalPolicy, Binding, Claims, ClaimsError, Enrolment, ErrorCode, ExecutorKind,
    PlatformStanding, VerifiedQuote,
    gpu::{DriverVersion, VerifiedGpu},
    policy::Allowed,
};

use super::steps::{Steps, Verdict, chain, list};

pub(super) const PLATFORM: u8 = 9;
pub(super) const CLAIMS: u8 = 11;
/// The claimed library that speaks for the driver. NVML refuses to work beside any other driver than its own.
const DRIVER_LIBRARY: &str = "libnvidia-ml";
/// What an auditor sees in place of the register of workers.
const NO_REGISTER: &str = "the register of workers is the gateway's; not looked at in an audit";

/// Step 9: the platform is enrolled and not revoked, in the policy and in the register.
pub(super) fn platform(
    steps: &mut Steps,
    policy: &AppraisalPolicy,
    verified: &VerifiedQuote,
    claims: Option<&Claims>,
    enrolment: Option<&dyn Enrolment>,
) {
    let ppid = verified.platform().ppid;
    let seen = hex::encode(ppid);
    let rules = &policy.platforms;
    let wanted = match &rules.enrolled {
        Allowed::Any => "any platform".to_owned(),
        Allowed::Listed(ppids) => format!("one of {}", list(ppids.iter().map(hex::encode))),
    };
    let step = steps.step(PLATFORM, "platform enrolled", wanted);
    step.end(
        Verdict::from(rules.enrolled.allows(&ppid)),
        ErrorCode::PlatformNotEnrolled,
        seen.clone(),
    );
    let wanted = format!("none of {}", list(rules.revoked.iter().map(hex::encode)));
    let step = steps.step(PLATFORM, "platform not revoked", wanted);
    step.end(
        Verdict::from(!rules.revoked.contains(&ppid)),
        ErrorCode::PlatformRevoked,
        seen.clone(),
    );

    let step = steps.step(
        PLATFORM,
        "platform of this worker",
        "admissible in the register",
    );
    let (Some(enrolment), Some(claims)) = (enrolment, claims) else {
        return match enrolment {
            None => step.skip(NO_REGISTER),
            Some(_) => step.skip_required("no claims that name a worker"),
        };
    };
    match enrolment.platform(&claims.worker_id, &ppid) {
        PlatformStanding::Admissible => step.pass(seen),
        PlatformStanding::Foreign => {
            step.fail(
                ErrorCode::PlatformNotEnrolled,
                format!("{seen}, where {} is not enrolled", claims.worker_id),
            );
        }
        PlatformStanding::Revoked => step.fail(ErrorCode::PlatformRevoked, seen),
    }
}

/// Step 11: the claims read, agree with themselves and with the verified GPUs, and come from the worker that they name.
pub(super) fn claims(
    steps: &mut Steps,
    claims: Result<Claims, ClaimsError>,
    verified: &[VerifiedGpu],
    binding: &Binding,
    enrolment: Option<&dyn Enrolment>,
) -> Option<Claims> {
    let step = steps.step(CLAIMS, "claims", "deterministic CBOR of this profile");
    let claims = match claims {
        Ok(claims) => claims,
        Err(error) => {
            step.fail(ErrorCode::ClaimsMalformed, chain(&error));
            return None;
        }
    };
    step.pass(format!(
        "worker {}, attestation {}",
        claims.worker_id, claims.sequence
    ));
    gpus(steps, &claims);
    driver(steps, &claims, verified);
    receipt_key(steps, &claims, binding);
    worker(steps, &claims, binding, enrolment);
    Some(claims)
}

fn gpus(steps: &mut Steps, claims: &Claims) {
    let mut uuids: Vec<_> = claims.gpus.iter().map(|gpu| &gpu.uuid).collect();
    uuids.sort_unstable();
    let distinct = uuids.is_sorted_by(|a, b| a < b);
    let (wanted, fits) = match claims.executor {
        ExecutorKind::Cpu => ("no GPU, as the CPU computes", uuids.is_empty()),
        ExecutorKind::Cuda => (
            "one GPU at least, each once, as CUDA computes",
            distinct && !uuids.is_empty(),
        ),
    };
    let step = steps.step(CLAIMS, "claimed GPUs", wanted);
    step.end(
        Verdict::from(fits),
        ErrorCode::GpuClaimInconsistent,
        list(uuids),
    );
}

/// The driver's version is signed in each report; what the agent claims of it must be the same.
fn driver(steps: &mut Steps, claims: &Claims, verified: &[VerifiedGpu]) {
    let signed: Vec<_> = verified
        .iter()
        .filter_map(VerifiedGpu::driver_version)
        .map(DriverVersion::to_string)
        .collect();
    if signed.is_empty() {
        return;
    }
    let libraries = claims.libraries.iter();
    for library in libraries.filter(|library| library.name == DRIVER_LIBRARY) {
        let step = steps.step(
            CLAIMS,
            "claimed driver",
            format!("that of the GPUs' reports: {}", list(&signed)),
        );
        step.end(
            Verdict::from(signed.iter().all(|version| *version == library.version)),
            ErrorCode::GpuClaimInconsistent,
            library.version.clone(),
        );
    }
}

/// A TLS key that leaks must not be able to forge receipts.
fn receipt_key(steps: &mut Steps, claims: &Claims, binding: &Binding) {
    let key = &claims.receipt_key_spki;
    let own = *key != binding.attester_spki && *key != binding.peer_spki;
    let step = steps.step(CLAIMS, "receipt key", "a key of its own");
    step.end(
        Verdict::from(own),
        ErrorCode::ReceiptKeyShared,
        hex::encode(key),
    );
}

fn worker(
    steps: &mut Steps,
    claims: &Claims,
    binding: &Binding,
    enrolment: Option<&dyn Enrolment>,
) {
    let step = steps.step(
        CLAIMS,
        "worker identity",
        "the worker's enrolment secret, over this connection",
    );
    let Some(enrolment) = enrolment else {
        return step.skip(NO_REGISTER);
    };
    match enrolment.secret(&claims.worker_id) {
        None => step.fail(
            ErrorCode::WorkerUnknown,
            format!("no worker {}", claims.worker_id),
        ),
        Some(secret) => {
            let verdict = Verdict::from(secret.made(&claims.enrolment_mac, binding));
            step.end(
                verdict,
                ErrorCode::EnrolmentMacInvalid,
                format!("worker {}", claims.worker_id),
            );
        }
    }
}
