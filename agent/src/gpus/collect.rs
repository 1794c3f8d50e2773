//! Asking NVML: mode, UUIDs, reports, certificate chains. Blocking; one thread for each GPU, since each takes its time.

use std::thread::ScopedJoinHandle;

use attestation::GpuClaim;
use attestation::gpu::{
    ConfidentialMode, DEVICES_COUNT_MAX, DeviceKind, DeviceReport, MultiGpuMode,
};
use kernels::nvml::{
    ConfidentialSettings, NONCE_BYTES, NvmlCallError, attestation_certificate_chain,
    attestation_report, confidential_settings,
};
use nvml_wrapper::{Device, Nvml};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::GpuError;
use super::error::is_unsupported;
use crate::telemetry::printable;

/// `NVML_CC_SYSTEM_ENVIRONMENT_PROD`.
const PRODUCTION: u32 = 2;
/// `NVML_CC_SYSTEM_FEATURE_ENABLED`.
const FEATURE_ON: u32 = 1;
/// `NVML_CC_SYSTEM_DEVTOOLS_MODE_OFF`.
const DEV_TOOLS_OFF: u32 = 0;

/// What NVML says of confidential computing; nothing where it is off or where the driver knows nothing of it.
pub(super) fn mode(nvml: &Nvml) -> Result<Option<ConfidentialMode>, GpuError> {
    match confidential_settings(nvml) {
        Ok(settings) if settings.feature == FEATURE_ON => production_mode(settings).map(Some),
        Ok(_) => Ok(None),
        Err(NvmlCallError::Nvml { source, .. }) if is_unsupported(&source) => Ok(None),
        Err(error) => Err(GpuError::Settings(error)),
    }
}

fn production_mode(settings: ConfidentialSettings) -> Result<ConfidentialMode, GpuError> {
    if settings.environment != PRODUCTION {
        return Err(GpuError::NotProduction(settings.environment));
    }
    if settings.dev_tools_mode != DEV_TOOLS_OFF {
        return Err(GpuError::DevTools);
    }
    // `NVML_CC_SYSTEM_MULTIGPU_…`.
    let multi_gpu_mode = match settings.multi_gpu_mode {
        0 => MultiGpuMode::None,
        1 => MultiGpuMode::ProtectedPcie,
        2 => MultiGpuMode::Nvle,
        other => return Err(GpuError::MultiGpuMode(other)),
    };
    Ok(ConfidentialMode {
        feature_on: true,
        dev_tools_on: false,
        multi_gpu_mode,
    })
}

/// Every GPU as it will be claimed. One that does not answer is an error: a worker claims all of them or does not attest.
pub(super) fn claims(nvml: &Nvml, count: u32) -> Result<Vec<GpuClaim>, GpuError> {
    (0..count)
        .map(|index| {
            let device = device(nvml, index)?;
            let text = |read| {
                let text = match read {
                    Ok(text) => printable(text),
                    Err(error) => return Err(GpuError::device(index, error)),
                };
                text.ok_or(GpuError::Name { index })
            };
            Ok(GpuClaim {
                uuid: text(device.uuid())?,
                name: text(device.name())?,
            })
        })
        .collect()
}

/// Every claimed GPU's report over this nonce, in the order of the claims.
pub(super) fn reports(
    nvml: &Nvml,
    claims: &[GpuClaim],
    mode: ConfidentialMode,
    nonce: [u8; NONCE_BYTES],
) -> Result<Vec<DeviceReport>, GpuError> {
    std::thread::scope(|scope| {
        let asking: Vec<_> = (0..)
            .zip(claims)
            .map(|(index, claim)| scope.spawn(move || report(nvml, index, claim, mode, nonce)))
            .collect();
        let ended = |_| Err(GpuError::Ended);
        let reports = asking.into_iter().map(ScopedJoinHandle::join);
        reports.map(|report| report.unwrap_or_else(ended)).collect()
    })
}

fn report(
    nvml: &Nvml,
    index: u32,
    claim: &GpuClaim,
    mode: ConfidentialMode,
    nonce: [u8; NONCE_BYTES],
) -> Result<DeviceReport, GpuError> {
    let device = device(nvml, index)?;
    let failed = |error| GpuError::call(index, error);
    Ok(DeviceReport {
        kind: DeviceKind::Gpu,
        uuid: claim.uuid.clone(),
        report: attestation_report(&device, nonce).map_err(failed)?,
        certificates: certificates(
            index,
            &attestation_certificate_chain(&device).map_err(failed)?,
        )?,
        ocsp_responses: Vec::new(),
        mode,
    })
}

fn certificates(index: u32, pem: &[u8]) -> Result<Vec<Vec<u8>>, GpuError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .map(|certificate| certificate.map(|der| der.to_vec()))
        .collect::<Result<_, _>>()
        .map_err(|source| GpuError::ChainPem { index, source })?;
    if certificates.is_empty() {
        return Err(GpuError::ChainEmpty { index });
    }
    Ok(certificates)
}

fn device(nvml: &Nvml, index: u32) -> Result<Device<'_>, GpuError> {
    nvml.device_by_index(index)
        .map_err(|error| GpuError::device(index, error))
}

/// How many GPUs there are, if a worker can have as many.
pub(super) fn count_within_limit(seen: u32) -> Result<u32, GpuError> {
    let max = DEVICES_COUNT_MAX;
    match usize::try_from(seen) {
        Ok(count) if count <= max => Ok(seen),
        _ => Err(GpuError::TooMany { seen, max }),
    }
}
