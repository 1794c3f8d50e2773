//! Peers that speak TLS as they should and then break the gate's rules.

use std::time::Duration;

use attestation::ErrorCode;
use bytes::Bytes;
use channel::{
    AuthRequest, FRAME_BODY_BYTES_MAX, Frame, FrameError, FrameKind, GateError, GatewaySide,
    Limits, Outcome, Unattested, read_frame, write_frame,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    time::Instant,
};
use tokio_rustls::client::TlsStream;

use super::world::{Honest, Silent, Strict, World, chain};

/// Runs the gate against a client that reads the request, sends `bytes` and reads what comes back; then the gateway's own
/// error and what the client was told.
async fn send(bytes: &[u8]) -> (GateError, Option<ErrorCode>) {
    let (mut client, gateway) = World::new().intruder().await;
    let (error, told) = tokio::join!(gate(gateway), async {
        read_frame(&mut client).await.unwrap();
        client.write_all(bytes).await.unwrap();
        client.flush().await.unwrap();
        told(&mut client).await
    });
    (error, told)
}

async fn gate(gateway: Unattested<GatewaySide>) -> GateError {
    gateway.attest(&Strict).await.unwrap_err()
}

/// The code the gateway sent, after which it must have closed.
async fn told(client: &mut TlsStream<DuplexStream>) -> Option<ErrorCode> {
    let frame = read_frame(client).await.ok()?;
    assert_eq!(frame.kind(), FrameKind::Outcome);
    let Outcome::Refused(code) = Outcome::parse(&frame.into_body()).unwrap() else {
        panic!("a refusal was due")
    };
    assert!(
        matches!(read_frame(client).await, Err(FrameError::Closed)),
        "the gateway closes next"
    );
    Some(code)
}

async fn refused(bytes: &[u8], code: ErrorCode) -> GateError {
    let (error, told) = send(bytes).await;
    assert_eq!(error.code(), code, "{}", chain(&error));
    assert_eq!(told, Some(code));
    error
}

fn frame(kind: FrameKind, body: &[u8]) -> Bytes {
    Frame::new(kind, Bytes::copy_from_slice(body))
        .unwrap()
        .encode()
}

fn header(bytes: usize, kind: u8) -> Vec<u8> {
    [
        u32::try_from(bytes).unwrap().to_be_bytes().as_slice(),
        &[kind],
    ]
    .concat()
}

#[tokio::test]
async fn an_oversized_frame_is_refused_by_its_header() {
    let error = refused(
        &header(256 * 1024, FrameKind::DeviceEvidence.code()),
        ErrorCode::FrameTooLarge,
    )
    .await;
    assert!(matches!(
        error,
        GateError::Frame(FrameError::Oversized {
            bytes_max: FRAME_BODY_BYTES_MAX,
            ..
        })
    ));
}

#[tokio::test]
async fn a_frame_over_the_limit_of_its_kind_is_refused() {
    refused(
        &header(100 * 1024, FrameKind::Authenticator.code()),
        ErrorCode::FrameTooLarge,
    )
    .await;
    refused(
        &header(
            usize::try_from(u32::MAX).unwrap(),
            FrameKind::Authenticator.code(),
        ),
        ErrorCode::FrameTooLarge,
    )
    .await;
}

#[tokio::test]
async fn an_unknown_frame_is_refused() {
    let error = refused(&header(0, 99), ErrorCode::FrameUnexpected).await;
    assert!(matches!(
        error,
        GateError::Frame(FrameError::UnknownKind(99))
    ));
}

#[tokio::test]
async fn a_frame_of_another_kind_is_refused() {
    let error = refused(
        &frame(FrameKind::Heartbeat, b"alive"),
        ErrorCode::FrameUnexpected,
    )
    .await;
    assert!(matches!(
        error,
        GateError::UnexpectedFrame {
            seen: FrameKind::Heartbeat,
            ..
        }
    ));
}

#[tokio::test]
async fn http2_before_the_gate_is_refused() {
    refused(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ErrorCode::FrameUnexpected,
    )
    .await;
}

#[tokio::test]
async fn a_fifth_frame_is_refused() {
    let device_evidence = frame(FrameKind::DeviceEvidence, b"device");
    let error = refused(
        &[&device_evidence[..], &device_evidence].concat(),
        ErrorCode::FramesTooMany,
    )
    .await;
    assert!(matches!(error, GateError::TooManyFrames));
}

#[tokio::test]
async fn a_malformed_authenticator_is_refused() {
    refused(
        &frame(FrameKind::Authenticator, b""),
        ErrorCode::AuthenticatorMalformed,
    )
    .await;
    refused(
        &frame(FrameKind::Authenticator, &[11; 4000]),
        ErrorCode::AuthenticatorMalformed,
    )
    .await;
}

#[tokio::test]
async fn a_truncated_frame_is_refused() {
    let (mut client, gateway) = World::new().intruder().await;
    let (error, ()) = tokio::join!(gate(gateway), async {
        client
            .write_all(&frame(FrameKind::Authenticator, &[0; 100])[..50])
            .await
            .unwrap();
        client.shutdown().await.unwrap();
        client.read_to_end(&mut Vec::new()).await.unwrap();
    });
    assert_eq!(error.code(), ErrorCode::FrameMalformed, "{}", chain(&error));
    assert!(matches!(error, GateError::Frame(FrameError::Truncated)));
}

