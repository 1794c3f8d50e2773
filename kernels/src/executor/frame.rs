//! Frames: four bytes of length (big-endian), then that many bytes of CBOR. Bounded before anything is allocated.

use std::io::{self, Read};

use protocol::wire::{self, WireError};
use serde::Serialize;
use serde::de::DeserializeOwned;

const LENGTH_BYTES: usize = 4;

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a frame of {seen} bytes exceeds the limit of {max}")]
    TooLarge { seen: usize, max: usize },
    #[error("the stream ends within a frame")]
    Truncated,
    #[error("the frame is no message of this protocol")]
    Message(#[source] WireError),
    #[error("the socket failed")]
    Io(#[source] io::Error),
}

/// The frame of one message.
pub(super) fn encode(message: &impl Serialize, bytes_max: usize) -> Result<Vec<u8>, FrameError> {
    let body = wire::encode(message).map_err(FrameError::Message)?;
    let length = u32::try_from(body.len())
        .ok()
        .filter(|_| body.len() <= bytes_max)
        .ok_or(FrameError::TooLarge {
            seen: body.len(),
            max: bytes_max,
        })?;
    Ok([&length.to_be_bytes()[..], &body].concat())
}

/// Reads one message; `None` where the stream ends between two frames.
pub(super) fn read<T: DeserializeOwned>(
    source: &mut impl Read,
    bytes_max: usize,
) -> Result<Option<T>, FrameError> {
    let mut length = [0; LENGTH_BYTES];
    let filled = fill(source, &mut length).map_err(FrameError::Io)?;
    if filled == 0 {
        return Ok(None);
    }
    if filled < LENGTH_BYTES {
        return Err(FrameError::Truncated);
    }
    let seen = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if seen > bytes_max {
        return Err(FrameError::TooLarge {
            seen,
            max: bytes_max,
        });
    }
    let mut body = vec![0; seen];
    if fill(source, &mut body).map_err(FrameError::Io)? < seen {
        return Err(FrameError::Truncated);
    }
    let message = wire::decode(&body, bytes_max).map_err(FrameError::Message)?;
    Ok(Some(message))
}

/// Fills the buffer as far as the stream goes; `Read::read_exact` does not tell an end between frames from one within.
fn fill(source: &mut impl Read, mut buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled: usize = 0;
    while !buffer.is_empty() {
        match source.read(buffer) {
            Ok(0) => break,
            Ok(count) => {
                filled = filled.saturating_add(count);
                buffer = buffer.get_mut(count..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_back(bytes: &[u8]) -> Result<Option<Vec<u32>>, FrameError> {
        read(&mut &*bytes, 16)
    }

    #[test]
    fn frames_follow_one_another() {
        let frames = [
            encode(&vec![1, 2], 16).unwrap(),
            encode(&vec![3], 16).unwrap(),
        ]
        .concat();
        let mut source = frames.as_slice();
        assert_eq!(read::<Vec<u32>>(&mut source, 16).unwrap(), Some(vec![1, 2]));
        assert_eq!(read::<Vec<u32>>(&mut source, 16).unwrap(), Some(vec![3]));
        assert_eq!(read::<Vec<u32>>(&mut source, 16).unwrap(), None);
    }

    #[test]
    fn each_malformation_has_its_own_error() {
        let whole = encode(&vec![1, 2], 16).unwrap();
        for cut in 1..whole.len() {
            assert!(matches!(
                read_back(&whole[..cut]),
                Err(FrameError::Truncated)
            ));
        }
        assert!(matches!(
            read_back(&[0xff; 8]),
            Err(FrameError::TooLarge { max: 16, .. })
        ));
        assert!(matches!(
            read_back(b"\0\0\0\x01\xff"),
            Err(FrameError::Message(WireError::Decode(_)))
        ));
        assert!(matches!(
            read_back(b"\0\0\0\x02\x80\x80"),
            Err(FrameError::Message(WireError::TrailingBytes(1)))
        ));
        assert!(matches!(
            encode(&vec![u32::MAX; 4], 16),
            Err(FrameError::TooLarge { seen: 21, max: 16 })
        ));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            drop(read::<crate::executor::message::Command>(&mut bytes.as_slice(), 1024));
            drop(read::<crate::executor::message::Reply>(&mut bytes.as_slice(), 1024));
        }
    }
}
