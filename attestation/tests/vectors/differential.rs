//! Our verdict against that of `dcap-qvl`'s own call, on every vector, at every edge of its collateral's validity, with
//! every other collateral, and on mutated quotes.
//!
//! We may be stricter, for the reasons that [`is_stricter`] lists, and never laxer.

use std::collections::BTreeMap;

use attestation::{
    Collateral, CollateralPart, Quote, QuoteError, TrustAnchor, Verifier, VerifyError,
};
use dcap_qvl::{QuoteCollateralV3, QuotePolicy, verify::QuoteVerifier};

use crate::{
    manifest,
    mutation::{Random, mutated},
    support,
};

/// Mutated quotes in one run; optimised, as in `cargo ci vectors`, a verification takes a tenth of the time.
const MUTATIONS_COUNT: u64 = if cfg!(debug_assertions) { 400 } else { 40_000 };
/// Each quote meets every `STRIDE`-th other collateral.
const STRIDE: usize = if cfg!(debug_assertions) { 7 } else { 1 };

/// One input for both.
struct Case {
    name: String,
    quote: Vec<u8>,
    collateral: Vec<u8>,
    now_s: u64,
    root: Option<Vec<u8>>,
}

/// Why we refuse.
#[derive(Debug)]
enum Refused {
    Quote(QuoteError),
    Collateral,
    Verification(VerifyError),
}

/// Verdicts that differ, by reason.
#[derive(Default)]
struct Comparison {
    agreed_count: u64,
    accepted_count: u64,
    stricter: BTreeMap<&'static str, u64>,
}

impl Comparison {
    fn compare(&mut self, case: &Case) {
        let (ours, theirs) = (ours(case), theirs(case));
        let name = &case.name;
        match (ours, theirs) {
            (Ok(()), Ok(())) => self.accepted_count += 1,
            (Err(_), Err(_)) => self.agreed_count += 1,
            (Ok(()), Err(error)) => panic!("{name}: accepted, where dcap-qvl says {error}"),
            (Err(refused), Ok(())) => {
                let reason = is_stricter(&refused, case);
                let reason =
                    reason.unwrap_or_else(|| panic!("{name}: {refused:?}, which dcap-qvl accepts"));
                *self.stricter.entry(reason).or_default() += 1;
            }
        }
    }

    fn print(&self, what: &str) {
        println!(
            "{what}: both accept {}, both refuse {}, stricter {:?}",
            self.accepted_count, self.agreed_count, self.stricter
        );
    }
}

/// Where we refuse what `dcap-qvl` accepts, and why that is meant.
fn is_stricter(refused: &Refused, case: &Case) -> Option<&'static str> {
    match refused {
        Refused::Quote(QuoteError::TrailingBytes) => {
            Some("bytes other than zeros follow the quote")
        }
        Refused::Quote(QuoteError::TooLong(_)) => Some("longer than any quote on the wire"),
        Refused::Quote(QuoteError::Vendor) => Some("the quoting enclave is another vendor's"),
        Refused::Verification(VerifyError::PceId { .. }) => Some("the PCE id is compared"),
        Refused::Verification(VerifyError::Expired { next_update_s, .. }) => {
            (*next_update_s == case.now_s).then_some("ends with the second before nextUpdate")
        }
        Refused::Verification(VerifyError::NotYetValid { part, .. }) => {
            let is_list = matches!(part, CollateralPart::RootCrl | CollateralPart::PckCrl);
            is_list.then_some("a revocation list is not used before its thisUpdate")
        }
        _ => None,
    }
}

fn ours(case: &Case) -> Result<(), Refused> {
    let quote = Quote::parse(&case.quote).map_err(Refused::Quote)?;
    let collateral = Collateral::from_json(&case.collateral).map_err(|_| Refused::Collateral)?;
    Verifier::new(case.anchor())
        .verify(&quote, &collateral, case.now_s)
        .map(drop)
        .map_err(Refused::Verification)
}

