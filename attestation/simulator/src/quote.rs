//! Forged quotes, laid out as Intel's "TDX DCAP Quoting Library API" (v4, v5) and "SGX ECDSA Quote Library" (v3) references say.

use ring::digest;

use crate::SimulatedPlatform;

/// Signer of the TDX module: zeros stand for Intel, on real machines too.
pub(crate) const MR_SIGNER_SEAM: [u8; 48] = [0; 48];

/// `TEE_TCB_SVN[1]`: selects the TDX module identity `TDX_01`.
pub(crate) const MODULE_VERSION: u8 = 1;

/// `TEE_TCB_SVN[0]`: the TDX module's own security version.
pub(crate) const MODULE_SVN: u8 = 2;

/// Security versions of the TDX module and the platform.
pub(crate) const TEE_TCB_SVN: [u8; 16] = [
    MODULE_SVN,
    MODULE_VERSION,
    3,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
];

pub(crate) const QE_ISV_PRODUCT_ID: u16 = 2;
pub(crate) const QE_ISV_SVN: u16 = 4;

/// The vendor id of Intel's quoting enclaves: the one thing that a forgery must copy.
const INTEL_QE_VENDOR_ID: [u8; 16] = [
    0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07,
];
const ATTESTATION_KEY_ECDSA_P256: u16 = 2;
const TEE_TYPE_SGX: u32 = 0;
const TEE_TYPE_TDX: u32 = 0x81;
const BODY_TYPE_TD_1_5: u16 = 3;
const CERTIFICATION_PCK_CHAIN: u16 = 5;
const CERTIFICATION_QE_REPORT: u16 = 6;

/// TD attributes, Intel TDX Module ABI, table "ATTRIBUTES".
const ATTRIBUTE_DEBUG: u64 = 1;
const ATTRIBUTE_SEPT_VE_DISABLE: u64 = 1 << 28;
const ATTRIBUTE_MIGRATABLE: u64 = 1 << 29;

/// Attributes of a quoting enclave: INIT, 64-bit mode, provisioning key (Intel SDM, volume 3D, "ATTRIBUTES").
const ENCLAVE_ATTRIBUTES: u8 = 0x15;
/// Whoever runs the machine reads a debug enclave's memory.
const ENCLAVE_DEBUG: u8 = 0x02;

/// What the quoting enclave adds to the hash that binds the attestation key; real ones send 32 bytes as well.
const QE_AUTHENTICATION_DATA: [u8; 32] = [0x20; 32];

/// Layout of a TDX quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuoteVersion {
    /// Version 4 with the TD 1.0 body.
    V4,
    /// Version 5 with the TD 1.5 body.
    V5,
}

/// What the simulated TD is. [`SimulatedPlatform::td`] is the one that the policy admits; tests change one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TdOptions {
    /// Sets the `DEBUG` attribute: the VMM could read the TD's memory.
    pub debug: bool,
    /// Sets the `MIGRATABLE` attribute.
    pub migratable: bool,
    /// Sets the `SEPT_VE_DISABLE` attribute, which every sound TD has.
    pub sept_ve_disable: bool,
    /// Sets further attributes, whether they exist or not: bit 0 is the lowest.
    pub attributes_more: u64,
    /// Extended features that the TD may use.
    pub xfam: [u8; 8],
    /// Security versions now, after the TDX module was exchanged under the running TD; only a version 5 quote shows them.
    pub tee_tcb_svn2: [u8; 16],
    /// Measurement of the TDX module.
    pub mr_seam: [u8; 48],
    /// Measurement of the TD as built.
    pub mrtd: [u8; 48],
    /// Run-time measurement registers; those of [`SimulatedPlatform::td`] are what its event log replays to.
    pub rtmrs: [[u8; 48]; 4],
    /// Set from outside at creation: the configuration's identity.
    pub mr_config_id: [u8; 48],
    /// Set from outside at creation: the owner.
    pub mr_owner: [u8; 48],
    /// Set from outside at creation: the owner's configuration.
    pub mr_owner_config: [u8; 48],
    /// Measurement of a bound service TD; only a version 5 quote can show one.
    pub mr_service_td: [u8; 48],
}

impl TdOptions {
    pub(crate) fn attributes(&self) -> u64 {
        [
            (self.debug, ATTRIBUTE_DEBUG),
            (self.sept_ve_disable, ATTRIBUTE_SEPT_VE_DISABLE),
            (self.migratable, ATTRIBUTE_MIGRATABLE),
        ]
        .into_iter()
        .filter(|(set, _)| *set)
        .fold(self.attributes_more, |attributes, (_, bit)| {
            attributes | bit
        })
    }
}

