//! Authenticators written out by hand from RFC 9261 and RFC 8446, sharing no line with the crate: what this file builds
//! right, the gateway must admit, under every cipher suite; what it builds wrong has a refusal of its own.

use std::sync::Arc;

use attestation::{Binding, ErrorCode, Role, SuiteHash};
use channel::{
    AuthenticatorError, Frame, FrameKind, GateError, Outcome, PROFILE, read_frame, write_frame,
};
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use ring::{digest, hmac};
use rustls::crypto::ring::{cipher_suite, default_provider};
use tokio::io::DuplexStream;
use tokio_rustls::client::TlsStream;

use super::world::{Strict, World, certified, chain, client_config_with, evidence, p256};

/// What to put where; the default is right.
struct Recipe {
    suite: rustls::SupportedCipherSuite,
    entries: usize,
    extension: Option<u16>,
    scheme: u16,
    finished: fn(&mut [u8]),
}

impl Default for Recipe {
    fn default() -> Self {
        Self {
            suite: cipher_suite::TLS13_AES_256_GCM_SHA384,
            entries: 1,
            extension: Some(0xff00),
            scheme: 0x0403,
            finished: |_| {},
        }
    }
}

/// `length`, big-endian, in `width` bytes, and the bytes.
fn prefixed(width: usize, bytes: &[u8]) -> Vec<u8> {
    [&bytes.len().to_be_bytes()[8 - width..], bytes].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind], &prefixed(3, body)[..]].concat()
}

struct Exporter<'a>(&'a TlsStream<DuplexStream>);

impl Exporter<'_> {
    fn export(&self, label: &str, context: Option<&[u8]>, bytes: usize) -> Vec<u8> {
        let (_, tls) = self.0.get_ref();
        tls.export_keying_material(vec![0; bytes], label.as_bytes(), context)
            .unwrap()
    }

    fn hash(&self) -> (SuiteHash, &'static digest::Algorithm, hmac::Algorithm) {
        let (_, tls) = self.0.get_ref();
        match tls.negotiated_cipher_suite().unwrap().suite() {
            rustls::CipherSuite::TLS13_AES_256_GCM_SHA384 => {
                (SuiteHash::Sha384, &digest::SHA384, hmac::HMAC_SHA384)
            }
            _ => (SuiteHash::Sha256, &digest::SHA256, hmac::HMAC_SHA256),
        }
    }
}

fn authenticator(
    recipe: &Recipe,
    exporter: &Exporter<'_>,
    request: &[u8],
    evidence: &[u8],
    key: &KeyPair,
    leaf: &[u8],
) -> Vec<u8> {
    let (_, hash, mac) = exporter.hash();
    let export = |label: &str| exporter.export(label, None, hash.output_len());
    let handshake_context = export("EXPORTER-client authenticator handshake context");
    let finished_key = export("EXPORTER-client authenticator finished key");
    let transcript = |messages: &[&[u8]]| {
        let mut context = digest::Context::new(hash);
        context.update(&handshake_context);
        for message in messages {
            context.update(message);
        }
        context.finish()
    };

    let extension = recipe.extension.map_or(Vec::new(), |code_point| {
        [
            &code_point.to_be_bytes(),
            &prefixed(2, &prefixed(2, evidence))[..],
        ]
        .concat()
    });
    let entry = [prefixed(3, leaf), prefixed(2, &extension)].concat();
    let context = &request[5..37];
    let certificate = message(
        11,
        &[
            prefixed(1, context),
            prefixed(3, &entry.repeat(recipe.entries)),
        ]
        .concat(),
    );

    let hashed = transcript(&[request, &certificate]);
    let signed = [
        &[0x20; 64],
        &b"Exported Authenticator\0"[..],
        hashed.as_ref(),
    ]
    .concat();
    let signature = key.sign(&signed).unwrap();
    let certificate_verify = message(
        15,
        &[&recipe.scheme.to_be_bytes(), &prefixed(2, &signature)[..]].concat(),
    );

    let hashed = transcript(&[request, &certificate, &certificate_verify]);
    let mut tag = hmac::sign(&hmac::Key::new(mac, &finished_key), hashed.as_ref())
        .as_ref()
        .to_vec();
    (recipe.finished)(&mut tag);
    [certificate, certificate_verify, message(20, &tag)].concat()
}

