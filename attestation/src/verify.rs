//! Verifying a quote: from its structure to what Intel's root vouches for.
//!
//! The cryptography is `dcap-qvl`'s. Around it stand what it leaves out (the PCE id), names for the
//! texts that it refuses with ([`classify`]), and a verdict that keeps findings apart from rules: an
//! outdated TCB, a debug TD or a bound service TD verifies, and is then refused by the appraisal with its own code.

mod classify;
mod collateral;
mod error;

use std::{collections::BTreeSet, fmt, ops::Bound};

use dcap_qvl::{QuoteClaims, QuoteCollateralV3, QuotePolicy, intel, verify::QuoteVerifier};
use serde::Serialize;

pub use collateral::VerifiedCollateral;
pub use error::{CertificateChain, ChainFault, Details, VerifyError};

use crate::{
    Collateral, PckCertificate, Quote, QuoteBody, ReportData, TcbVerdict, TdQuoteBody, TrustAnchor,
    anchor::Root,
    collateral::{LevelDates, SIGNATURE_BYTES, epoch_s},
};

/// Certification data that is the PCK certificate chain itself, in PEM.
const CERTIFICATION_PCK_CHAIN: u16 = 5;

/// Verifies quotes under one trust anchor. Holds no state; share it freely.
pub struct Verifier {
    anchor: TrustAnchor,
    dcap: QuoteVerifier,
}

impl Verifier {
    /// A verifier that ends every chain in `anchor`.
    #[must_use]
    pub fn new(anchor: TrustAnchor) -> Self {
        let dcap = match anchor.root() {
            Root::Intel => QuoteVerifier::new_prod(),
            Root::Other(der) => QuoteVerifier::new(der.clone()),
        };
        // Both are findings here and refusals of the appraisal, where they have codes and steps of their own.
        Self {
            anchor,
            dcap: dcap.allow_debug(true).allow_service_td(true),
        }
    }

    /// The trust anchor, for its label.
    #[must_use]
    pub const fn anchor(&self) -> &TrustAnchor {
        &self.anchor
    }

    /// Verify a quote at `now_s` (seconds since the Unix epoch). Every part of the collateral must be in date.
    pub fn verify(
        &self,
        quote: &Quote,
        collateral: &Collateral,
        now_s: u64,
    ) -> Result<VerifiedQuote, VerifyError> {
        if quote.tee() != collateral.tee() {
            return Err(VerifyError::CollateralKind);
        }
        in_date(collateral, now_s)?;
        let parts = collateral.parts();
        let claims = self.verify_dcap(quote, parts, now_s);
        let claims = claims.map_err(|error| pck_extension(quote, parts).err().unwrap_or(error))?;
        VerifiedQuote::new(&self.anchor, quote, &claims, collateral)
    }

    /// The library's own policy stays out of it: its strict one refuses every real server (dynamic platform, SMT, cached
    /// keys), and all of them answer with texts.
    fn verify_dcap(
        &self,
        quote: &Quote,
        collateral: &QuoteCollateralV3,
        now_s: u64,
    ) -> Result<QuoteClaims, VerifyError> {
        let verify = |parts: &QuoteCollateralV3| {
            self.dcap
                .verify_with_policy(
                    quote.bytes(),
                    parts,
                    now_s,
                    &QuotePolicy::claims_only(now_s),
                )
                .map_err(|error| format!("{error:#}"))
        };
        verify(collateral)
            .map_err(|text| classify::classify(&text, || failing_chain(collateral, verify)))
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Verifier")
            .field("anchor", &self.anchor)
            .finish_non_exhaustive()
    }
}

