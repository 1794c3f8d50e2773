//! Frames and the two bodies that the channel itself reads: alike in one piece and in many, with one encoding each.

use attestation::ErrorCode;
use bytes::Bytes;
use channel::{AuthRequest, Frame, FrameDecoder, FrameKind, Outcome, Verdict};

use crate::{Seeds, Target};

pub(crate) const TARGET: Target = Target {
    name: "frames",
    run,
    seeds,
    dictionary: &[b"cocoon-attest/1", b"E301", b"\x00\x00\x00\x00\x10"],
};

/// The first byte says how large the pieces are.
fn run(input: &[u8]) {
    let Some((&step, stream)) = input.split_first() else {
        return;
    };
    let (whole, end) = decode(stream.chunks(stream.len().max(1)));
    assert_eq!(
        decode(stream.chunks(usize::from(step).max(1))),
        (whole.clone(), end)
    );
    let encoded: Vec<u8> = whole.iter().flat_map(Frame::encode).collect();
    assert!(stream.starts_with(&encoded));
    for frame in whole {
        let (kind, body) = (frame.kind(), frame.into_body());
        assert!(body.len() <= kind.body_bytes_max());
        read(&body);
    }
    read(stream);
}

/// The frames of a stream, and whether it ended between two of them.
fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Frame>, Option<bool>) {
    let mut decoder = FrameDecoder::default();
    let mut frames = Vec::new();
    for piece in pieces {
        decoder.push(piece);
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(_) => return (frames, None),
            }
        }
    }
    (frames, Some(decoder.finish().is_ok()))
}

fn read(body: &[u8]) {
    if let Ok(request) = AuthRequest::parse(body) {
        assert_eq!(request.encode().expect("what parses encodes"), body);
    }
    if let Ok(outcome) = Outcome::parse(body) {
        assert_eq!(outcome.encode().expect("what parses encodes"), body);
    }
}

fn seeds(seeds: &mut Seeds) {
    let admitted = Outcome::Admitted(Verdict {
        session_id: "01JD0000000000000000000000".to_owned(),
        reattest_by_s: 600,
        max_age_s: 86_400,
    });
    let outcomes = [admitted, Outcome::Refused(ErrorCode::QuoteMalformed)];
    let bodies = outcomes.map(|outcome| outcome.encode().expect("an outcome encodes"));
    let mut stream = vec![3];
    for (kind, body) in [
        (FrameKind::Outcome, bodies[0].clone()),
        (FrameKind::Outcome, bodies[1].clone()),
        (FrameKind::Heartbeat, Bytes::from_static(b"telemetry")),
        (FrameKind::DeviceEvidence, Bytes::from_static(&[0xa0; 300])),
    ] {
        stream.extend(Frame::new(kind, body).expect("a short frame fits").encode());
    }
    seeds.add(stream);
    for body in bodies
        .into_iter()
        .chain([super::authenticator::request_body()])
    {
        seeds.add([&[1], body.as_ref()].concat());
    }
}
