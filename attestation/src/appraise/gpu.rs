//! Step 10: every claimed GPU shows NVIDIA's evidence, made for this very connection, in a mode and a version that may serve.

use std::collections::BTreeSet;

use crate::{
    Binding, Claims, ErrorCode, Evidence,
    gpu::{
        DeviceEvidence, DeviceKind, DeviceReport, GpuVerifier, NvLinks, VerifiedGpu,
        VerifiedReferences,
    },
    policy::{Demand, GpuDemand, GpuRules},
};

use super::steps::{Steps, Verdict, chain, list};

const NUMBER: u8 = 10;

/// With what GPU evidence is appraised.
pub(super) struct GpuAppraisal<'a> {
    pub(super) verifier: &'a GpuVerifier,
    pub(super) references: &'a VerifiedReferences,
    pub(super) demand: &'a GpuDemand,
    pub(super) binding: &'a Binding,
    pub(super) now_s: u64,
}

impl GpuAppraisal<'_> {
    /// Answers with the devices that verified; empty where nothing was demanded.
    pub(super) fn appraise(
        &self,
        steps: &mut Steps,
        evidence: &Evidence,
        claims: Option<&Claims>,
    ) -> Vec<VerifiedGpu> {
        let (rules, of_all) = match self.demand {
            GpuDemand::NotRequired => {
                let seen = match &evidence.device_evidence {
                    None => "none came".to_owned(),
                    Some(bytes) => format!("{} bytes came; not appraised", bytes.len()),
                };
                let wanted = "nothing: the policy says not-required";
                steps.step(NUMBER, "GPU evidence", wanted).skip(seen);
                return Vec::new();
            }
            GpuDemand::Required(rules) => (rules, true),
            GpuDemand::IfClaimed(rules) => (rules, false),
        };
        let step = steps.step(NUMBER, "GPU evidence", "of each GPU that the claims name");
        let Some(claims) = claims else {
            step.skip_required("no claims that name GPUs");
            return Vec::new();
        };
        if of_all && claims.gpus.is_empty() {
            step.fail(ErrorCode::GpuEvidenceMissing, "no GPU is claimed");
            return Vec::new();
        }
        let Some(bytes) = &evidence.device_evidence else {
            if claims.gpus.is_empty() {
                step.skip("none came, and no GPU is claimed");
            } else {
                step.fail(ErrorCode::GpuEvidenceMissing, "none came");
            }
            return Vec::new();
        };
        match DeviceEvidence::decode(bytes) {
            Ok(devices) => {
                step.pass(format!("of {} devices", devices.devices.len()));
                self.devices(steps, rules, &devices.devices, claims)
            }
            Err(error) => {
                step.fail(ErrorCode::GpuEvidenceMalformed, chain(&error));
                Vec::new()
            }
        }
    }

    /// Evidence that belongs to another connection is anybody's: nothing is spent on its signatures.
    pub(super) fn unbound(&self, steps: &mut Steps) -> Vec<VerifiedGpu> {
        let step = steps.step(NUMBER, "GPU evidence", "of this connection");
        match self.demand {
            GpuDemand::NotRequired => step.skip("not looked at"),
            GpuDemand::Required(_) | GpuDemand::IfClaimed(_) => {
                step.skip_required("nothing ties it to this connection");
            }
        }
        Vec::new()
    }

    fn devices(
        &self,
        steps: &mut Steps,
        rules: &GpuRules,
        devices: &[DeviceReport],
        claims: &Claims,
    ) -> Vec<VerifiedGpu> {
        if let Verdict::Fails = as_claimed(steps, devices, claims) {
            // Each report costs signatures: what is not as claimed is refused already.
            return Vec::new();
        }
        let verified: Vec<_> = devices
            .iter()
            .filter_map(|device| {
                let verified = self.verify(steps, device)?;
                self.device(steps, rules, &verified);
                Some(verified)
            })
            .collect();
        distinct(steps, &verified);
        links(steps, &verified);
        verified
    }

    fn verify(&self, steps: &mut Steps, device: &DeviceReport) -> Option<VerifiedGpu> {
        let nonce = self.binding.gpu_nonce();
        let wanted = format!(
            "a report over {}, and a chain to {}",
            hex::encode(nonce),
            self.verifier.anchor().label()
        );
        let step = steps.step(NUMBER, "GPU report", wanted);
        match self.verifier.verify(device, Some(&nonce), self.now_s) {
            Ok(verified) => {
                step.pass(format!(
                    "{}: {} {}, device {}, under {}",
                    verified.uuid(),
                    verified.architecture(),
                    verified.chip(),
                    verified.device_serial(),
                    verified.trust_anchor()
                ));
                Some(verified)
            }
            Err(error) => {
                step.fail(error.code(), format!("{}: {}", device.uuid, chain(&error)));
                None
            }
        }
    }

    fn device(&self, steps: &mut Steps, rules: &GpuRules, gpu: &VerifiedGpu) {
        enrolled(steps, rules, gpu);
        ocsp(steps, rules, gpu, self.now_s);
        mode(steps, gpu);
        versions(steps, rules, gpu);
        measurements(steps, rules, gpu, self.references, self.now_s);
    }
}

/// The GPUs of the evidence are those of the claims, one for one. Switches are claimed by nobody.
fn as_claimed(steps: &mut Steps, devices: &[DeviceReport], claims: &Claims) -> Verdict {
    let mut claimed: Vec<_> = claims.gpus.iter().map(|gpu| gpu.uuid.as_str()).collect();
    let mut shown: Vec<_> = devices
        .iter()
        .filter(|device| device.kind == DeviceKind::Gpu)
        .map(|device| device.uuid.as_str())
        .collect();
    claimed.sort_unstable();
    shown.sort_unstable();
    let code = if claimed.len() == shown.len() {
        ErrorCode::GpuUuidMismatch
    } else {
        ErrorCode::GpuCountMismatch
    };
    let holds = Verdict::from(claimed == shown);
    steps
        .step(NUMBER, "GPUs as claimed", list(claimed))
        .end(holds, code, list(shown));
    holds
}

