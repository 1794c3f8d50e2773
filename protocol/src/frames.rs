//! Several worker messages in one body: each in CBOR, as [`crate::wire`] has it, behind its length in four bytes, most
//! significant first.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::wire::{self, WireError};

/// Media type of such a body.
pub const MEDIA_TYPE: &str = "application/vnd.cocoon.cbor-frames";

const LENGTH_BYTES: usize = 4;

/// Encodes one message, with its length before it. With room for so many bytes a large one is not copied as it grows.
pub fn encode<T: Serialize>(message: &T, bytes: usize) -> Result<Vec<u8>, WireError> {
    let mut frame = Vec::with_capacity(bytes.saturating_add(LENGTH_BYTES));
    frame.extend([0; LENGTH_BYTES]);
    wire::encode_to(&mut frame, message)?;
    let body = frame.len().saturating_sub(LENGTH_BYTES);
    let length = u32::try_from(body)
        .map_err(|_| WireError::TooLarge(body, usize::try_from(u32::MAX).unwrap_or(usize::MAX)))?;
    if let Some(place) = frame.first_chunk_mut() {
        *place = length.to_be_bytes();
    }
    Ok(frame)
}

/// Puts messages together again from the pieces in which their bytes arrive.
#[derive(Debug, Default)]
pub struct Frames(Vec<u8>);

impl Frames {
    /// More of them. To be called when [`Frames::next`] has none left, so that no more than one message is kept.
    pub fn push(&mut self, piece: &[u8]) {
        self.0.extend_from_slice(piece);
    }

    /// The next message, if it has arrived whole. One that says that it has more than `bytes_max` bytes is refused at once.
    pub fn next<T: DeserializeOwned>(&mut self, bytes_max: usize) -> Result<Option<T>, WireError> {
        let Some((length, rest)) = self.0.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > bytes_max {
            return Err(WireError::TooLarge(length, bytes_max));
        }
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let message = wire::decode(body, bytes_max)?;
        self.0.drain(..LENGTH_BYTES.saturating_add(length));
        Ok(Some(message))
    }

    /// Whether a message has begun that has not arrived whole.
    #[must_use]
    pub fn has_part(&self) -> bool {
        !self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(messages: &[String]) -> Vec<u8> {
        let frames = messages.iter().map(|message| encode(message, 0).unwrap());
        frames.flatten().collect()
    }

    proptest! {
        #[test]
        fn messages_arrive_whatever_their_pieces(
            messages in prop::collection::vec("[a-z]{0,40}", 0..6),
            piece_bytes in 1_usize..50,
        ) {
            let mut frames = Frames::default();
            let mut arrived = Vec::<String>::new();
            for piece in encoded(&messages).chunks(piece_bytes) {
                frames.push(piece);
                while let Some(message) = frames.next(100).unwrap() {
                    arrived.push(message);
                }
            }
            prop_assert_eq!(arrived, messages);
            prop_assert!(!frames.has_part());
        }

        #[test]
        fn bytes_from_anywhere_are_messages_or_errors(bytes: Vec<u8>) {
            let mut frames = Frames::default();
            frames.push(&bytes);
            while let Ok(Some(_)) = frames.next::<String>(100) {}
        }
    }

    #[test]
    fn a_message_that_breaks_off_is_noticed() {
        let mut frames = Frames::default();
        frames.push(&encoded(&["whole".to_owned(), "part".to_owned()])[..14]);
        assert_eq!(frames.next(100).unwrap(), Some("whole".to_owned()));
        assert_eq!(frames.next::<String>(100).unwrap(), None);
        assert!(frames.has_part());
    }

    #[test]
    fn a_message_that_is_too_long_is_refused_before_it_is_there() {
        let mut frames = Frames::default();
        frames.push(&101_u32.to_be_bytes());
        let refused = frames.next::<String>(100);
        assert!(matches!(refused, Err(WireError::TooLarge(101, 100))));
    }

    #[test]
    fn a_length_that_is_not_the_messages_is_refused() {
        let mut frame = encode(&"text", 0).unwrap();
        frame.push(0);
        frame[3] += 1;
        let mut frames = Frames::default();
        frames.push(&frame);
        let refused = frames.next::<String>(100);
        assert!(matches!(refused, Err(WireError::TrailingBytes(1))));
    }
}
