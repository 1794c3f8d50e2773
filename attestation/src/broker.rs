//! The wire format of the quote broker's socket (`cocoon-quote`), shared by the agent, the broker and its simulator.
//!
//! ```text
//! request   u32 big-endian length ‖ preimage
//! response  u32 big-endian length ‖ 0x00 ‖ quote
//!           u32 big-endian length ‖ failure kind ‖ sentence (UTF-8)
//! ```
//!
//! One request and one response at a time. Pure: the caller reads four bytes, asks [`frame_length`] how many follow,
//! reads them, and decodes.

use crate::{Preimage, PreimageError, evidence::QUOTE_BYTES_MAX};

/// A request holds one preimage and nothing else.
pub const REQUEST_BYTES_MAX: usize = Preimage::BYTES_MAX;
/// A response holds one kind byte and one quote, or a sentence that is shorter by far.
pub const RESPONSE_BYTES_MAX: usize = 1 + QUOTE_BYTES_MAX;
/// A sentence says what to do; an operator reads it in a log line.
pub const SENTENCE_BYTES_MAX: usize = 1024;

const QUOTE: u8 = 0;

/// Why a broker gave no quote: what the agent does next depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The caller's user id may not ask for quotes.
    Denied,
    /// The request is no preimage.
    Malformed,
    /// Too many callers wait already, or the source did not answer in time; ask again later.
    Busy,
    /// This machine has no source of quotes.
    Unavailable,
    /// The source answered with an error.
    Failed,
}

impl FailureKind {
    const ALL: [Self; 5] = [
        Self::Denied,
        Self::Malformed,
        Self::Busy,
        Self::Unavailable,
        Self::Failed,
    ];

    /// The kind as it stands in a response.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Denied => 1,
            Self::Malformed => 2,
            Self::Busy => 3,
            Self::Unavailable => 4,
            Self::Failed => 5,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.byte() == byte)
    }
}

/// A broker's refusal, with a sentence that says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{sentence}")]
pub struct Failure {
    /// What went wrong.
    pub kind: FailureKind,
    /// One sentence for the operator; cut to [`SENTENCE_BYTES_MAX`] on the wire.
    pub sentence: String,
}

/// What a broker answers.
pub type Response = Result<Vec<u8>, Failure>;

/// Why bytes are no frame of this socket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The frame announces more bytes than it may hold, or none.
    #[error("a frame of {length} bytes is outside 1 to {max}")]
    Length {
        /// Announced length in bytes.
        length: u32,
        /// The most that such a frame may hold.
        max: usize,
    },
    /// The request is no preimage.
    #[error("the request holds no preimage")]
    Preimage(#[source] PreimageError),
    /// The response opens with a kind byte that nobody sends.
    #[error("unknown response kind 0x{0:02x}")]
    Kind(u8),
    /// The response holds no byte.
    #[error("the response is empty")]
    Empty,
    /// The sentence is not UTF-8 or is too long.
    #[error("the sentence of a failure is not UTF-8 or exceeds {SENTENCE_BYTES_MAX} bytes")]
    Sentence,
    /// The quote is empty or too long.
    #[error("a quote of {0} bytes is outside 1 to {QUOTE_BYTES_MAX}")]
    QuoteLength(usize),
}

/// How many bytes follow a frame's four-byte header, given the most that may: [`REQUEST_BYTES_MAX`] or
/// [`RESPONSE_BYTES_MAX`].
pub fn frame_length(header: [u8; 4], max: usize) -> Result<usize, WireError> {
    let length = u32::from_be_bytes(header);
    match usize::try_from(length) {
        Ok(bytes) if (1..=max).contains(&bytes) => Ok(bytes),
        _ => Err(WireError::Length { length, max }),
    }
}

/// The request's frame, header included.
#[must_use]
pub fn encode_request(preimage: &Preimage) -> Vec<u8> {
    frame(preimage.bytes())
}

/// The preimage in a request's body (what follows the header).
pub fn decode_request(body: &[u8]) -> Result<Preimage, WireError> {
    Preimage::parse(body).map_err(WireError::Preimage)
}

/// The response's frame, header included.
pub fn encode_response(response: &Response) -> Result<Vec<u8>, WireError> {
    match response {
        Ok(quote) if (1..=QUOTE_BYTES_MAX).contains(&quote.len()) => {
            Ok(frame(&[&[QUOTE], &quote[..]].concat()))
        }
        Ok(quote) => Err(WireError::QuoteLength(quote.len())),
        Err(failure) => Ok(frame(
            &[
                &[failure.kind.byte()],
                shortened(&failure.sentence).as_bytes(),
            ]
            .concat(),
        )),
    }
}