/// One device that answers twice would be counted as two.
fn distinct(steps: &mut Steps, devices: &[VerifiedGpu]) {
    let all = |serial: fn(&VerifiedGpu) -> &str| {
        let serials: BTreeSet<_> = devices.iter().map(serial).collect();
        serials.len() == devices.len()
    };
    let holds = all(VerifiedGpu::device_serial) && all(VerifiedGpu::certificate_serial);
    steps
        .step(NUMBER, "GPUs distinct", "a certificate of its own for each")
        .end(
            Verdict::from(holds),
            ErrorCode::GpuCertificateRepeated,
            list(devices.iter().map(VerifiedGpu::device_serial)),
        );
}

/// In Protected PCIe mode NVLink is in clear: all that hangs on it must be attested.
fn links(steps: &mut Steps, devices: &[VerifiedGpu]) {
    let wanted = "attested at both ends, in Protected PCIe mode";
    let step = steps.step(NUMBER, "GPU links", wanted);
    match NvLinks::verify(devices) {
        Ok(None) => step.pass("no GPU is in that mode"),
        Ok(Some(links)) => step.pass(format!("over {} switches", links.switches_count())),
        Err(error) => step.fail(error.code(), error.to_string()),
    }
}

fn enrolled(steps: &mut Steps, rules: &GpuRules, gpu: &VerifiedGpu) {
    let serial = gpu.device_serial().to_owned();
    let holds = rules.enrolled.allows(&serial) && !rules.revoked.contains(&serial);
    steps
        .step(NUMBER, "GPU enrolled", "enrolled, and not revoked")
        .end(Verdict::from(holds), ErrorCode::GpuNotEnrolled, serial);
}

fn ocsp(steps: &mut Steps, rules: &GpuRules, gpu: &VerifiedGpu, now_s: u64) {
    let wanted = "a good response for each certificate that NVIDIA issued";
    let step = steps.step(NUMBER, "GPU certificates not revoked", wanted);
    match (gpu.require_ocsp(now_s, rules.ocsp_grace_s), rules.ocsp) {
        (Ok(()), _) => step.pass(gpu.uuid()),
        (Err(error), Demand::NotRequired) => {
            step.skip(format!(
                "{}: {error}; the policy says not-required",
                gpu.uuid()
            ));
        }
        (Err(error), Demand::Required) => {
            step.fail(error.code(), format!("{}: {error}", gpu.uuid()));
        }
    }
}

/// What NVML says of the mode, by the measured agent's word.
fn mode(steps: &mut Steps, gpu: &VerifiedGpu) {
    let mode = gpu.mode();
    let says = |on| if on { "on" } else { "off" };
    let seen = |on| format!("{}: {}", gpu.uuid(), says(on));
    steps.step(NUMBER, "GPU confidential mode", "on").end(
        Verdict::from(mode.feature_on),
        ErrorCode::GpuConfidentialModeOff,
        seen(mode.feature_on),
    );
    steps.step(NUMBER, "GPU developer tools", "off").end(
        Verdict::from(!mode.dev_tools_on),
        ErrorCode::GpuDebugEnabled,
        seen(mode.dev_tools_on),
    );
}

fn versions(steps: &mut Steps, rules: &GpuRules, gpu: &VerifiedGpu) {
    if let Some(driver) = gpu.driver_version() {
        let denied = &rules.driver_versions_denied;
        let wanted = format!(
            "{} or later, none of {}",
            rules.driver_version_min,
            list(denied)
        );
        let holds = *driver >= rules.driver_version_min && !denied.contains(driver);
        steps.step(NUMBER, "GPU driver", wanted).end(
            Verdict::from(holds),
            ErrorCode::GpuDriverTooOld,
            format!("{}: {driver}", gpu.uuid()),
        );
    }
    let (architecture, vbios) = (gpu.architecture(), gpu.vbios_version());
    let seen = format!("{}: {architecture} {vbios}", gpu.uuid());
    let Some(floor) = rules.vbios_versions_min.get(&architecture) else {
        let wanted = format!("one of {}", list(rules.vbios_versions_min.keys()));
        return steps
            .step(NUMBER, "GPU VBIOS", wanted)
            .fail(ErrorCode::GpuArchitectureNotAllowed, seen);
    };
    steps
        .step(NUMBER, "GPU VBIOS", format!("{floor} or later"))
        .end(
            Verdict::from(vbios >= *floor),
            ErrorCode::GpuVbiosTooOld,
            seen,
        );
}

fn measurements(
    steps: &mut Steps,
    rules: &GpuRules,
    gpu: &VerifiedGpu,
    references: &VerifiedReferences,
    now_s: u64,
) {
    let wanted = "those of NVIDIA's reference manifests";
    let step = steps.step(NUMBER, "GPU measurements", wanted);
    if rules.reference_measurements == Demand::NotRequired {
        return step.skip(format!("{}: the policy says not-required", gpu.uuid()));
    }
    match gpu.match_references(references, now_s) {
        Ok(matched) => {
            let ids = matched.references().iter().map(|reference| &reference.id);
            let count = matched.indices().len();
            step.pass(format!("{}: {count} as in {}", gpu.uuid(), list(ids)));
        }
        Err(error) => step.fail(error.code(), format!("{}: {}", gpu.uuid(), chain(&error))),
    }
}
