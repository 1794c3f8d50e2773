//! Where collateral is asked for: a base URL, and the paths of Intel's API version 4 below it.
//!
//! Paths and parameters after "Intel SGX and Intel TDX Provisioning Certification Service, API version 4", which a PCCS
//! repeats but for the root CRL: Intel has that beside its certificates, a PCCS at `rootcacrl`.

use std::{fmt, net::IpAddr, str::FromStr};

use attestation::{Family, PckCa};
use reqwest::Url;

/// What operators paste along with the base.
const API_PATHS: [&str; 2] = ["/sgx/certification/v4", "/tdx/certification/v4"];
/// The host of Intel's own service, and where Intel publishes what its root revoked.
const INTEL_HOST: &str = "api.trustedservices.intel.com";
const INTEL_ROOT_CRL: &str = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der";

/// Which of Intel's sets of TCB levels to ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Update {
    /// The one that is in force.
    #[default]
    Standard,
    /// The newest, which will be in force some months later.
    Early,
    /// The one of this `tcbEvaluationDataNumber`.
    Number(u32),
}

impl Update {
    fn parameter(self) -> String {
        match self {
            Self::Standard => "update=standard".to_owned(),
            Self::Early => "update=early".to_owned(),
            Self::Number(number) => format!("tcbEvaluationDataNumber={number}"),
        }
    }
}

/// One service: Intel's, or a mirror.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    base: Url,
}

/// Why a text is no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Not a URL.
    #[error("it is not a URL")]
    Url,
    /// Neither TLS nor this very machine.
    #[error("it must start with https:// (plain http:// is for loopback addresses alone)")]
    NotHttps,
    /// More than a base.
    #[error("it must be a base URL without credentials, query and fragment")]
    TooMuch,
}

impl Source {
    /// Intel's own Provisioning Certification Service.
    pub const INTEL: &'static str = "https://api.trustedservices.intel.com";

    pub(crate) fn tcb_info(&self, fmspc: [u8; 6], update: Update) -> Url {
        let fmspc = hex::encode(fmspc);
        self.url(
            "tdx/certification/v4/tcb",
            &format!("fmspc={fmspc}&{}", update.parameter()),
        )
    }

    pub(crate) fn qe_identity(&self, update: Update) -> Url {
        self.url("tdx/certification/v4/qe/identity", &update.parameter())
    }

    pub(crate) fn pck_crl(&self, ca: PckCa) -> Url {
        self.url(
            "sgx/certification/v4/pckcrl",
            &format!("ca={ca}&encoding=der"),
        )
    }

    pub(crate) fn root_crl(&self) -> Url {
        let intel = (self.base.host_str() == Some(INTEL_HOST)).then(|| Url::parse(INTEL_ROOT_CRL));
        match intel {
            Some(Ok(url)) => url,
            _ => self.url("sgx/certification/v4/rootcacrl", ""),
        }
    }

    /// The four places of one family's parts.
    pub(crate) fn parts(&self, family: Family, update: Update) -> [Url; 4] {
        [
            self.tcb_info(family.fmspc, update),
            self.qe_identity(update),
            self.pck_crl(family.ca),
            self.root_crl(),
        ]
    }

    fn url(&self, path: &str, query: &str) -> Url {
        let mut url = self.base.clone();
        let base = self.base.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}/{path}"));
        url.set_query((!query.is_empty()).then_some(query));
        url
    }
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let mut base = Url::parse(text.trim()).map_err(|_| SourceError::Url)?;
        let is_permitted = match base.scheme() {
            "https" => true,
            "http" => is_loopback(&base),
            _ => false,
        };
        if !is_permitted {
            return Err(SourceError::NotHttps);
        }
        let is_base = base.query().is_none()
            && base.fragment().is_none()
            && base.username().is_empty()
            && base.password().is_none();
        if !is_base {
            return Err(SourceError::TooMuch);
        }
        let path = base.path().trim_end_matches('/');
        let path = API_PATHS
            .iter()
            .find_map(|api| path.strip_suffix(api))
            .unwrap_or(path)
            .to_owned();
        base.set_path(&path);
        Ok(Self { base })
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.base.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> Vec<String> {
        let family = "b0c06f000000-platform".parse().unwrap();
        let source: Source = text.parse().unwrap();
        let parts = source.parts(family, Update::Standard);
        parts.iter().map(Url::to_string).collect()
    }

    #[test]
    fn a_mirror_answers_below_its_base() {
        let expected = [
            "https://pccs.example:8081/x/tdx/certification/v4/tcb?fmspc=b0c06f000000&update=standard",
            "https://pccs.example:8081/x/tdx/certification/v4/qe/identity?update=standard",
            "https://pccs.example:8081/x/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
            "https://pccs.example:8081/x/sgx/certification/v4/rootcacrl",
        ];
        for base in [
            "https://pccs.example:8081/x",
            "https://pccs.example:8081/x/",
            "https://pccs.example:8081/x/sgx/certification/v4/",
            " https://pccs.example:8081/x/tdx/certification/v4\n",
        ] {
            assert_eq!(paths(base), expected, "{base}");
        }
    }

    #[test]
    fn intel_has_its_root_crl_beside_its_certificates() {
        let [_, _, _, root_crl] = &paths(Source::INTEL)[..] else {
            panic!("four parts");
        };
        assert_eq!(root_crl, INTEL_ROOT_CRL);
    }

    #[test]
    fn each_set_has_its_parameter() {
        let source: Source = "http://127.0.0.1:1".parse().unwrap();
        for (update, query) in [
            (Update::Standard, "update=standard"),
            (Update::Early, "update=early"),
            (Update::Number(18), "tcbEvaluationDataNumber=18"),
        ] {
            assert_eq!(source.qe_identity(update).query(), Some(query));
        }
    }

    #[test]
    fn what_travels_in_the_clear_stays_on_this_machine() {
        for good in [
            "http://localhost:8081",
            "http://127.0.0.1",
            "http://[::1]:9",
        ] {
            assert!(good.parse::<Source>().is_ok(), "{good}");
        }
        for (bad, error) in [
            ("pccs", SourceError::Url),
            ("http://pccs.example", SourceError::NotHttps),
            ("http://127.0.0.1.example", SourceError::NotHttps),
            ("ftp://127.0.0.1", SourceError::NotHttps),
            ("https://a:b@pccs.example", SourceError::TooMuch),
            ("https://pccs.example/?x=1", SourceError::TooMuch),
            ("https://pccs.example/#x", SourceError::TooMuch),
        ] {
            assert_eq!(bad.parse::<Source>(), Err(error), "{bad}");
        }
    }
}
