//! Step 7: the platform's TCB, as the policy sees what Intel says of it.

use crate::{AppraisalPolicy, ErrorCode, TcbVerdict};

use super::steps::{Steps, Verdict, list};

const NUMBER: u8 = 7;

pub(super) fn appraise(steps: &mut Steps, policy: &AppraisalPolicy, tcb: &TcbVerdict) {
    let rules = &policy.tcb;
    let allowed = Verdict::from(rules.statuses_allowed.contains(&tcb.status));
    let wanted = format!("one of {}", list(&rules.statuses_allowed));
    steps.step(NUMBER, "TCB status", wanted).end(
        allowed,
        ErrorCode::TcbStatusNotAllowed,
        format!(
            "{} (platform {}, quoting enclave {})",
            tcb.status, tcb.platform_status, tcb.quoting_enclave_status
        ),
    );
    // Intel's convergence looks at a TD 1.5's present TCB only where that is the better one.
    if let Some(now) = tcb.platform_status_now {
        let wanted = format!("one of {}", list(&rules.statuses_allowed));
        steps.step(NUMBER, "TCB status now", wanted).end(
            Verdict::from(rules.statuses_allowed.contains(&now)),
            ErrorCode::TcbStatusNotAllowed,
            now.to_string(),
        );
    }
    let floor = rules.evaluation_data_number_min;
    steps
        .step(NUMBER, "TCB evaluation number", format!("{floor} or more"))
        .end(
            Verdict::from(tcb.evaluation_data_number >= floor),
            ErrorCode::EvaluationNumberTooLow,
            tcb.evaluation_data_number.to_string(),
        );
    let denied = tcb
        .advisory_ids
        .iter()
        .any(|advisory| rules.advisories_denied.contains(advisory));
    steps
        .step(
            NUMBER,
            "advisories",
            format!("none of {}", list(&rules.advisories_denied)),
        )
        .end(
            Verdict::from(!denied),
            ErrorCode::AdvisoryDenied,
            list(&tcb.advisory_ids),
        );
}