/// A TDX quote over `report_data`.
pub(crate) fn tdx(
    platform: &SimulatedPlatform,
    version: QuoteVersion,
    td: &TdOptions,
    report_data: &[u8; 64],
) -> Vec<u8> {
    let body = td_body(td, report_data);
    let signed = match version {
        QuoteVersion::V4 => [header(4, TEE_TYPE_TDX), body].concat(),
        QuoteVersion::V5 => {
            let extended = [body, td.tee_tcb_svn2.to_vec(), td.mr_service_td.to_vec()].concat();
            let mut signed = header(5, TEE_TYPE_TDX);
            signed.extend(BODY_TYPE_TD_1_5.to_le_bytes());
            signed.extend(length_u32(&extended));
            signed.extend(extended);
            signed
        }
    };
    let mut signature = platform.attestation_key.sign_fixed(&signed);
    signature.extend(platform.attestation_key.coordinates());
    signature.extend(CERTIFICATION_QE_REPORT.to_le_bytes());
    signature.extend(sized(&qe_certification(platform)));
    [signed, sized(&signature)].concat()
}

/// An SGX quote (version 3), which the pool never admits: for tools that must name what they were shown.
pub(crate) fn sgx(platform: &SimulatedPlatform, report_data: &[u8; 64]) -> Vec<u8> {
    let enclave = enclave_report(platform, report_data);
    let signed = [header(3, TEE_TYPE_SGX), enclave].concat();
    let mut signature = platform.attestation_key.sign_fixed(&signed);
    signature.extend(platform.attestation_key.coordinates());
    signature.extend(qe_certification(platform));
    [signed, sized(&signature)].concat()
}

/// 48 bytes: version, key type, TEE type, two reserved (in v3: the QE's SVNs), vendor, user data.
fn header(version: u16, tee_type: u32) -> Vec<u8> {
    let mut header = version.to_le_bytes().to_vec();
    header.extend(ATTESTATION_KEY_ECDSA_P256.to_le_bytes());
    header.extend(tee_type.to_le_bytes());
    header.extend([0; 4]);
    header.extend(INTEL_QE_VENDOR_ID);
    header.extend([0; 20]);
    header
}

/// 584 bytes: the TD 1.0 body.
fn td_body(td: &TdOptions, report_data: &[u8; 64]) -> Vec<u8> {
    let mut body = TEE_TCB_SVN.to_vec();
    body.extend(td.mr_seam);
    body.extend(MR_SIGNER_SEAM);
    body.extend([0; 8]); // SEAM attributes: none are defined
    body.extend(td.attributes().to_le_bytes());
    body.extend(td.xfam);
    body.extend(td.mrtd);
    body.extend(td.mr_config_id);
    body.extend(td.mr_owner);
    body.extend(td.mr_owner_config);
    body.extend(td.rtmrs.as_flattened());
    body.extend(report_data);
    body
}

/// The quoting enclave's own report, the PCK's signature over it, and the PCK chain.
fn qe_certification(platform: &SimulatedPlatform) -> Vec<u8> {
    let bound = [
        platform.attestation_key.coordinates(),
        &QE_AUTHENTICATION_DATA,
    ]
    .concat();
    let mut report_data = [0; 64];
    for (byte, source) in report_data
        .iter_mut()
        .zip(digest::digest(&digest::SHA256, &bound).as_ref())
    {
        *byte = *source;
    }
    let qe_report = enclave_report(platform, &report_data);
    let signature = platform.pck.key.sign_fixed(&qe_report);
    let chain = [
        &platform.pck.pem,
        &platform.pki.platform_ca.pem,
        &platform.pki.root.pem,
    ]
    .map(String::as_str)
    .concat();
    let mut data = [qe_report, signature].concat();
    data.extend(32u16.to_le_bytes());
    data.extend(QE_AUTHENTICATION_DATA);
    data.extend(CERTIFICATION_PCK_CHAIN.to_le_bytes());
    data.extend(sized(chain.as_bytes()));
    data
}

/// 384 bytes: an SGX enclave report, of the quoting enclave or of the enclave that an SGX quote is about.
fn enclave_report(platform: &SimulatedPlatform, report_data: &[u8; 64]) -> Vec<u8> {
    let mut report = platform.facts.cpu_svn.to_vec();
    report.extend([0; 32]); // MISCSELECT, reserved
    let debug = if platform.is_qe_debuggable {
        ENCLAVE_DEBUG
    } else {
        0
    };
    report.extend([ENCLAVE_ATTRIBUTES | debug, 0, 0, 0, 0, 0, 0, 0]);
    report.extend([0; 8]); // XFRM
    report.extend(platform.qe_mr_enclave);
    report.extend([0; 32]);
    report.extend(platform.qe_mr_signer);
    report.extend([0; 96]);
    report.extend(QE_ISV_PRODUCT_ID.to_le_bytes());
    report.extend(QE_ISV_SVN.to_le_bytes());
    report.extend([0; 60]);
    report.extend(report_data);
    report
}

/// `bytes` behind their length, u32 little-endian.
pub(crate) fn sized(bytes: &[u8]) -> Vec<u8> {
    [&length_u32(bytes), bytes].concat()
}

fn length_u32(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes()
}
