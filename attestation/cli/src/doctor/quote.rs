//! The road of a quote: socket, round trip, structure, signatures, and the clock that all of it is judged by.

use std::path::Path;

use attestation::{Binding, Collateral, Preimage, Quote, Role, SuiteHash, Verifier, rfc_3339};
use ring::rand::{SecureRandom, SystemRandom};

use super::{
    collateral::{self, Service},
    examination::{Examination, NO_TD},
    socket,
    trust_domain::REPORTS_DIR,
    tsm,
};
use crate::{Machine, checks::chain};

const ROUND_TRIP: &str = "quote round trip";
const STRUCTURE: &str = "quote";
const SIGNATURES: &str = "quote's signatures";
const CLOCK: &str = "clock";
const SERVICE: &str = "collateral service";
const SOCKET: &str = "quote broker's socket";
/// Stands where a certificate's key would: no TLS connection has it, so a quote of the doctor's fits none.
const KEY: &[u8] = b"cocoon-attest doctor: no key";
const NO_COLLATERAL: &str = "no --collateral and no --url was given";

/// What is examined.
pub(super) struct Subject<'a> {
    pub(super) machine: &'a Machine,
    pub(super) socket: &'a Path,
    pub(super) is_td: bool,
    pub(super) collateral: Option<Collateral>,
    pub(super) service: Option<&'a Service>,
    pub(super) verifier: Verifier,
    pub(super) now_s: u64,
}

/// The examinations, and the quote where one came.
pub(super) fn examine(subject: &Subject<'_>) -> (Vec<Examination>, Option<Quote>) {
    let Subject {
        service,
        verifier,
        now_s,
        ..
    } = subject;
    if !subject.is_td {
        let skip = |name| Examination::skip(name, NO_TD);
        let skipped = [SOCKET, ROUND_TRIP, STRUCTURE, SERVICE, SIGNATURES].map(skip);
        let clock = clock(subject.collateral.as_ref(), *now_s);
        return (skipped.into_iter().chain([clock]).collect(), None);
    }
    let preimage = preimage();
    let (round_trip, bytes) = round_trip(subject, &preimage);
    let (structure, quote) = structure(bytes.as_deref(), &preimage);
    let (service, fetched) = collateral::examine(*service, quote.as_ref(), verifier, *now_s);
    let collateral = subject.collateral.as_ref().or(fetched.as_ref());
    let examinations = vec![
        socket::examine(subject.socket),
        round_trip,
        structure,
        service,
        signatures(quote.as_ref(), collateral, verifier, *now_s),
        clock(collateral, *now_s),
    ];
    (examinations, quote)
}

/// A preimage of this moment that no connection can have.
fn preimage() -> Preimage {
    let mut exported = [0; 32];
    // Were there no randomness, the quote would be no fresher than the last one; nobody relies on it.
    let _ = SystemRandom::new().fill(&mut exported);
    Binding {
        role: Role::Client,
        hash: SuiteHash::Sha256,
        exported,
        attester_spki: KEY.to_vec(),
        peer_spki: KEY.to_vec(),
    }
    .preimage(&[], &[])
}

fn round_trip(subject: &Subject<'_>, preimage: &Preimage) -> (Examination, Option<Vec<u8>>) {
    let reports = subject.machine.path(REPORTS_DIR);
    let (road, quote) = if subject.socket.exists() {
        let quote = socket::quote(subject.socket, preimage);
        ("the broker", quote.map_err(|error| chain(&error)))
    } else {
        let quote = tsm::quote(&reports, &preimage.report_data());
        ("configfs-tsm", quote.map_err(|error| error.to_string()))
    };
    match quote {
        Ok(quote) => {
            let seen = format!("{} bytes from {road}", quote.len());
            (Examination::pass(ROUND_TRIP, seen), Some(quote))
        }
        Err(error) => {
            let remedy = "run this as root or as a user of cocoon-quote's `allowed_users`; look at `journalctl -u cocoon-quote`, and at the \
                          quote generation service (QGS) on the VMM's side";
            let seen = format!("{road}: {error}");
            (Examination::fail(ROUND_TRIP, seen, remedy), None)
        }
    }
}

fn structure(bytes: Option<&[u8]>, preimage: &Preimage) -> (Examination, Option<Quote>) {
    let Some(bytes) = bytes else {
        return (Examination::skip(STRUCTURE, "no quote came"), None);
    };
    let quote = match Quote::parse(bytes) {
        Ok(quote) => quote,
        Err(error) => {
            let remedy = "install Intel's quote generation service on the VMM's side";
            return (Examination::fail(STRUCTURE, chain(&error), remedy), None);
        }
    };
    if quote.report_data() == preimage.report_data() {
        let seen = format!(
            "version {}, over the report data asked for",
            quote.version()
        );
        (Examination::pass(STRUCTURE, seen), Some(quote))
    } else {
        let remedy = "find who else writes into configfs-tsm; nothing but cocoon-quote may";
        let seen = "it carries other report data than was asked for";
        (Examination::fail(STRUCTURE, seen, remedy), None)
    }
}

fn signatures(
    quote: Option<&Quote>,
    collateral: Option<&Collateral>,
    verifier: &Verifier,
    now_s: u64,
) -> Examination {
    let (quote, collateral) = match (quote, collateral) {
        (None, _) => return Examination::skip(SIGNATURES, "no quote to verify"),
        (_, None) => return Examination::skip(SIGNATURES, NO_COLLATERAL),
        (Some(quote), Some(collateral)) => (quote, collateral),
    };
    match verifier.verify(quote, collateral, now_s) {
        Ok(found) => Examination::pass(
            SIGNATURES,
            format!("TCB {}, {}", found.tcb().status, found.trust_anchor()),
        ),
        Err(error) => {
            let code = error.code();
            let seen = format!("{code}: {}", chain(&error));
            Examination::fail(SIGNATURES, seen, code.remedy())
        }
    }
}

/// A clock that is wrong refuses what is in date, and takes what is not.
fn clock(collateral: Option<&Collateral>, now_s: u64) -> Examination {
    let Some(collateral) = collateral else {
        return Examination::skip(CLOCK, format!("{NO_COLLATERAL} to compare it with"));
    };
    let issued_s = collateral.validities().iter().map(|part| part.issued_s);
    let (from_s, until_s) = (
        issued_s.max().unwrap_or_default(),
        collateral.next_update_s(),
    );
    let seen = format!(
        "{}; the collateral is of {} to {}",
        rfc_3339(now_s),
        rfc_3339(from_s),
        rfc_3339(until_s)
    );
    if now_s < from_s {
        Examination::fail(
            CLOCK,
            seen,
            "the clock is behind: synchronise it (timedatectl)",
        )
    } else if now_s >= until_s {
        let remedy =
            "fetch new collateral; if it is new, the clock is ahead: synchronise it (timedatectl)";
        Examination::fail(CLOCK, seen, remedy)
    } else {
        Examination::pass(CLOCK, seen)
    }
}
