//! Steps 3 and 4: the quote reads, and leads to the trust anchor with collateral in date.
//!
//! The verifier ends at its first finding, whatever that is about. The transcript has it where a reader looks for it: what is
//! wrong with the TD stands at step 6, what is wrong with the TCB at step 7.

use crate::{
    Appraiser, ChainFault, ErrorCode, Quote, TdQuoteBody, VerifiedQuote, VerifyError, rfc_3339,
};

use super::{
    steps::{Steps, chain},
    tcb, td,
};

const QUOTE: u8 = 3;
const COLLATERAL: u8 = 4;
const SIGNATURES: &str = "signatures, certificates and collateral";
const IN_DATE: &str = "collateral in date";
const HOUR_S: u64 = 3600;

/// A step that a refusal of the verifier belongs to.
struct Place {
    number: u8,
    name: &'static str,
    wanted: String,
}

impl Appraiser<'_> {
    /// Answers also for how many seconds past its end the collateral was used. Where there is no answer, `steps` are complete up
    /// to `last`.
    pub(super) fn verified(
        &self,
        steps: &mut Steps,
        bytes: &[u8],
        now_s: u64,
        last: u8,
    ) -> Option<(VerifiedQuote, u64)> {
        let Some(quote) = parse(steps, bytes) else {
            steps.not_reached(COLLATERAL..=last, QUOTE);
            return None;
        };
        // The collateral's last second; what has expired since counts on for the policy's grace, as of that second.
        let last_s = self.collateral.next_update_s().saturating_sub(1);
        let overdue_s = now_s.saturating_sub(last_s);
        let verified = match self.verifier.verify(&quote, self.collateral, now_s) {
            Err(VerifyError::Expired { .. }) if overdue_s <= self.policy.collateral_grace_s() => {
                self.verifier.verify(&quote, self.collateral, last_s)
            }
            verified => verified,
        };
        let verified = match verified {
            Ok(verified) => verified,
            Err(error) => {
                self.refused(steps, &error, last);
                return None;
            }
        };
        let (ppid, anchor) = (
            hex::encode(verified.platform().ppid),
            verified.trust_anchor(),
        );
        steps
            .step(COLLATERAL, SIGNATURES, self.signatures_wanted())
            .pass(format!("platform {ppid}, {anchor}"));
        let end = rfc_3339(self.collateral.next_update_s());
        let seen = if overdue_s == 0 {
            format!("until {end}")
        } else {
            format!("ended at {end}, within the policy's grace")
        };
        steps
            .step(COLLATERAL, IN_DATE, self.in_date_wanted())
            .pass(seen);
        Some((verified, overdue_s))
    }

    fn signatures_wanted(&self) -> String {
        let label = self.verifier.anchor().label();
        format!("a chain to {label}, none of it revoked")
    }

    fn in_date_wanted(&self) -> String {
        let grace = self.policy.collateral_grace_s() / HOUR_S;
        format!("in date, or overdue by {grace} h at most")
    }

    fn refused(&self, steps: &mut Steps, error: &VerifyError, last: u8) {
        let place = self.place(error);
        let (code, end) = (error.code(), place.number);
        if place.name != SIGNATURES {
            let wanted = self.signatures_wanted();
            let seen = format!("not finished: ended at \"{}\"", place.name);
            steps
                .step(COLLATERAL, SIGNATURES, wanted)
                .skip_required(seen);
        }
        steps.not_reached(COLLATERAL.saturating_add(1)..=end.saturating_sub(1), end);
        let step = steps.step(end, place.name, place.wanted);
        step.fail(code, chain(error));
        steps.not_reached(end.saturating_add(1)..=last, end);
    }

    fn place(&self, error: &VerifyError) -> Place {
        use VerifyError as E;
        let (number, name, wanted) = match error {
            E::Expired { .. }
            | E::NotYetValid { .. }
            | E::Chain {
                fault: ChainFault::CrlExpired,
                ..
            } => return at(COLLATERAL, IN_DATE, self.in_date_wanted()),
            E::CollateralKind | E::TcbInfoKind(_) | E::Fmspc(_) | E::PceId { .. } => (
                COLLATERAL,
                "collateral of this platform",
                "of the quote's TEE, family (FMSPC) and PCE",
            ),
            E::TdReserved(_) => (td::NUMBER, "TD attributes", "no reserved bit set"),
            E::TdMigratable(_) => (td::NUMBER, "TD not migratable", "bit 29 clear"),
            E::TdServiceTd(_) => (td::NUMBER, "service TD", "absent"),
            E::TdSeptVe(_) => (td::NUMBER, "SEPT_VE_DISABLE", "bit 28 set"),
            E::TdxModule(_) => (
                td::NUMBER,
                "TDX module (MRSEAM)",
                "one that TCB info describes",
            ),
            E::TcbLevel(_) | E::QeTcbLevel(_) => {
                (tcb::NUMBER, "TCB level", "one that Intel describes")
            }
            E::Revoked(_) => (tcb::NUMBER, "TCB status", "any but Revoked"),
            _ => return at(COLLATERAL, SIGNATURES, self.signatures_wanted()),
        };
        at(number, name, wanted)
    }
}

fn at(number: u8, name: &'static str, wanted: impl Into<String>) -> Place {
    let wanted = wanted.into();
    Place {
        number,
        name,
        wanted,
    }
}

fn parse(steps: &mut Steps, bytes: &[u8]) -> Option<Quote> {
    let step = steps.step(QUOTE, "quote", "a TD's quote, version 4 or 5");
    let quote = match Quote::parse(bytes) {
        Ok(quote) => quote,
        Err(error) => {
            step.fail(error.code(), error.to_string());
            return None;
        }
    };
    let Some(layout) = quote.td().map(TdQuoteBody::layout) else {
        step.fail(ErrorCode::QuoteNotTd, "an SGX enclave's quote");
        return None;
    };
    step.pass(format!("version {}, {layout}", quote.version()));
    Some(quote)
}
