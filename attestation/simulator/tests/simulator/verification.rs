//! Forged quotes before the real verifier: accepted under their own root, refused everywhere else and for each fault.

use attestation::{
    CertificateChain, ChainFault, CollateralPart, Quote, TcbStatus, TrustAnchor, VerifiedQuote,
    Verifier, VerifyError,
};
use simulator::{CollateralOptions, CollateralSigner, QuoteVersion, SimulatedPlatform, TdOptions};

const NOW_S: u64 = 1_790_000_000;
const REPORT_DATA: [u8; 64] = [0x42; 64];

fn platform() -> SimulatedPlatform {
    SimulatedPlatform::from_seed(7)
}

/// Verifies a good quote with the collateral that `change` made of the good one.
fn with_collateral(
    change: impl FnOnce(&mut CollateralOptions),
) -> Result<VerifiedQuote, VerifyError> {
    let mut options = CollateralOptions::at(NOW_S);
    change(&mut options);
    verify(&platform(), &platform().td(), &options, NOW_S)
}

/// Verifies the quote of the TD that `change` made of the good one.
fn with_td(
    version: QuoteVersion,
    change: impl FnOnce(&mut TdOptions),
) -> Result<VerifiedQuote, VerifyError> {
    let platform = platform();
    let mut td = platform.td();
    change(&mut td);
    let quote = Quote::parse(&platform.quote(version, &td, &REPORT_DATA)).unwrap();
    let collateral = platform.collateral(&CollateralOptions::at(NOW_S));
    Verifier::new(platform.trust_anchor()).verify(&quote, &collateral, NOW_S)
}

fn verify(
    platform: &SimulatedPlatform,
    td: &TdOptions,
    options: &CollateralOptions,
    now_s: u64,
) -> Result<VerifiedQuote, VerifyError> {
    let quote = Quote::parse(&platform.quote(QuoteVersion::V4, td, &REPORT_DATA)).unwrap();
    Verifier::new(platform.trust_anchor()).verify(&quote, &platform.collateral(options), now_s)
}

#[test]
fn both_versions_verify_under_their_own_root_and_say_so() {
    for version in [QuoteVersion::V4, QuoteVersion::V5] {
        let verified = with_td(version, |_| {}).unwrap();
        assert!(
            verified.trust_anchor().starts_with("NOT INTEL: "),
            "{verified:?}"
        );
        assert_eq!(verified.report_data().bytes(), &REPORT_DATA);
        assert_eq!(verified.platform().ppid, platform().ppid());
        assert_eq!(verified.tcb().status, TcbStatus::UpToDate);
    }
}

#[test]
fn every_machine_of_a_seed_verifies_under_the_one_root() {
    let second = SimulatedPlatform::machine(7, 1);
    let quote = Quote::parse(&second.quote(QuoteVersion::V4, &second.td(), &REPORT_DATA)).unwrap();
    let collateral = platform().collateral(&CollateralOptions::at(NOW_S));
    let verified = Verifier::new(platform().trust_anchor())
        .verify(&quote, &collateral, NOW_S)
        .unwrap();
    assert_eq!(verified.platform().ppid, second.ppid());
}

#[test]
fn intels_root_refuses_both_versions() {
    let platform = platform();
    let collateral = platform.collateral(&CollateralOptions::at(NOW_S));
    for version in [QuoteVersion::V4, QuoteVersion::V5] {
        let quote = Quote::parse(&platform.quote(version, &platform.td(), &REPORT_DATA)).unwrap();
        let error = Verifier::new(TrustAnchor::intel())
            .verify(&quote, &collateral, NOW_S)
            .unwrap_err();
        assert!(
            matches!(error, VerifyError::Crl { .. } | VerifyError::Chain { .. }),
            "{error:?}"
        );
    }
}

#[test]
fn another_seeds_root_refuses() {
    let (platform, other) = (platform(), SimulatedPlatform::from_seed(8));
    let collateral = platform.collateral(&CollateralOptions::at(NOW_S));
    let quote =
        Quote::parse(&platform.quote(QuoteVersion::V4, &platform.td(), &REPORT_DATA)).unwrap();
    let error = Verifier::new(other.trust_anchor())
        .verify(&quote, &collateral, NOW_S)
        .unwrap_err();
    assert!(
        matches!(error, VerifyError::Crl { .. } | VerifyError::Chain { .. }),
        "{error:?}"
    );
}

#[test]
fn a_quote_of_another_seed_does_not_pass_with_our_collateral() {
    let (ours, other) = (platform(), SimulatedPlatform::from_seed(8));
    let quote = Quote::parse(&other.quote(QuoteVersion::V4, &other.td(), &REPORT_DATA)).unwrap();
    let collateral = ours.collateral(&CollateralOptions::at(NOW_S));
    let error = Verifier::new(ours.trust_anchor())
        .verify(&quote, &collateral, NOW_S)
        .unwrap_err();
    assert!(is_chain(&error, CertificateChain::Pck), "{error:?}");
}