/// Find out which chain a chain error is about. The library says so of none of the three, but it verifies the TCB
/// info's chain and signature, then the QE identity's, then the PCK chain: with a signature spoiled, the verification
/// stops at that signature exactly if the chain before it holds. Only ever done for a quote that is refused already.
fn failing_chain(
    collateral: &QuoteCollateralV3,
    verify: impl Fn(&QuoteCollateralV3) -> Result<QuoteClaims, String>,
) -> CertificateChain {
    let spoiled = vec![1; SIGNATURE_BYTES];
    let stops_at_signature =
        |parts: QuoteCollateralV3| verify(&parts).is_err_and(|text| classify::is_signature(&text));
    let tcb_info = QuoteCollateralV3 {
        tcb_info_signature: spoiled.clone(),
        ..collateral.clone()
    };
    if !stops_at_signature(tcb_info) {
        return CertificateChain::TcbInfo;
    }
    let qe_identity = QuoteCollateralV3 {
        qe_identity_signature: spoiled,
        ..collateral.clone()
    };
    if stops_at_signature(qe_identity) {
        CertificateChain::Pck
    } else {
        CertificateChain::QeIdentity
    }
}

/// All four parts in date, up to the last second before `nextUpdate`. The library refuses nearly the same (TCB info and
/// QE identity one second later, a revocation list from the future not at all), but does not say which part and until
/// when.
fn in_date(collateral: &Collateral, now_s: u64) -> Result<(), VerifyError> {
    for validity in collateral.validities() {
        if now_s < validity.issued_s {
            return Err(VerifyError::NotYetValid {
                part: validity.part,
                issued_s: validity.issued_s,
                now_s,
            });
        }
        if now_s >= validity.next_update_s {
            return Err(VerifyError::Expired {
                part: validity.part,
                next_update_s: validity.next_update_s,
                now_s,
            });
        }
    }
    Ok(())
}

/// The PCK certificate's SGX extension reads. The library answers a malformed one with a dozen different texts. Only ever
/// asked for a quote that is refused already.
fn pck_extension(quote: &Quote, collateral: &QuoteCollateralV3) -> Result<(), VerifyError> {
    let certificate = match &collateral.pck_certificate_chain {
        Some(pem) => intel::parse_pck_extension_from_pem(pem.as_bytes())
            .map(|_| ())
            .map_err(|error| format!("{error:#}")),
        None if quote.certification_type() != CERTIFICATION_PCK_CHAIN => {
            return Err(VerifyError::CertificationData(quote.certification_type()));
        }
        None => quote
            .pck_certificate()
            .map(|_| ())
            .map_err(|error| error.to_string()),
    };
    certificate.map_err(|text| VerifyError::PckCertificate(Details(text)))
}

/// A quote that leads to the trust anchor, with what it and its certificates say. Only [`Verifier::verify`] makes one.
///
/// Verified is not admitted: the TCB may be outdated, the TD may be debuggable. That is for the appraisal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifiedQuote {
    trust_anchor: String,
    quote_version: u16,
    body: QuoteBody,
    platform: PckCertificate,
    tcb: TcbVerdict,
    collateral_next_update_s: u64,
}

impl VerifiedQuote {
    fn new(
        anchor: &TrustAnchor,
        quote: &Quote,
        claims: &QuoteClaims,
        collateral: &Collateral,
    ) -> Result<Self, VerifyError> {
        let platform = platform(claims)?;
        if platform.pce_id != collateral.pce_id() {
            return Err(VerifyError::PceId {
                certificate: platform.pce_id,
                tcb_info: collateral.pce_id(),
            });
        }
        Ok(Self {
            trust_anchor: anchor.label().to_owned(),
            quote_version: quote.version(),
            body: quote.body().clone(),
            platform,
            tcb: tcb_verdict(claims, collateral.level_dates()),
            collateral_next_update_s: collateral.next_update_s(),
        })
    }

    /// The label of the root that vouches for the quote.
    #[must_use]
    pub fn trust_anchor(&self) -> &str {
        &self.trust_anchor
    }

    /// The quote format's version.
    #[must_use]
    pub const fn quote_version(&self) -> u16 {
        self.quote_version
    }

