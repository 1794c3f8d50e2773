//! The forged hierarchy: a root, the PCK Platform CA, the TCB signer, one PCK certificate a machine, and the revocation lists.
#![expect(
    clippy::expect_used,
    reason = "every input here is a constant of the simulation, so a failure is a mistake in this file"
)]

use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams,
    CustomExtension, DnType, IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, RevocationReason,
    RevokedCertParams, SerialNumber, SigningKey, date_time_ymd,
};

use crate::{
    keys::{Seed, SeededKey},
    sgx_extension::{self, PckFacts},
};

/// Opens the name of everything that is signed here. A person who meets one in a log must not need to look it up.
pub(crate) const NAME_PREFIX: &str = "SIMULATED - not Intel";

/// A key with the certificate that speaks for it.
#[derive(Debug)]
pub(crate) struct Authority<K = SeededKey> {
    pub(crate) key: K,
    pub(crate) der: Vec<u8>,
    pub(crate) pem: String,
    pub(crate) serial: [u8; 16],
    params: CertificateParams,
}

/// Everything of the hierarchy that all machines of one seed share.
#[derive(Debug)]
pub(crate) struct Pki {
    pub(crate) root: Authority,
    pub(crate) platform_ca: Authority,
    pub(crate) tcb_signer: Authority,
}

impl Pki {
    pub(crate) fn new(seed: Seed) -> Self {
        let authority = |name| authority_params(seed, &intel(name), NAME_PREFIX);
        let root = Authority::self_signed(seed.key("SGX Root CA"), authority("SGX Root CA"));
        let platform_ca = "SGX PCK Platform CA";
        let tcb_signer = "SGX TCB Signing";
        Self {
            platform_ca: root.issue(seed.key(platform_ca), authority(platform_ca)),
            tcb_signer: root.issue(
                seed.key(tcb_signer),
                leaf_params(seed, &intel(tcb_signer), NAME_PREFIX),
            ),
            root,
        }
    }

    /// The certificate of one machine's provisioning certification key.
    pub(crate) fn pck(&self, seed: Seed, machine: u16, facts: &PckFacts) -> Authority {
        let name = format!("SGX PCK Certificate {machine}");
        let mut params = leaf_params(seed, &intel(&name), NAME_PREFIX);
        params.custom_extensions = vec![CustomExtension::from_oid_content(
            sgx_extension::SGX_EXTENSION,
            sgx_extension::encode(facts),
        )];
        self.platform_ca.issue(seed.key(&name), params)
    }
}

impl Pki {
    /// A PCK certificate again, with other dates.
    pub(crate) fn with_validity(&self, pck: &Authority, from_s: u64, to_s: u64) -> Authority {
        let mut params = pck.params.clone();
        params.not_before = date_time_ymd(1970, 1, 1) + Duration::from_secs(from_s);
        params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(to_s);
        self.platform_ca.issue(pck.key.clone(), params)
    }
}

impl<K: SigningKey> Authority<K> {
    pub(crate) fn self_signed(key: K, params: CertificateParams) -> Self {
        let certificate = params.self_signed(&key).expect("constant certificate");
        Self::new(key, &certificate, params)
    }

    pub(crate) fn issue<L: SigningKey>(&self, key: L, params: CertificateParams) -> Authority<L> {
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params
            .signed_by(&key, &issuer)
            .expect("constant certificate");
        Authority::new(key, &certificate, params)
    }

    fn new(key: K, certificate: &Certificate, params: CertificateParams) -> Self {
        let mut serial = [0; 16];
        let given = params.serial_number.as_ref().map(SerialNumber::as_ref);
        serial.copy_from_slice(given.expect("every certificate here has a serial"));
        Self {
            key,
            der: certificate.der().to_vec(),
            pem: certificate.pem(),
            serial,
            params,
        }
    }

    /// A certificate revocation list in DER that names `revoked`.
    pub(crate) fn revocation_list(
        &self,
        revoked: &[[u8; 16]],
        issued_s: u64,
        next_update_s: u64,
    ) -> Vec<u8> {
        let this_update = date_time_ymd(1970, 1, 1) + Duration::from_secs(issued_s);
        let params = CertificateRevocationListParams {
            this_update,
            next_update: date_time_ymd(1970, 1, 1) + Duration::from_secs(next_update_s),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            key_identifier_method: KeyIdMethod::Sha256,
            revoked_certs: revoked
                .iter()
                .map(|serial| RevokedCertParams {
                    serial_number: SerialNumber::from(serial.to_vec()),
                    revocation_time: this_update,
                    reason_code: Some(RevocationReason::KeyCompromise),
                    invalidity_date: None,
                })
                .collect(),
        };
        let issuer = Issuer::from_params(&self.params, &self.key);
        let list = params.signed_by(&issuer).expect("constant revocation list");
        list.der().to_vec()
    }
}

fn intel(name: &str) -> String {
    format!("{NAME_PREFIX} - {name}")
}

pub(crate) fn authority_params(seed: Seed, name: &str, organization: &str) -> CertificateParams {
    let mut params = leaf_params(seed, name, organization);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

pub(crate) fn leaf_params(seed: Seed, name: &str, organization: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params
        .distinguished_name
        .push(DnType::OrganizationName, organization);
    // Dates that no test's clock leaves, so that the root is a function of the seed alone. 2049 is UTCTime's last year.
    params.not_before = date_time_ymd(2018, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    params.serial_number = Some(SerialNumber::from(serial(seed, name).to_vec()));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.key_identifier_method = KeyIdMethod::Sha256;
    params.use_authority_key_identifier_extension = true;
    params
}

/// A positive serial number: DER would lengthen one whose first bit is set, and shorten one that opens with zeros.
fn serial(seed: Seed, name: &str) -> [u8; 16] {
    let mut serial: [u8; 16] = seed.bytes(&format!("serial {name}"));
    if let Some(first) = serial.first_mut() {
        *first = 0x51;
    }
    serial
}