#[test]
fn collateral_out_of_date_is_refused_by_part() {
    let at = |now_s| {
        verify(
            &platform(),
            &platform().td(),
            &CollateralOptions::at(NOW_S),
            now_s,
        )
        .unwrap_err()
    };
    let expired = at(NOW_S + 31 * 24 * 60 * 60);
    assert!(
        matches!(
            expired,
            VerifyError::Expired {
                part: CollateralPart::TcbInfo,
                ..
            }
        ),
        "{expired:?}"
    );
    let early = at(NOW_S - 2 * 60 * 60);
    assert!(
        matches!(
            early,
            VerifyError::NotYetValid {
                part: CollateralPart::TcbInfo,
                ..
            }
        ),
        "{early:?}"
    );
}

#[test]
fn revoked_certificates_are_refused() {
    let refused = |change: fn(&mut CollateralOptions)| {
        let error = with_collateral(change).unwrap_err();
        let revoked = matches!(
            error,
            VerifyError::Chain {
                chain: CertificateChain::Pck,
                fault: ChainFault::Revoked,
                ..
            }
        );
        assert!(revoked, "{error:?}");
    };
    refused(|options| options.revoke_pck = true);
    refused(|options| options.revoke_platform_ca = true);
}

#[test]
fn collateral_for_another_platform_is_refused() {
    let fmspc = with_collateral(|options| options.fmspc = *b"OTHERS").unwrap_err();
    assert!(matches!(fmspc, VerifyError::Fmspc(_)), "{fmspc:?}");
    let pce_id = with_collateral(|options| options.pce_id = [1, 0]).unwrap_err();
    assert!(
        matches!(
            pce_id,
            VerifyError::PceId {
                tcb_info: [1, 0],
                ..
            }
        ),
        "{pce_id:?}"
    );
}

#[test]
fn collateral_signed_by_another_is_refused() {
    let signed_by = |signer| with_collateral(|options| options.signer = signer).unwrap_err();
    let other = signed_by(CollateralSigner::OtherSeed(8));
    assert!(is_chain(&other, CertificateChain::TcbInfo), "{other:?}");
    let tcb_info = signed_by(CollateralSigner::CorruptTcbInfo);
    assert!(
        matches!(tcb_info, VerifyError::TcbInfoSignature(_)),
        "{tcb_info:?}"
    );
    let qe_identity = signed_by(CollateralSigner::CorruptQeIdentity);
    assert!(
        matches!(qe_identity, VerifyError::QeIdentitySignature(_)),
        "{qe_identity:?}"
    );
}

#[test]
fn tcb_statuses_arrive_as_findings_and_revoked_is_refused() {
    let status = |status| with_collateral(|options| options.tcb_status = status);
    assert_eq!(
        status(TcbStatus::OutOfDate).unwrap().tcb().status,
        TcbStatus::OutOfDate
    );
    let revoked = status(TcbStatus::Revoked).unwrap_err();
    assert!(matches!(revoked, VerifyError::Revoked(_)), "{revoked:?}");
    let module = with_collateral(|options| options.module_status = TcbStatus::OutOfDate).unwrap();
    assert_eq!(module.tcb().platform_status, TcbStatus::OutOfDate);
    let enclave = with_collateral(|options| options.qe_status = TcbStatus::OutOfDate).unwrap();
    assert_eq!(enclave.tcb().quoting_enclave_status, TcbStatus::OutOfDate);
    let advisories =
        with_collateral(|options| options.advisory_ids = vec!["INTEL-SA-00001".into()]).unwrap();
    assert_eq!(advisories.tcb().advisory_ids, ["INTEL-SA-00001"]);
    let number = with_collateral(|options| options.evaluation_number = 3).unwrap();
    assert_eq!(number.tcb().evaluation_data_number, 3);
}

#[test]
fn unsound_tds_are_refused_or_shown() {
    for version in [QuoteVersion::V4, QuoteVersion::V5] {
        let migratable = with_td(version, |td| td.migratable = true).unwrap_err();
        assert!(
            matches!(migratable, VerifyError::TdMigratable(_)),
            "{migratable:?}"
        );
        let surprised = with_td(version, |td| td.sept_ve_disable = false).unwrap_err();
        assert!(
            matches!(surprised, VerifyError::TdSeptVe(_)),
            "{surprised:?}"
        );
        let debug = with_td(version, |td| td.debug = true).unwrap();
        assert!(debug.td().unwrap().td_attributes.debug());
    }
    let serviced = with_td(QuoteVersion::V5, |td| td.mr_service_td = [1; 48]).unwrap();
    assert!(serviced.td().unwrap().has_service_td());
}

#[test]
fn a_flipped_bit_anywhere_in_the_signed_part_is_refused() {
    let platform = platform();
    let collateral = platform.collateral(&CollateralOptions::at(NOW_S));
    let verifier = Verifier::new(platform.trust_anchor());
    let bytes = platform.quote(QuoteVersion::V4, &platform.td(), &REPORT_DATA);
    for position in (0..48 + 584).step_by(13) {
        let mut forged = bytes.clone();
        forged[position] ^= 0x80;
        let verdict =
            Quote::parse(&forged).map(|quote| verifier.verify(&quote, &collateral, NOW_S));
        assert!(!matches!(verdict, Ok(Ok(_))), "byte {position}");
    }
}

fn is_chain(error: &VerifyError, wanted: CertificateChain) -> bool {
    matches!(error, VerifyError::Chain { chain, fault: ChainFault::Untrusted, .. } if *chain == wanted)
}
