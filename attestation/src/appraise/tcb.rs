//! Step 7: the platform's TCB, as the policy sees what Intel says of it.

use crate::{
    AppraisalPolicy, ErrorCode, TcbStatus, TcbVerdict,
    policy::{DAY_S, TcbRules},
    rfc_3339,
};

use super::steps::{Steps, Verdict, list};

pub(super) const NUMBER: u8 = 7;

/// Answers for how many seconds the policy's grace still lasts, where it was needed.
pub(super) fn appraise(
    steps: &mut Steps,
    policy: &AppraisalPolicy,
    tcb: &TcbVerdict,
    now_s: u64,
) -> Option<u64> {
    let rules = &policy.tcb;
    let seen = format!(
        "{} (platform {}, quoting enclave {})",
        tcb.status, tcb.platform_status, tcb.quoting_enclave_status
    );
    let grace = Grace::of(rules, tcb, now_s);
    let left_s = status(steps, "TCB status", rules, &grace, tcb.status, seen);
    // Intel's convergence looks at a TD 1.5's present TCB only where that is the better one.
    let left_now_s = tcb
        .platform_status_now
        .and_then(|now| status(steps, "TCB status now", rules, &grace, now, now.to_string()));
    evaluation_number(steps, rules, tcb);
    advisories(steps, rules, tcb);
    left_s.or(left_now_s)
}

/// How much of the policy's grace for an outdated TCB is left.
struct Grace {
    since_s: u64,
    left_s: Option<u64>,
}

impl Grace {
    fn of(rules: &TcbRules, tcb: &TcbVerdict, now_s: u64) -> Self {
        let since_s = tcb.superseded_s.unwrap_or(0);
        let left_s = since_s.saturating_add(rules.grace_s).checked_sub(now_s);
        Self {
            since_s,
            left_s: left_s.filter(|left_s| *left_s > 0),
        }
    }
}

/// Allowed without an end, allowed for a while yet, or refused. Answers what is left of the grace where it was used.
fn status(
    steps: &mut Steps,
    name: &'static str,
    rules: &TcbRules,
    grace: &Grace,
    status: TcbStatus,
    seen: String,
) -> Option<u64> {
    let mut wanted = format!("one of {}", list(&rules.statuses_allowed));
    if !rules.statuses_in_grace.is_empty() {
        wanted = format!(
            "{wanted}; {} for {}",
            list(&rules.statuses_in_grace),
            days(rules.grace_s / DAY_S)
        );
    }
    let step = steps.step(NUMBER, name, wanted);
    if rules.statuses_allowed.contains(&status) {
        step.pass(seen);
        return None;
    }
    if !rules.statuses_in_grace.contains(&status) {
        step.fail(ErrorCode::TcbStatusNotAllowed, seen);
        return None;
    }
    let since = rfc_3339(grace.since_s);
    let Some(left_s) = grace.left_s else {
        step.fail(
            ErrorCode::TcbGraceEnded,
            format!("{seen}, superseded at {since}"),
        );
        return None;
    };
    let left = days(left_s.div_ceil(DAY_S));
    step.pass(format!(
        "{seen}, superseded at {since}, {left} of grace left"
    ));
    Some(left_s)
}

fn days(count: u64) -> String {
    if count == 1 {
        "1 day".to_owned()
    } else {
        format!("{count} days")
    }
}

fn evaluation_number(steps: &mut Steps, rules: &TcbRules, tcb: &TcbVerdict) {
    let floor = rules.evaluation_data_number_min;
    steps
        .step(NUMBER, "TCB evaluation number", format!("{floor} or more"))
        .end(
            Verdict::from(tcb.evaluation_data_number >= floor),
            ErrorCode::EvaluationNumberTooLow,
            tcb.evaluation_data_number.to_string(),
        );
}

fn advisories(steps: &mut Steps, rules: &TcbRules, tcb: &TcbVerdict) {
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
