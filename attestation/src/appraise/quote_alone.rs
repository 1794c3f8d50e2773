//! Appraising a quote without the connection that it was made for, alone or in its collection: for auditors' tools.

use crate::{Appraiser, ErrorCode, Evidence, ReportData, Transcript};

use super::{
    measurements,
    steps::{Steps, Verdict},
    tcb, td, worker,
};

/// What stands where a quote alone says nothing.
pub(super) const QUOTE_ALONE: &str = "not looked at: a quote alone";
/// What stands where nothing ties the rest of a collection to its quote.
const UNBOUND: &str = "not looked at: without the connection nothing ties them to the quote";

impl Appraiser<'_> {
    /// Appraise a quote alone: everything but the connection, the claims and the register of workers. It admits nobody.
    ///
    /// Without `report_data` (the 64 bytes that the quote should carry) nothing says for whom or when it was made.
    #[must_use]
    pub fn audit_quote(
        &self,
        quote: &[u8],
        report_data: Option<ReportData>,
        now_s: u64,
    ) -> Transcript {
        let mut steps = Steps::default();
        self.quote_steps(&mut steps, quote, None, report_data, now_s);
        self.transcript(steps, now_s)
    }

    /// Appraise a collection whose connection nobody knows: its quote, and what the quote's registers tie to it. Claims and
    /// device evidence could have been exchanged, so they are not looked at. It admits nobody.
    #[must_use]
    pub fn audit_unbound(&self, evidence: &Evidence, now_s: u64) -> Transcript {
        let mut steps = Steps::default();
        self.quote_steps(&mut steps, &evidence.quote, Some(evidence), None, now_s);
        self.transcript(steps, now_s)
    }

    fn quote_steps(
        &self,
        steps: &mut Steps,
        quote: &[u8],
        evidence: Option<&Evidence>,
        report_data: Option<ReportData>,
        now_s: u64,
    ) {
        let Some((verified, _)) = self.verified(steps, quote, now_s, worker::PLATFORM) else {
            return;
        };
        let seen = verified.report_data();
        match report_data {
            None => steps
                .step(5, "report data", "none was given")
                .skip(seen.to_string()),
            Some(wanted) => steps.step(5, "report data", wanted.to_string()).end(
                Verdict::from(seen == wanted),
                ErrorCode::ReportDataMismatch,
                seen.to_string(),
            ),
        }
        td::appraise(steps, self.policy, &verified);
        // Nobody keeps an account of the grace of a quote alone; the transcript says what is left.
        let _ = tcb::appraise(steps, self.policy, verified.tcb(), now_s);
        measurements::appraise(steps, self.policy, &verified, evidence);
        worker::platform(steps, self.policy, &verified, None, None);
        let seen = evidence.map_or(QUOTE_ALONE, |_| UNBOUND);
        steps.step(11, "claims", "the worker's").skip(seen);
    }
}
