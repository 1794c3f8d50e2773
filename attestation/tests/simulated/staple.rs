//! The OCSP requests that a worker makes, and what it reads in the responses, over a simulated GPU's chain.

use attestation::gpu::{
    DeviceReport, OcspError, OcspRequestError, OcspStanding, ocsp_request, ocsp_standing,
};
use ring::digest::{SHA384, digest};
use simulator::gpu::{GpuFlaw, GpuOptions, SimulatedGpu};
use x509_parser::prelude::{FromDer, X509Certificate};

const NOW_S: u64 = 1_790_000_000;

fn shown(flaw: Option<GpuFlaw>) -> DeviceReport {
    let options = GpuOptions {
        flaw,
        ..GpuOptions::at(NOW_S)
    };
    SimulatedGpu::new(7, 0).report(&[1; 32], &options)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

#[test]
fn a_request_names_issuer_key_and_serial_of_the_certificate() {
    let chain = shown(None).certificates;
    for (certificate, issuer) in chain.iter().zip(&chain[1..]) {
        let request = ocsp_request(certificate, issuer).unwrap();
        let (_, parsed) = X509Certificate::from_der(certificate).unwrap();
        let (_, parent) = X509Certificate::from_der(issuer).unwrap();
        let name = digest(&SHA384, parsed.issuer().as_raw());
        let key = digest(&SHA384, &parent.public_key().subject_public_key.data);
        let octets = |bytes: &[u8]| [&[4, 48][..], bytes].concat();
        let expected = [octets(name.as_ref()), octets(key.as_ref())].concat();
        assert!(contains(&request, &expected));
        assert!(request.ends_with(parsed.raw_serial()));
        // One request of one certificate, nothing around it.
        let inner = u8::try_from(request.len() - 3).unwrap();
        assert_eq!(request[..3], [0x30, 0x81, inner]);
    }
}

#[test]
fn a_response_stands_for_its_own_certificate_alone() {
    let shown = shown(None);
    let chain = &shown.certificates;
    let standing = |response: usize, at: usize| {
        ocsp_standing(
            &shown.ocsp_responses[response],
            &chain[at],
            &chain[at + 1],
            NOW_S,
        )
    };
    for response in 0..shown.ocsp_responses.len() {
        for at in 0..chain.len() - 1 {
            let standing = standing(response, at);
            if at == response + 1 {
                assert!(
                    matches!(standing, Ok(OcspStanding::Good { this_update_s, next_update_s }) if this_update_s <= NOW_S && NOW_S < next_update_s)
                );
            } else {
                assert_eq!(standing, Err(OcspError::Foreign));
            }
        }
    }
}

#[test]
fn what_does_not_hold_is_refused_by_name() {
    let refused = |flaw| {
        let shown = shown(Some(flaw));
        let chain = &shown.certificates;
        ocsp_standing(&shown.ocsp_responses[0], &chain[1], &chain[2], NOW_S).unwrap_err()
    };
    assert!(matches!(
        refused(GpuFlaw::OcspRevoked(1)),
        OcspError::Revoked { .. }
    ));
    assert!(matches!(
        refused(GpuFlaw::OcspForeign),
        OcspError::Responder(_)
    ));
    let shown = shown(None);
    let [_, certificate, issuer, ..] = &shown.certificates[..] else {
        panic!()
    };
    let response = &shown.ocsp_responses[0];
    let standing =
        |response, certificate, issuer| ocsp_standing(response, certificate, issuer, NOW_S);
    assert!(matches!(
        standing(b"no DER", certificate, issuer),
        Err(OcspError::Der(_))
    ));
    assert!(matches!(
        standing(response, b"", issuer),
        Err(OcspError::Certificate(_))
    ));
    assert!(matches!(
        standing(response, certificate, b""),
        Err(OcspError::Certificate(_))
    ));
    assert!(matches!(
        ocsp_request(b"", issuer),
        Err(OcspRequestError::Certificate(_))
    ));
}