#[tokio::test]
async fn a_worker_that_leaves_is_named() {
    let (client, gateway) = World::new().intruder().await;
    drop(client);
    let error = gate(gateway).await;
    assert_eq!(error.code(), ErrorCode::ConnectionLost, "{}", chain(&error));
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_is_refused() {
    let mut world = World::new();
    let patient = Limits {
        gate: Duration::from_mins(1),
        ..Limits::default()
    };
    world.worker = world.worker.with_limits(patient);
    let (worker, gateway) = world.connect().await;
    let started = Instant::now();
    let (worker, gateway) = tokio::join!(worker.attest(&Silent), async {
        let refused = gateway.attest(&Strict).await.unwrap_err();
        // The code waits a second at most for a worker that does not read it.
        assert_eq!(started.elapsed().as_secs(), 31);
        refused
    });
    assert!(matches!(gateway, GateError::Deadline { after } if after == Duration::from_secs(30)));
    assert_eq!(gateway.code(), ErrorCode::GateTimeout);
    assert_eq!(worker.unwrap_err().code(), ErrorCode::GateTimeout);
    assert_eq!(started.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_trickling_answer_does_not_stretch_the_gate() {
    let (mut client, gateway) = World::new().intruder().await;
    let (error, code) = tokio::join!(gate(gateway), async {
        read_frame(&mut client).await.unwrap();
        for &byte in &frame(FrameKind::Authenticator, &[0; 100])[..6] {
            client.write_all(&[byte]).await.unwrap();
            client.flush().await.unwrap();
            tokio::time::sleep(Duration::from_secs(4)).await;
        }
        told(&mut client).await
    });
    assert_eq!(error.code(), ErrorCode::GateTimeout, "{}", chain(&error));
    assert_eq!(code, Some(ErrorCode::GateTimeout));
}

#[test]
fn a_request_of_another_profile_is_refused() {
    let mut body = vec![15];
    body.extend_from_slice(b"cocoon-attest/2");
    let error = AuthRequest::parse(&body).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ProfileUnsupported);
}

#[tokio::test]
async fn a_request_reads_back_as_it_was_written_and_no_other_way() {
    let (worker, gateway) = World::new().attested().await;
    drop(worker);
    let (_session, _http, mut rebinder) = gateway.into_parts();
    let request = rebinder.request().unwrap();
    let body = request.encode().unwrap();
    assert_eq!(AuthRequest::parse(&body).unwrap(), request);
    for end in 0..body.len() {
        AuthRequest::parse(&body[..end]).unwrap_err();
    }
    AuthRequest::parse(&[&body[..], &[0]].concat()).unwrap_err();
    // Beside the profile id: the message's header, its context's length and every byte of its extensions.
    let context = 16 + 4 + 1..16 + 4 + 1 + 32;
    for index in (0..body.len()).filter(|index| !context.contains(index)) {
        let mut other = body.to_vec();
        other[index] ^= 1;
        AuthRequest::parse(&other).unwrap_err();
    }
}

#[tokio::test]
async fn evidence_that_fits_nothing_is_refused_before_it_is_sent() {
    let (worker, gateway) = World::new()
        .refused(&Honest {
            device_evidence: Some(vec![0; 300 * 1024]),
        })
        .await;
    assert_eq!(
        worker.code(),
        ErrorCode::FrameTooLarge,
        "{}",
        chain(&worker)
    );
    assert_eq!(
        gateway.code(),
        ErrorCode::ConnectionLost,
        "{}",
        chain(&gateway)
    );
}

#[test]
fn a_refusal_with_a_code_of_another_release_is_no_malformed_frame() {
    let error = Outcome::parse(b"\x01\x04E999").unwrap_err();
    assert_eq!(error.code(), ErrorCode::ProfileUnsupported);
    let error = Outcome::parse(b"\x01\x04E9").unwrap_err();
    assert_eq!(error.code(), ErrorCode::FrameMalformed);
}

#[tokio::test]
async fn frames_survive_a_byte_at_a_time() {
    let frames = [
        frame(FrameKind::Heartbeat, b"alive"),
        frame(FrameKind::Renew, b""),
    ]
    .concat();
    let mut decoder = channel::FrameDecoder::default();
    let mut seen = Vec::new();
    for byte in frames {
        decoder.push(&[byte]);
        while let Some(frame) = decoder.next_frame().unwrap() {
            seen.push((frame.kind(), frame.into_body()));
        }
    }
    decoder.finish().unwrap();
    assert_eq!(
        seen,
        [
            (FrameKind::Heartbeat, Bytes::from("alive")),
            (FrameKind::Renew, Bytes::new())
        ]
    );
    decoder.push(&[0]);
    assert!(matches!(decoder.finish(), Err(FrameError::Truncated)));
}

#[tokio::test]
async fn a_written_frame_reads_back() {
    let mut pipe = Vec::new();
    let frame = Frame::new(FrameKind::Cancel, vec![3; 100_000].into()).unwrap();
    write_frame(&mut pipe, &frame).await.unwrap();
    assert_eq!(read_frame(&mut pipe.as_slice()).await.unwrap(), frame);
}
