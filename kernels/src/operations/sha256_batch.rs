//! `sha256_batch`: the SHA-256 digest (FIPS 180-4) of each input, one after another.

use protocol::Sha256Digest;
use protocol::catalogue::Values;

use super::OperationError;

#[expect(
    clippy::unnecessary_wraps,
    reason = "the signature of every definition"
)]
pub(super) fn run(_: &Values, inputs: &[&[u8]], output: &mut [u8]) -> Result<(), OperationError> {
    for (slot, message) in output.as_chunks_mut::<32>().0.iter_mut().zip(inputs) {
        *slot = *Sha256Digest::of(message).as_bytes();
    }
    Ok(())
}
