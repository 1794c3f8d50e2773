//! The quote broker's socket: requests are preimages and nothing else, responses a quote or a sentence.

use attestation::{
    Preimage,
    broker::{
        RESPONSE_BYTES_MAX, decode_request, decode_response, encode_request, encode_response,
        frame_length,
    },
};

use crate::{Seeds, Target, scene::SCENE};

pub(crate) const TARGET: Target = Target {
    name: "broker",
    run,
    seeds,
    dictionary: &[b"cocoon-attest/1 report-data\x00"],
};

fn run(body: &[u8]) {
    if let Ok(preimage) = decode_request(body) {
        assert_eq!(preimage.bytes(), body);
        assert_eq!(Preimage::parse(body).as_ref(), Ok(&preimage));
        assert_eq!(framed(&encode_request(&preimage)), body);
    }
    if let Ok(response) = decode_response(body) {
        let frame = encode_response(&response).expect("what decodes encodes");
        assert_eq!(framed(&frame), body);
    }
}

/// What follows a frame's header, which announces exactly that.
fn framed(frame: &[u8]) -> &[u8] {
    let (header, body) = frame.split_first_chunk().expect("a frame has a header");
    assert_eq!(frame_length(*header, RESPONSE_BYTES_MAX), Ok(body.len()));
    body
}

fn seeds(seeds: &mut Seeds) {
    let preimage = SCENE.binding.preimage(&[], &SCENE.evidence.claims);
    seeds.add(preimage.bytes());
    seeds.add([&[0], SCENE.evidence.quote.as_slice()].concat());
    seeds.add(b"\x03Ask again in a second.");
}