/// Takes a hand-built client through the gate: what the gateway says to itself, and what it says to the client.
async fn attest(recipe: Recipe) -> (Result<(), GateError>, Outcome) {
    let world = World::new();
    let (key, leaf) = p256();
    let mut provider = default_provider();
    provider.cipher_suites = vec![recipe.suite];
    let certificate = certified(vec![leaf.clone()], &key);
    let config = client_config_with(
        Arc::new(provider),
        &world.ca,
        Some(certificate),
        &[PROFILE.alpn],
    );
    let (client, gateway) = world.accept(config).await;
    let (mut client, gateway) = (client.unwrap(), gateway.unwrap());

    let by_hand = async {
        let request = read_frame(&mut client).await.unwrap();
        assert_eq!(request.kind(), FrameKind::AuthRequest);
        let request = request.into_body();
        assert_eq!(&request[..16], b"\x0fcocoon-attest/1");
        // CertificateRequest, 48 bytes: 32 bytes of context, signature_algorithms with one scheme, an empty 0xff00.
        assert_eq!(request[16..21], [13, 0, 0, 47, 32]);
        assert_eq!(
            request[53..],
            [0, 12, 0, 13, 0, 4, 0, 2, 4, 3, 0xff, 0, 0, 0]
        );
        let request = &request[16..];

        let live = Exporter(&client);
        let exported = live.export("Attestation", Some(&request[5..37]), 32);
        let binding = Binding {
            role: Role::Client,
            hash: live.hash().0,
            exported: exported.try_into().unwrap(),
            attester_spki: key.subject_public_key_info(),
            peer_spki: world.gateway.spki().to_vec(),
        };
        let cmw = evidence(&binding, None).cmw;
        let answer = authenticator(&recipe, &live, request, &cmw, &key, &leaf);
        let answer = Frame::new(FrameKind::Authenticator, answer.into()).unwrap();
        write_frame(&mut client, &answer).await.unwrap();
        let outcome = read_frame(&mut client).await.unwrap();
        drop(client);
        Outcome::parse(&outcome.into_body()).unwrap()
    };
    let (gateway, outcome) = tokio::join!(gateway.attest(&Strict), by_hand);
    (gateway.map(drop), outcome)
}

#[tokio::test]
async fn an_authenticator_by_hand_passes_under_every_suite() {
    for suite in [
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ] {
        let (gateway, outcome) = attest(Recipe {
            suite,
            ..Recipe::default()
        })
        .await;
        gateway.unwrap();
        assert!(matches!(outcome, Outcome::Admitted(_)));
    }
}

async fn refused(recipe: Recipe, code: ErrorCode) -> AuthenticatorError {
    let (gateway, outcome) = attest(recipe).await;
    let error = gateway.unwrap_err();
    assert_eq!(error.code(), code, "{}", chain(&error));
    assert_eq!(outcome, Outcome::Refused(code));
    match error {
        GateError::Authenticator(error) => error,
        other => panic!("{}", chain(&other)),
    }
}

#[tokio::test]
async fn a_false_finished_is_refused() {
    let recipe = Recipe {
        finished: |tag| tag[0] ^= 1,
        ..Recipe::default()
    };
    let error = refused(recipe, ErrorCode::FinishedInvalid).await;
    assert!(matches!(error, AuthenticatorError::Finished));
}

#[tokio::test]
async fn two_certificate_entries_are_refused() {
    let error = refused(
        Recipe {
            entries: 2,
            ..Recipe::default()
        },
        ErrorCode::AuthenticatorMalformed,
    )
    .await;
    assert!(matches!(error, AuthenticatorError::CertificateCount));
}

#[tokio::test]
async fn an_empty_authenticator_is_refused() {
    let error = refused(
        Recipe {
            entries: 0,
            ..Recipe::default()
        },
        ErrorCode::AuthenticatorMalformed,
    )
    .await;
    assert!(matches!(error, AuthenticatorError::CertificateCount));
}

#[tokio::test]
async fn an_authenticator_without_evidence_is_refused() {
    let error = refused(
        Recipe {
            extension: None,
            ..Recipe::default()
        },
        ErrorCode::AuthenticatorMalformed,
    )
    .await;
    assert!(matches!(error, AuthenticatorError::NoEvidence));
}

#[tokio::test]
async fn another_extension_is_refused() {
    let recipe = Recipe {
        extension: Some(5),
        ..Recipe::default()
    };
    let error = refused(recipe, ErrorCode::AuthenticatorMalformed).await;
    assert!(matches!(error, AuthenticatorError::UnexpectedExtension(5)));
}

#[tokio::test]
async fn another_signature_scheme_is_refused() {
    let recipe = Recipe {
        scheme: 0x0807,
        ..Recipe::default()
    };
    let error = refused(recipe, ErrorCode::AuthenticatorMalformed).await;
    assert!(matches!(error, AuthenticatorError::SignatureScheme(0x0807)));
}
