//! What may be held: verified collateral of the family that was asked for, and nothing older than what is held.

use attestation::{
    Collateral, CollateralPart, Family, Tee, VerifiedCollateral, Verifier, VerifyError, rfc_3339,
};

/// What collateral is held against before it may be kept.
#[derive(Debug, Clone, Copy)]
pub struct Acceptance<'a> {
    /// Under whose root.
    pub verifier: &'a Verifier,
    /// The time, in seconds since the Unix epoch.
    pub now_s: u64,
    /// What is held for the family.
    pub held: Option<&'a Collateral>,
}

/// Why collateral may not be kept.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// For enclaves.
    #[error("it is for SGX enclaves and not for TDs")]
    NotTdx,
    /// For other platforms.
    #[error("it is for the family {}, not {wanted}", offered.map_or("of an unknown CA".to_owned(), |family| family.to_string()))]
    OtherFamily {
        /// What was asked for.
        wanted: Family,
        /// What came; `None` where the PCK CRL is of neither PCK CA.
        offered: Option<Family>,
    },
    /// Forged or out of date.
    #[error("it does not verify")]
    Unverified(#[source] VerifyError),
    /// Another set of TCB levels than the one that was asked for.
    #[error("it is of evaluation number {offered}, not {wanted}")]
    OtherNumber {
        /// What was asked for.
        wanted: u32,
        /// What came.
        offered: u32,
    },
    /// Knows of fewer TCB recovery events.
    #[error("its evaluation number is {offered}, below the {held} that is held")]
    LowerNumber {
        /// What is held.
        held: u32,
        /// What came.
        offered: u32,
    },
    /// A part was issued earlier.
    #[error(
        "its {part} was issued at {}, before the one that is held ({})",
        rfc_3339(*offered_s), rfc_3339(*held_s)
    )]
    Older {
        /// Which part.
        part: CollateralPart,
        /// When the held one was issued.
        held_s: u64,
        /// When the offered one was issued.
        offered_s: u64,
    },
}

impl Rejection {
    /// Whether it is sound, only behind what is held.
    #[must_use]
    pub const fn is_older(&self) -> bool {
        matches!(self, Self::Older { .. } | Self::LowerNumber { .. })
    }
}

impl Acceptance<'_> {
    /// Verified, of this family, and not older in any part than what is held.
    pub fn accept(
        &self,
        family: Family,
        offered: Collateral,
    ) -> Result<VerifiedCollateral, Rejection> {
        if offered.tee() != Tee::Tdx {
            return Err(Rejection::NotTdx);
        }
        if offered.family() != Some(family) {
            return Err(Rejection::OtherFamily {
                wanted: family,
                offered: offered.family(),
            });
        }
        let offered = self
            .verifier
            .verify_collateral(offered, self.now_s)
            .map_err(Rejection::Unverified)?;
        if let Some(held) = self.held.filter(|held| self.counts(held)) {
            not_older(held, offered.collateral())?;
        }
        Ok(offered)
    }

    /// What is held counts only if it verified once: a forged file with dates of the far future must not stop every refresh.
    fn counts(&self, held: &Collateral) -> bool {
        let issued = held.validities().iter().map(|part| part.issued_s);
        let issued_s = issued.max().unwrap_or_default();
        let was_sound = self.verifier.verify_collateral(held.clone(), issued_s);
        was_sound.is_ok() && issued_s <= self.now_s
    }
}

/// A mirror that lags, or somebody who would like a revocation forgotten, offers parts from before. Each part counts.
pub(crate) fn not_older(held: &Collateral, offered: &Collateral) -> Result<(), Rejection> {
    let numbers = (
        held.evaluation_data_number(),
        offered.evaluation_data_number(),
    );
    if numbers.1 < numbers.0 {
        return Err(Rejection::LowerNumber {
            held: numbers.0,
            offered: numbers.1,
        });
    }
    for (held, offered) in held.validities().iter().zip(offered.validities()) {
        if offered.issued_s < held.issued_s {
            return Err(Rejection::Older {
                part: held.part,
                held_s: held.issued_s,
                offered_s: offered.issued_s,
            });
        }
    }
    Ok(())
}
