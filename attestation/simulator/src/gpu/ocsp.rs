//! What a simulated OCSP responder says (RFC 6960), in the shape of NVIDIA's: one certificate a response, named by SHA-384
//! hashes, signed by a responder whose certificate comes along.

use std::time::Duration;

use rcgen::date_time_ymd;
use ring::digest;
use x509_parser::prelude::{FromDer, X509Certificate};
use yasna::{DERWriter, Tag, models::ObjectIdentifier, tags::TAG_GENERALIZEDTIME};

use super::{
    GpuFlaw, GpuOptions,
    chain::{DeviceAuthorities, DeviceChain},
    key::DeviceKey,
};
use crate::pki::Authority;

const BASIC_RESPONSE: &[u64] = &[1, 3, 6, 1, 5, 5, 7, 48, 1, 1];
const ECDSA_WITH_SHA384: &[u64] = &[1, 2, 840, 10_045, 4, 3, 3];
const SHA384: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 2, 2];

/// OCSP's `successful`.
const SUCCESSFUL: i64 = 0;

/// The status *good*: `[0] IMPLICIT NULL`.
const GOOD: [u8; 2] = [0x80, 0];

const HOUR_S: u64 = 60 * 60;
/// NVIDIA's responses are good for a day.
const LIFETIME_S: u64 = 24 * HOUR_S;

/// A response for each certificate that NVIDIA's responder answers for, signed by responders of `signers`.
pub(super) fn responses(
    authorities: &DeviceAuthorities,
    chain: &DeviceChain,
    signers: &DeviceAuthorities,
    options: &GpuOptions,
) -> Vec<Vec<u8>> {
    let age_s = match options.flaw {
        Some(GpuFlaw::OcspExpired) => LIFETIME_S + HOUR_S,
        _ => HOUR_S,
    };
    let this_update_s = options.now_s.saturating_sub(age_s);
    let places = (1..).zip(authorities.issued(chain));
    let responses = places.map(|(place, (certificate, issuer))| {
        let responder = signers.responder(place);
        let revoked = options.flaw == Some(GpuFlaw::OcspRevoked(place));
        let data = yasna::construct_der(|writer| {
            write_data(writer, &responder, this_update_s, |answer| {
                write_answer(answer, certificate, issuer, this_update_s, revoked);
            });
        });
        response(&data, &responder)
    });
    responses.collect()
}

/// `OCSPResponse`, with a `BasicOCSPResponse` in it.
fn response(data: &[u8], responder: &Authority<DeviceKey>) -> Vec<u8> {
    let basic = yasna::construct_der(|writer| {
        writer.write_sequence(|basic| {
            basic.next().write_der(data);
            write_algorithm(basic.next(), ECDSA_WITH_SHA384);
            let signature = responder.key.sign_der(data);
            let bits = signature.len().saturating_mul(8);
            basic.next().write_bitvec_bytes(&signature, bits);
            basic.next().write_tagged(Tag::context(0), |writer| {
                writer.write_sequence(|all| all.next().write_der(&responder.der));
            });
        });
    });
    yasna::construct_der(|writer| {
        writer.write_sequence(|response| {
            response.next().write_enum(SUCCESSFUL);
            response.next().write_tagged(Tag::context(0), |writer| {
                writer.write_sequence(|bytes| {
                    bytes
                        .next()
                        .write_oid(&ObjectIdentifier::from_slice(BASIC_RESPONSE));
                    bytes.next().write_bytes(&basic);
                });
            });
        });
    })
}

/// `ResponseData`, with one answer.
fn write_data(
    writer: DERWriter<'_>,
    responder: &Authority<DeviceKey>,
    produced_s: u64,
    answer: impl FnOnce(DERWriter<'_>),
) {
    writer.write_sequence(|data| {
        data.next().write_tagged(Tag::context(1), |by_name| {
            by_name.write_der(&names(&responder.der).subject);
        });
        write_time(data.next(), produced_s);
        data.next().write_sequence(|answers| answer(answers.next()));
    });
}

/// `SingleResponse`.
fn write_answer(
    writer: DERWriter<'_>,
    certificate: &Authority<DeviceKey>,
    issuer: &Authority<DeviceKey>,
    this_update_s: u64,
    revoked: bool,
) {
    let hash = |bytes: &[u8]| digest::digest(&digest::SHA384, bytes);
    writer.write_sequence(|answer| {
        answer.next().write_sequence(|id| {
            write_algorithm(id.next(), SHA384);
            id.next()
                .write_bytes(hash(&names(&certificate.der).issuer).as_ref());
            id.next().write_bytes(hash(issuer.key.point()).as_ref());
            id.next().write_bigint_bytes(&certificate.serial, true);
        });
        if revoked {
            answer
                .next()
                .write_tagged_implicit(Tag::context(1), |writer| {
                    writer.write_sequence(|info| write_time(info.next(), this_update_s));
                });
        } else {
            answer.next().write_der(&GOOD);
        }
        write_time(answer.next(), this_update_s);
        answer.next().write_tagged(Tag::context(0), |writer| {
            write_time(writer, this_update_s.saturating_add(LIFETIME_S));
        });
    });
}

fn write_algorithm(writer: DERWriter<'_>, algorithm: &[u64]) {
    writer.write_sequence(|members| {
        members
            .next()
            .write_oid(&ObjectIdentifier::from_slice(algorithm));
    });
}

/// `GeneralizedTime`: the digits of date and time, and a Z.
fn write_time(writer: DERWriter<'_>, time_s: u64) {
    let time = date_time_ymd(1970, 1, 1) + Duration::from_secs(time_s);
    let (hour, minute, second) = time.to_hms();
    let text = format!(
        "{:04}{:02}{:02}{hour:02}{minute:02}{second:02}Z",
        time.year(),
        u8::from(time.month()),
        time.day(),
    );
    writer.write_tagged_implicit(TAG_GENERALIZEDTIME, |writer| {
        writer.write_bytes(text.as_bytes());
    });
}

/// Subject and issuer of a certificate, in DER.
struct Names {
    subject: Vec<u8>,
    issuer: Vec<u8>,
}

fn names(der: &[u8]) -> Names {
    match X509Certificate::from_der(der) {
        Ok((_, certificate)) => Names {
            subject: certificate.subject().as_raw().to_vec(),
            issuer: certificate.issuer().as_raw().to_vec(),
        },
        Err(error) => unreachable!("a forged certificate parses: {error}"),
    }
}