/// With what our verifier allows: debug mode and service TDs are the appraisal's to refuse.
fn theirs(case: &Case) -> Result<(), String> {
    let collateral: QuoteCollateralV3 =
        serde_json::from_slice(&case.collateral).map_err(|error| error.to_string())?;
    let verifier = match &case.root {
        Some(root) => QuoteVerifier::new(root.clone()),
        None => QuoteVerifier::new_prod(),
    };
    let policy = QuotePolicy::claims_only(case.now_s);
    verifier
        .allow_debug(true)
        .allow_service_td(true)
        .verify_with_policy(&case.quote, &collateral, case.now_s, &policy)
        .map(drop)
        .map_err(|error| format!("{error:#}"))
}

impl Case {
    #[expect(clippy::disallowed_methods, reason = "tests choose their root")]
    fn anchor(&self) -> TrustAnchor {
        let root = self
            .root
            .as_deref()
            .map(|root| TrustAnchor::from_der(root).unwrap());
        root.unwrap_or_else(TrustAnchor::intel)
    }
}

/// Every row of the manifest that has collateral.
fn cases(test: &str) -> Option<Vec<Case>> {
    let directory = support::directory(test)?;
    let rows = manifest::rows(&directory)
        .into_iter()
        .filter(|row| row.time_s > 0);
    let cases = rows.filter_map(|row| {
        let (quote, collateral) = row.paths(&directory);
        collateral.is_file().then(|| Case {
            quote: support::read(quote),
            collateral: support::read(collateral),
            now_s: row.time_s,
            root: row.root(&directory).map(support::read),
            name: row.file,
        })
    });
    Some(cases.collect())
}

#[test]
fn every_vector_gets_the_verdict_of_dcap_qvl() {
    let Some(cases) = cases("every_vector_gets_the_verdict_of_dcap_qvl") else {
        return;
    };
    let mut comparison = Comparison::default();
    for case in &cases {
        comparison.compare(case);
    }
    comparison.print("vectors");
    assert!(comparison.accepted_count >= 20, "few vectors are accepted");
}

#[test]
fn every_edge_of_validity_gets_the_verdict_of_dcap_qvl() {
    let Some(mut cases) = cases("every_edge_of_validity_gets_the_verdict_of_dcap_qvl") else {
        return;
    };
    let mut comparison = Comparison::default();
    for case in &mut cases {
        let Ok(collateral) = Collateral::from_json(&case.collateral) else {
            continue;
        };
        for validity in collateral.validities() {
            for edge_s in [validity.issued_s, validity.next_update_s] {
                for now_s in edge_s - 1..=edge_s + 1 {
                    case.now_s = now_s;
                    comparison.compare(case);
                }
            }
        }
    }
    comparison.print("edges of validity");
    assert!(
        comparison
            .stricter
            .contains_key("ends with the second before nextUpdate")
    );
}

#[test]
fn every_other_collateral_gets_the_verdict_of_dcap_qvl() {
    let Some(mut cases) = cases("every_other_collateral_gets_the_verdict_of_dcap_qvl") else {
        return;
    };
    cases.retain(|case| case.root.is_none());
    let mut comparison = Comparison::default();
    let others: Vec<_> = cases
        .iter()
        .map(|case| (case.collateral.clone(), case.now_s))
        .collect();
    for case in &mut cases {
        for (collateral, now_s) in others.iter().step_by(STRIDE) {
            case.collateral.clone_from(collateral);
            case.now_s = *now_s;
            comparison.compare(case);
        }
    }
    comparison.print("other collateral");
}

#[test]
fn mutated_quotes_get_the_verdict_of_dcap_qvl() {
    let Some(cases) = cases("mutated_quotes_get_the_verdict_of_dcap_qvl") else {
        return;
    };
    let seed = support::seed();
    println!("COCOON_SEED={seed}");
    let mut comparison = Comparison::default();
    for number in 0..MUTATIONS_COUNT {
        let mut random = Random(seed.wrapping_add(number));
        let [case, other] = [0; 2].map(|_| &cases[random.below(cases.len())]);
        comparison.compare(&Case {
            name: format!(
                "COCOON_SEED={}: {} with {}",
                seed.wrapping_add(number),
                case.name,
                other.name
            ),
            quote: mutated(&mut random, &case.quote, &other.quote),
            collateral: case.collateral.clone(),
            root: case.root.clone(),
            now_s: case.now_s,
        });
    }
    comparison.print("mutated quotes");
    assert!(
        comparison.agreed_count > MUTATIONS_COUNT / 2,
        "mutations change too little"
    );
}
