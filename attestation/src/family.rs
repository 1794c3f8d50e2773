//! Which platforms collateral is for: the FMSPC selects the TCB info, the CA of the PCK certificate selects its CRL.

use std::{fmt, str::FromStr};

use x509_parser::prelude::{FromDer, X509Certificate, X509Name};

/// One of the two CAs that issue PCK certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PckCa {
    /// For platforms with one package that were not registered.
    Processor,
    /// For registered platforms: every server with TDX.
    Platform,
}

impl PckCa {
    /// The spelling of Intel's service, `pckcrl?ca=…`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Processor => "processor",
            Self::Platform => "platform",
        }
    }

    /// Tell the CA by its name. A name proves nothing: it selects what is then verified.
    pub(crate) fn from_name(name: &X509Name<'_>) -> Option<Self> {
        let common_name = name.iter_common_name().next()?.as_str().ok()?;
        if common_name.ends_with("SGX PCK Platform CA") {
            Some(Self::Platform)
        } else if common_name.ends_with("SGX PCK Processor CA") {
            Some(Self::Processor)
        } else {
            None
        }
    }

    /// The CA that a certificate (DER) says issued it.
    pub(crate) fn of_issued(certificate: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
        Self::from_name(certificate.issuer())
    }
}

impl fmt::Display for PckCa {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A text that is neither CA.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the CA is `platform` or `processor`")]
pub struct PckCaError;

impl FromStr for PckCa {
    type Err = PckCaError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Processor, Self::Platform]
            .into_iter()
            .find(|ca| ca.as_str() == text)
            .ok_or(PckCaError)
    }
}

/// What one set of collateral serves. `Display` and `FromStr` speak `b0c06f000000-platform`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Family {
    /// The platform family identifier.
    pub fmspc: [u8; 6],
    /// Who issued the platforms' PCK certificates.
    pub ca: PckCa,
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", hex::encode(self.fmspc), self.ca)
    }
}

/// A text that names no family.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a family is an FMSPC of 12 hexadecimal digits, a hyphen and a CA")]
pub struct FamilyError;

impl FromStr for Family {
    type Err = FamilyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (digits, ca) = text.split_once('-').ok_or(FamilyError)?;
        let mut fmspc = [0; 6];
        hex::decode_to_slice(digits, &mut fmspc).map_err(|_| FamilyError)?;
        let ca = ca.parse().map_err(|_| FamilyError)?;
        Ok(Self { fmspc, ca })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_reads_as_it_writes() {
        for text in ["b0c06f000000-platform", "00906ed50000-processor"] {
            assert_eq!(text.parse::<Family>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "b0c06f000000",
            "b0c06f0000-platform",
            "zzzzzzzzzzzz-platform",
            "b0c06f000000-root",
            "../c06f000000-platform",
        ] {
            assert_eq!(text.parse::<Family>(), Err(FamilyError), "{text}");
        }
    }
}
