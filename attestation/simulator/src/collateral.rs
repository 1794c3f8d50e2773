//! Forged collateral: TCB info v3, QE identity v2 and two revocation lists, with a knob for each thing a verifier must notice.

use attestation::TcbStatus;
use rcgen::date_time_ymd;
use serde_json::{Value, json};
use std::time::Duration;

use crate::{
    SimulatedPlatform,
    keys::Seed,
    pki::{Authority, Pki},
    quote,
};

/// The platform family of every simulated machine.
pub const FMSPC: [u8; 6] = *b"SIMTDX";

/// The provisioning certification enclave of every simulated machine; real ones are 0000 too.
pub const PCE_ID: [u8; 2] = [0, 0];

/// The TCB recovery event that good collateral knows of, and the floor of the policy.
pub(crate) const EVALUATION_NUMBER: u32 = 17;

/// The date of every level but a better one: 2024-01-01, in seconds since the epoch.
pub const LEVEL_DATE_S: u64 = 1_704_067_200;

/// What the collateral says. [`CollateralOptions::at`] is the collateral of a platform in good order; tests change one field.
#[derive(Clone, Debug)]
pub struct CollateralOptions {
    /// The time around which the collateral is in date, in seconds since the epoch.
    pub now_s: u64,
    /// How long before `now_s` everything was issued.
    pub issued_before_s: u64,
    /// How long after `now_s` everything ends (`nextUpdate`).
    pub valid_for_s: u64,
    /// The status of the TCB level that the platform meets.
    pub tcb_status: TcbStatus,
    /// The date of a better level that the platform does not meet, in seconds since the epoch; `None`: there is none.
    pub superseded_s: Option<u64>,
    /// The advisories of the level that it meets.
    pub advisory_ids: Vec<String>,
    /// The status of the TDX module's level.
    pub module_status: TcbStatus,
    /// The status of the quoting enclave's level.
    pub qe_status: TcbStatus,
    /// `tcbEvaluationDataNumber` of TCB info and QE identity.
    pub evaluation_number: u32,
    /// The platform family for which the TCB info says it was made.
    pub fmspc: [u8; 6],
    /// The provisioning certification enclave for which the TCB info says it was made.
    pub pce_id: [u8; 2],
    /// Puts the machine's PCK certificate on the Platform CA's revocation list.
    pub revoke_pck: bool,
    /// Puts the Platform CA's certificate on the root's revocation list.
    pub revoke_platform_ca: bool,
    /// Puts the root's own certificate on its revocation list.
    pub revoke_root: bool,
    /// Who signs the TCB info and the QE identity.
    pub signer: CollateralSigner,
}

/// Who signs TCB info and QE identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollateralSigner {
    /// The platform's own TCB signer: the genuine case.
    Genuine,
    /// The TCB signer of another seed, with that seed's chain: everything holds, but under another root.
    OtherSeed(u64),
    /// Nobody: the signature of the TCB info has one bit flipped.
    CorruptTcbInfo,
    /// Nobody: the signature of the QE identity has one bit flipped.
    CorruptQeIdentity,
}

impl CollateralOptions {
    /// Collateral of an up-to-date platform, issued an hour ago and in date for thirty days more.
    #[must_use]
    pub fn at(now_s: u64) -> Self {
        Self {
            now_s,
            issued_before_s: 60 * 60,
            valid_for_s: 30 * 24 * 60 * 60,
            tcb_status: TcbStatus::UpToDate,
            superseded_s: None,
            advisory_ids: Vec::new(),
            module_status: TcbStatus::UpToDate,
            qe_status: TcbStatus::UpToDate,
            evaluation_number: EVALUATION_NUMBER,
            fmspc: FMSPC,
            pce_id: PCE_ID,
            revoke_pck: false,
            revoke_platform_ca: false,
            revoke_root: false,
            signer: CollateralSigner::Genuine,
        }
    }

    fn issued_s(&self) -> u64 {
        self.now_s.saturating_sub(self.issued_before_s)
    }

    fn next_update_s(&self) -> u64 {
        self.now_s.saturating_add(self.valid_for_s)
    }
}

/// The collateral as the JSON that a caching service hands out: binary members in hex, JSON members as the signed text.
pub(crate) fn encode(platform: &SimulatedPlatform, options: &CollateralOptions) -> String {
    let other = match options.signer {
        CollateralSigner::OtherSeed(seed) => Some(Pki::new(Seed(seed))),
        _ => None,
    };
    let signing = other.as_ref().unwrap_or(&platform.pki);
    let chain = pem_chain(&signing.tcb_signer, signing);
    let tcb_info = tcb_info(platform, options).to_string();
    let qe_identity = qe_identity(platform, options).to_string();
    let sign = |text: &str, corrupt: bool| {
        let mut signature = signing.tcb_signer.key.sign_fixed(text.as_bytes());
        if let (true, Some(last)) = (corrupt, signature.last_mut()) {
            *last ^= 1;
        }
        hex::encode(signature)
    };
    json!({
        "pck_crl_issuer_chain": pem_chain(&platform.pki.platform_ca, &platform.pki),
        "root_ca_crl": hex::encode(root_revocation_list(platform, options)),
        "pck_crl": hex::encode(pck_revocation_list(platform, options)),
        "tcb_info_issuer_chain": chain,
        "tcb_info_signature": sign(&tcb_info, options.signer == CollateralSigner::CorruptTcbInfo),
        "tcb_info": tcb_info,
        "qe_identity_issuer_chain": chain,
        "qe_identity_signature": sign(&qe_identity, options.signer == CollateralSigner::CorruptQeIdentity),
        "qe_identity": qe_identity,
    })
    .to_string()
}

