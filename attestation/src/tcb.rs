//! The platform's trusted computing base, as Intel judges it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

macro_rules! tcb_statuses {
    ($($variant:ident: $doc:literal;)*) => {
        /// Intel's judgement of a TCB level (PCS API version 4, `tcbStatus`; the last two are TD 1.5's).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum TcbStatus {
            $(#[doc = $doc] $variant,)*
        }

        impl TcbStatus {
            /// Every status.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Intel's spelling.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)* }
            }
        }

        impl From<dcap_qvl::TcbStatus> for TcbStatus {
            fn from(status: dcap_qvl::TcbStatus) -> Self {
                match status { $(dcap_qvl::TcbStatus::$variant => Self::$variant,)* }
            }
        }
    };
}

tcb_statuses! {
    UpToDate: "Nothing is known to be wrong.";
    SWHardeningNeeded: "Software must work around an advisory.";
    ConfigurationNeeded: "The platform's configuration leaves an advisory open.";
    ConfigurationAndSWHardeningNeeded: "Both of the above.";
    OutOfDate: "An update is missing.";
    OutOfDateConfigurationNeeded: "An update is missing, and the configuration leaves an advisory open.";
    Revoked: "The platform's keys count as compromised. Never allowed.";
    TDRelaunchAdvised: "The TD was started on an outdated TDX module that has been updated since.";
    TDRelaunchAdvisedConfigurationNeeded: "As before, and the configuration leaves an advisory open.";
}

impl fmt::Display for TcbStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A text that is no TCB status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown TCB status")]
pub struct UnknownTcbStatus;

impl FromStr for TcbStatus {
    type Err = UnknownTcbStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|status| status.as_str() == text)
            .ok_or(UnknownTcbStatus)
    }
}

/// What verification found of the platform's TCB. `OutOfDate` is a finding, not a refusal: the appraisal policy says
/// which statuses are allowed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TcbVerdict {
    /// The platform's and the quoting enclave's statuses, converged as Intel's library does it.
    pub status: TcbStatus,
    /// The platform alone, TDX module included, as it was when the TD was launched.
    pub platform_status: TcbStatus,
    /// The same as it is now, where the TD quote body says (TD 1.5). `status` covers it only where it is better.
    pub platform_status_now: Option<TcbStatus>,
    /// The quoting enclave alone.
    pub quoting_enclave_status: TcbStatus,
    /// Advisories (`INTEL-SA-…`) of both.
    pub advisory_ids: Vec<String>,
    /// Lower of the evaluation numbers of TCB info and QE identity.
    pub evaluation_data_number: u32,
    /// The date of the platform's TCB level (RFC 3339).
    pub level_date: String,
    /// Since when a better level is described, in seconds since the Unix epoch: the date of the level after the platform's or the
    /// quoting enclave's, whichever is earlier and not up to date. A grace counts from here. `None` where both are up to date.
    pub superseded_s: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_have_intels_spelling() {
        for status in TcbStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(*status));
            assert_eq!(
                serde_json::to_string(status).unwrap(),
                format!("\"{status}\"")
            );
        }
        assert_eq!("uptodate".parse::<TcbStatus>(), Err(UnknownTcbStatus));
    }
}
