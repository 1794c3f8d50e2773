//! Worker messages on the wire: the serde types of [`crate::lease`] and [`crate::control`] as CBOR (RFC 8949).

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Media type of a worker message.
pub const MEDIA_TYPE: &str = "application/cbor";

/// Why a message could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("{0} bytes are more than the {1} that this message may have")]
    TooLarge(usize, usize),
    #[error("the bytes are not the CBOR message they should be")]
    Decode(#[source] minicbor_serde::error::DecodeError),
    #[error("{0} bytes follow the message")]
    TrailingBytes(usize),
    #[error("the message cannot be encoded")]
    Encode(#[source] minicbor_serde::error::EncodeError<std::convert::Infallible>),
}

/// Encodes one message.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, WireError> {
    let mut bytes = Vec::new();
    encode_to(&mut bytes, message)?;
    Ok(bytes)
}

/// Encodes one message behind what is there.
pub(crate) fn encode_to<T: Serialize>(bytes: &mut Vec<u8>, message: &T) -> Result<(), WireError> {
    let mut serializer = minicbor_serde::Serializer::new(bytes);
    message
        .serialize(&mut serializer)
        .map_err(WireError::Encode)
}

/// Decodes exactly one message of at most `bytes_max` bytes.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], bytes_max: usize) -> Result<T, WireError> {
    if bytes.len() > bytes_max {
        return Err(WireError::TooLarge(bytes.len(), bytes_max));
    }
    let mut deserializer = minicbor_serde::Deserializer::new(bytes);
    let message = T::deserialize(&mut deserializer).map_err(WireError::Decode)?;
    match bytes
        .len()
        .saturating_sub(deserializer.decoder().position())
    {
        0 => Ok(message),
        rest => Err(WireError::TrailingBytes(rest)),
    }
}