fn pem_chain(leaf: &Authority, pki: &Pki) -> String {
    format!("{}{}", leaf.pem, pki.root.pem)
}

fn root_revocation_list(platform: &SimulatedPlatform, options: &CollateralOptions) -> Vec<u8> {
    let authority = &platform.pki.root;
    let platform_ca = &platform.pki.platform_ca;
    let revoked: Vec<_> = [
        (options.revoke_platform_ca, platform_ca.serial),
        (options.revoke_root, authority.serial),
    ]
    .into_iter()
    .filter_map(|(is_revoked, serial)| is_revoked.then_some(serial))
    .collect();
    authority.revocation_list(&revoked, options.issued_s(), options.next_update_s())
}

fn pck_revocation_list(platform: &SimulatedPlatform, options: &CollateralOptions) -> Vec<u8> {
    let authority = &platform.pki.platform_ca;
    let revoked = options.revoke_pck.then_some(platform.pck.serial);
    authority.revocation_list(
        revoked.as_slice(),
        options.issued_s(),
        options.next_update_s(),
    )
}

/// The SEAM attributes that a TDX module may have, and the mask under which they are compared.
const NO_ATTRIBUTES: &str = "0000000000000000";
const ALL_ATTRIBUTES: &str = "FFFFFFFFFFFFFFFF";

/// TCB info v3 of Intel's PCS API v4: a better level if there is one, the platform's own, and one that everything meets.
fn tcb_info(platform: &SimulatedPlatform, options: &CollateralOptions) -> Value {
    let facts = &platform.facts;
    let module_signer = hex::encode_upper(quote::MR_SIGNER_SEAM);
    let better = options.superseded_s.map(|date_s| {
        let tcb = platform_tcb(&facts.cpu_svn, facts.pce_svn + 1, &quote::TEE_TCB_SVN);
        dated_level(&tcb, date_s, TcbStatus::UpToDate, &[])
    });
    let known = [
        level(
            &platform_tcb(&facts.cpu_svn, facts.pce_svn, &quote::TEE_TCB_SVN),
            options.tcb_status,
            &options.advisory_ids,
        ),
        level(
            &platform_tcb(&[0; 16], 0, &[0; 16]),
            TcbStatus::OutOfDate,
            &["INTEL-SA-00000".to_owned()],
        ),
    ];
    json!({
        "id": "TDX",
        "version": 3,
        "issueDate": rfc3339(options.issued_s()),
        "nextUpdate": rfc3339(options.next_update_s()),
        "fmspc": hex::encode_upper(options.fmspc),
        "pceId": hex::encode_upper(options.pce_id),
        "tcbType": 0,
        "tcbEvaluationDataNumber": options.evaluation_number,
        "tdxModule": {
            "mrsigner": module_signer,
            "attributes": NO_ATTRIBUTES,
            "attributesMask": ALL_ATTRIBUTES,
        },
        "tdxModuleIdentities": [{
            "id": format!("TDX_{:02X}", quote::MODULE_VERSION),
            "mrsigner": module_signer,
            "attributes": NO_ATTRIBUTES,
            "attributesMask": ALL_ATTRIBUTES,
            "tcbLevels": [level(&json!({ "isvsvn": quote::MODULE_SVN }), options.module_status, &[])],
        }],
        "tcbLevels": better.into_iter().chain(known).collect::<Vec<_>>(),
    })
}

/// QE identity v2 of Intel's PCS API v4.
fn qe_identity(platform: &SimulatedPlatform, options: &CollateralOptions) -> Value {
    json!({
        "id": "TD_QE",
        "version": 2,
        "issueDate": rfc3339(options.issued_s()),
        "nextUpdate": rfc3339(options.next_update_s()),
        "tcbEvaluationDataNumber": options.evaluation_number,
        "miscselect": "00000000",
        "miscselectMask": "FFFFFFFF",
        "attributes": "11000000000000000000000000000000",
        "attributesMask": "FBFFFFFFFFFFFFFF0000000000000000",
        "mrsigner": hex::encode_upper(platform.qe_mr_signer),
        "isvprodid": quote::QE_ISV_PRODUCT_ID,
        "tcbLevels": [level(&json!({ "isvsvn": quote::QE_ISV_SVN }), options.qe_status, &[])],
    })
}

fn level(tcb: &Value, status: TcbStatus, advisory_ids: &[String]) -> Value {
    dated_level(tcb, LEVEL_DATE_S, status, advisory_ids)
}

fn dated_level(tcb: &Value, date_s: u64, status: TcbStatus, advisory_ids: &[String]) -> Value {
    let mut level = json!({
        "tcb": tcb,
        "tcbDate": rfc3339(date_s),
        "tcbStatus": status.to_string(),
    });
    // Intel leaves the member out where there is none.
    if let (Some(members), false) = (level.as_object_mut(), advisory_ids.is_empty()) {
        members.insert("advisoryIDs".to_owned(), json!(advisory_ids));
    }
    level
}

fn platform_tcb(cpu_svn: &[u8; 16], pce_svn: u16, tee_tcb_svn: &[u8; 16]) -> Value {
    let components = |svns: &[u8; 16]| {
        svns.iter()
            .map(|svn| json!({ "svn": svn }))
            .collect::<Vec<_>>()
    };
    json!({
        "sgxtcbcomponents": components(cpu_svn),
        "pcesvn": pce_svn,
        "tdxtcbcomponents": components(tee_tcb_svn),
    })
}

fn rfc3339(time_s: u64) -> String {
    let time = date_time_ymd(1970, 1, 1) + Duration::from_secs(time_s);
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
    )
}