/// What a response's body (what follows the header) says.
pub fn decode_response(body: &[u8]) -> Result<Response, WireError> {
    match body.split_first() {
        None => Err(WireError::Empty),
        Some((&QUOTE, quote)) if (1..=QUOTE_BYTES_MAX).contains(&quote.len()) => {
            Ok(Ok(quote.to_vec()))
        }
        Some((&QUOTE, quote)) => Err(WireError::QuoteLength(quote.len())),
        Some((&kind, sentence)) => {
            let kind = FailureKind::from_byte(kind).ok_or(WireError::Kind(kind))?;
            let sentence = std::str::from_utf8(sentence).map_err(|_| WireError::Sentence)?;
            if sentence.len() > SENTENCE_BYTES_MAX {
                return Err(WireError::Sentence);
            }
            Ok(Err(Failure {
                kind,
                sentence: sentence.to_owned(),
            }))
        }
    }
}

fn frame(body: &[u8]) -> Vec<u8> {
    // Bodies are bounded by the limits above, far below what u32 holds.
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), body].concat()
}

fn shortened(sentence: &str) -> &str {
    let end = sentence.floor_char_boundary(SENTENCE_BYTES_MAX);
    sentence.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Binding, Role, SuiteHash};

    fn preimage() -> Preimage {
        Binding {
            role: Role::Client,
            hash: SuiteHash::Sha384,
            exported: [1; 32],
            attester_spki: vec![2; 91],
            peer_spki: vec![3; 91],
        }
        .preimage(b"", b"claims")
    }

    fn body(frame: &[u8]) -> &[u8] {
        let header = frame[..4].try_into().unwrap();
        let length = frame_length(header, RESPONSE_BYTES_MAX).unwrap();
        assert_eq!(frame.len(), 4 + length);
        &frame[4..]
    }

    #[test]
    fn requests_and_responses_survive_the_wire() {
        assert_eq!(
            decode_request(body(&encode_request(&preimage()))),
            Ok(preimage())
        );
        let failure = Failure {
            kind: FailureKind::Busy,
            sentence: "Ask again in a second.".into(),
        };
        for response in [Ok(vec![4, 0]), Err(failure)] {
            let frame = encode_response(&response).unwrap();
            assert_eq!(decode_response(body(&frame)), Ok(response));
        }
    }

    #[test]
    fn lengths_outside_the_limits_are_refused() {
        assert!(matches!(
            frame_length([0; 4], 8),
            Err(WireError::Length { length: 0, max: 8 })
        ));
        assert!(matches!(
            frame_length([0, 0, 0, 9], 8),
            Err(WireError::Length { length: 9, max: 8 })
        ));
        assert!(matches!(
            frame_length([0xff; 4], RESPONSE_BYTES_MAX),
            Err(WireError::Length { .. })
        ));
        assert_eq!(frame_length([0, 0, 0, 8], 8), Ok(8));
    }

    #[test]
    fn malformed_bodies_are_refused_by_name() {
        assert!(matches!(
            decode_request(b"report-data"),
            Err(WireError::Preimage(PreimageError::Label))
        ));
        assert_eq!(decode_response(b""), Err(WireError::Empty));
        assert_eq!(decode_response(&[QUOTE]), Err(WireError::QuoteLength(0)));
        assert_eq!(decode_response(&[9, b'x']), Err(WireError::Kind(9)));
        assert_eq!(decode_response(&[3, 0xff]), Err(WireError::Sentence));
        assert_eq!(
            decode_response(&[&[3][..], &[b'x'; 1025]].concat()),
            Err(WireError::Sentence)
        );
        assert_eq!(
            encode_response(&Ok(Vec::new())),
            Err(WireError::QuoteLength(0))
        );
    }

    #[test]
    fn a_long_sentence_is_cut_at_a_character() {
        let failure = Failure {
            kind: FailureKind::Failed,
            sentence: "é".repeat(1000),
        };
        let frame = encode_response(&Err(failure)).unwrap();
        let Ok(Err(read)) = decode_response(body(&frame)) else {
            panic!("no failure")
        };
        assert_eq!(read.sentence, "é".repeat(512));
    }
}
