//! The new pool's certificates: P-256, one CA for what workers pin and another for what clients trust, so that a key of
//! the API listener cannot stand in for the worker listener.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use zeroize::Zeroizing;

/// Workers pin the pool's CA in a measured image; to change it is a new release of that image.
const CA_DAYS: i32 = 3_650;
/// The longest that common clients accept of a private CA.
const LEAF_DAYS: i32 = 825;
/// Machines whose clocks are behind accept a fresh certificate all the same.
const BACKDATED_DAYS: i32 = 1;
/// A DNS name (RFC 1035, section 2.3.4).
const HOSTNAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// A DNS name or an IP address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hostname(String);

/// Why a text is neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a DNS name such as gateway.example.org, or an IP address")]
pub struct HostnameError;

impl FromStr for Hostname {
    type Err = HostnameError;

    fn from_str(text: &str) -> Result<Self, HostnameError> {
        let is_label = |label: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            (1..=LABEL_BYTES_MAX).contains(&label.len())
                && label.bytes().all(plain)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let is_name = text.len() <= HOSTNAME_BYTES_MAX && text.split('.').all(is_label);
        if is_name || text.parse::<IpAddr>().is_ok() {
            Ok(Self(text.to_owned()))
        } else {
            Err(HostnameError)
        }
    }
}

impl fmt::Display for Hostname {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Why certificates cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("the clock shows no date that a certificate could carry")]
    Clock,
    #[error("a key or certificate cannot be made")]
    Make(#[source] rcgen::Error),
}

/// A certificate and its key, in PEM.
pub(super) struct Certified {
    pub(super) certificate: String,
    pub(super) key: Zeroizing<String>,
}

/// All of a new pool's.
pub(super) struct PoolCertificates {
    pub(super) pool_ca: Certified,
    pub(super) worker_listener: Certified,
    pub(super) api_ca: Certified,
    pub(super) api: Certified,
}

impl PoolCertificates {
    pub(super) fn generate(hostname: &Hostname, now_s: u64) -> Result<Self, CertificateError> {
        let now = i64::try_from(now_s)
            .ok()
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .ok_or(CertificateError::Clock)?;
        let today = Offset::UTC.to_datetime(now).date();
        let (pool_ca, worker_listener) =
            pair("cocoon pool CA", "cocoon worker listener", hostname, today)?;
        let (api_ca, api) = pair("cocoon API CA", "cocoon API", hostname, today)?;
        Ok(Self {
            pool_ca,
            worker_listener,
            api_ca,
            api,
        })
    }
}

fn pair(
    ca_name: &str,
    leaf_name: &str,
    hostname: &Hostname,
    today: Date,
) -> Result<(Certified, Certified), CertificateError> {
    let ca = CertifiedIssuer::self_signed(ca_params(ca_name, today)?, key()?)
        .map_err(CertificateError::Make)?;
    let leaf_key = key()?;
    let leaf = leaf_params(leaf_name, hostname, today)?
        .signed_by(&leaf_key, &ca)
        .map_err(CertificateError::Make)?;
    let certified_leaf = Certified {
        certificate: leaf.pem(),
        key: Zeroizing::new(leaf_key.serialize_pem()),
    };
    let certified_ca = Certified {
        certificate: ca.pem(),
        key: Zeroizing::new(ca.key().serialize_pem()),
    };
    Ok((certified_ca, certified_leaf))
}

fn key() -> Result<KeyPair, CertificateError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(CertificateError::Make)
}

fn ca_params(name: &str, today: Date) -> Result<CertificateParams, CertificateError> {
    let mut params = params(name, Vec::new(), today, CA_DAYS)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn leaf_params(
    name: &str,
    hostname: &Hostname,
    today: Date,
) -> Result<CertificateParams, CertificateError> {
    let mut params = params(name, vec![hostname.0.clone()], today, LEAF_DAYS)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn params(
    name: &str,
    names: Vec<String>,
    today: Date,
    days: i32,
) -> Result<CertificateParams, CertificateError> {
    let mut params = CertificateParams::new(names).map_err(CertificateError::Make)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let (year, month, day) = shifted(today, -BACKDATED_DAYS)?;
    params.not_before = rcgen::date_time_ymd(year, month, day);
    let (year, month, day) = shifted(today, days)?;
    params.not_after = rcgen::date_time_ymd(year, month, day);
    Ok(params)
}

/// Year, month and day so many days after `date`.
fn shifted(date: Date, days: i32) -> Result<(i32, u8, u8), CertificateError> {
    let date = date
        .checked_add(days.days())
        .map_err(|_| CertificateError::Clock)?;
    let part = |part: i8| u8::try_from(part).map_err(|_| CertificateError::Clock);
    Ok((
        i32::from(date.year()),
        part(date.month())?,
        part(date.day())?,
    ))
}