    /// What the quote is about.
    #[must_use]
    pub const fn body(&self) -> &QuoteBody {
        &self.body
    }

    /// The TD's claims; `None` for an SGX quote.
    #[must_use]
    pub fn td(&self) -> Option<&TdQuoteBody> {
        self.body.td()
    }

    /// The 64 bytes that the environment chose.
    #[must_use]
    pub fn report_data(&self) -> ReportData {
        self.body.report_data()
    }

    /// The platform, after its PCK certificate.
    #[must_use]
    pub const fn platform(&self) -> &PckCertificate {
        &self.platform
    }

    /// What Intel says of the platform's TCB.
    #[must_use]
    pub const fn tcb(&self) -> &TcbVerdict {
        &self.tcb
    }

    /// When the first part of the collateral ends, in seconds since the Unix epoch.
    #[must_use]
    pub const fn collateral_next_update_s(&self) -> u64 {
        self.collateral_next_update_s
    }
}

fn platform(claims: &QuoteClaims) -> Result<PckCertificate, VerifyError> {
    let pck = &claims.platform.pck;
    let length = |field: &str| {
        VerifyError::PckCertificate(Details(format!("the {field} has another length")))
    };
    Ok(PckCertificate {
        ppid: pck.ppid.as_slice().try_into().map_err(|_| length("PPID"))?,
        fmspc: pck.fmspc,
        pce_id: pck
            .pce_id
            .as_slice()
            .try_into()
            .map_err(|_| length("PCE id"))?,
        pce_svn: pck.pce_svn,
        cpu_svn: pck.cpu_svn,
    })
}

fn tcb_verdict(claims: &QuoteClaims, dates: &LevelDates) -> TcbVerdict {
    let platform = &claims.platform;
    let current = platform
        .current_tcb_level
        .iter()
        .flat_map(|level| &level.advisory_ids);
    // Sorted and once each; those of a TD 1.5's current level are not in the library's own verdict.
    let advisory_ids: BTreeSet<_> = claims
        .tcb
        .advisory_ids
        .iter()
        .chain(current)
        .cloned()
        .collect();
    TcbVerdict {
        status: claims.tcb.status.into(),
        platform_status: platform.tcb_level.tcb_status.into(),
        platform_status_now: platform
            .current_tcb_level
            .as_ref()
            .map(|level| level.tcb_status.into()),
        quoting_enclave_status: claims.qe.tcb_level.tcb_status.into(),
        advisory_ids: advisory_ids.into_iter().collect(),
        evaluation_data_number: claims.tcb.eval_data_number,
        level_date: platform.tcb_level.tcb_date.clone(),
        superseded_s: superseded_s(claims, dates),
    }
}

/// The earliest date at which Intel described a level better than one that is not up to date. Where none is newer, a level was
/// never good, and its own date counts.
fn superseded_s(claims: &QuoteClaims, dates: &LevelDates) -> Option<u64> {
    let platform = &claims.platform;
    let platform_levels = [
        Some(&platform.tcb_level),
        platform.current_tcb_level.as_ref(),
    ];
    let platform_levels = platform_levels
        .into_iter()
        .flatten()
        .map(|level| (level.tcb_status, &level.tcb_date, &dates.platform));
    let enclave = &claims.qe.tcb_level;
    let enclave_level = (
        enclave.tcb_status,
        &enclave.tcb_date,
        &dates.quoting_enclave,
    );
    platform_levels
        .chain([enclave_level])
        .filter(|(status, ..)| *status != dcap_qvl::TcbStatus::UpToDate)
        .map(|(_, date, known)| {
            // A date that does not parse is 1970: no grace is left.
            let own_s = epoch_s(date).unwrap_or(0);
            let newer = (Bound::Excluded(own_s), Bound::Unbounded);
            known.range(newer).next().copied().unwrap_or(own_s)
        })
        .min()
}
