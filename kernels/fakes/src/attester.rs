//! Whoever makes reports, asked over a Unix socket; `simulator::attester` is one.
//!
//! ```text
//! request   u8 what: 1 a report, 2 a certificate chain ‖ u32 big-endian index of the GPU ‖ 32 bytes of nonce
//! response  u32 big-endian length ‖ the report (SPDM request ‖ response), or the chain in PEM, leaf first
//! ```
//!
//! One request a connection. A response without a byte is a refusal.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::config;

/// Longer than anything that a caller's buffer takes.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// What is asked for.
#[derive(Clone, Copy)]
pub(crate) enum Wanted {
    Report,
    Chain,
}

/// The answer, or nothing where nobody gives one.
pub(crate) fn ask(wanted: Wanted, gpu: u32, nonce: &[u8; 32]) -> Option<Vec<u8>> {
    let mut socket = UnixStream::connect(config::attester()?).ok()?;
    let what = match wanted {
        Wanted::Report => 1,
        Wanted::Chain => 2,
    };
    let request = [&[what][..], &gpu.to_be_bytes(), nonce].concat();
    socket.write_all(&request).ok()?;
    let mut length = [0; 4];
    socket.read_exact(&mut length).ok()?;
    let length = usize::try_from(u32::from_be_bytes(length)).ok()?;
    if !(1..=RESPONSE_BYTES_MAX).contains(&length) {
        return None;
    }
    let mut response = vec![0; length];
    socket.read_exact(&mut response).ok()?;
    Some(response)
}
