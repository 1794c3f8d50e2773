//! One open file handed over the socket (`SCM_RIGHTS`, unix(7)): how the child gets the arena.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

const SPACE: usize = rustix::cmsg_space!(ScmRights(1));

/// Writes all of `bytes`; the descriptor travels with the first of them.
pub(super) fn send(
    mut socket: &UnixStream,
    bytes: &[u8],
    descriptor: BorrowedFd<'_>,
) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); SPACE];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("no room for one descriptor"));
    }
    let parts = [IoSlice::new(bytes)];
    let sent = rustix::net::sendmsg(socket, &parts, &mut control, SendFlags::NOSIGNAL)?;
    socket.write_all(bytes.get(sent..).unwrap_or_default())
}

/// The child's end of the socket: reads bytes and keeps the descriptor that came with them.
#[derive(Debug)]
pub(super) struct DescriptorReader<'a> {
    socket: &'a UnixStream,
    received: Option<OwnedFd>,
}

impl<'a> DescriptorReader<'a> {
    pub(super) fn new(socket: &'a UnixStream) -> Self {
        Self {
            socket,
            received: None,
        }
    }

    /// The descriptor that arrived since the last call.
    pub(super) fn take(&mut self) -> Option<OwnedFd> {
        self.received.take()
    }
}

impl Read for DescriptorReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); SPACE];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(buffer)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = rustix::net::recvmsg(self.socket, &mut parts, &mut control, flags)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                for descriptor in descriptors {
                    if self.received.replace(descriptor).is_some() {
                        return Err(io::Error::other("more than one descriptor arrived"));
                    }
                }
            }
        }
        Ok(received.bytes)
    }
}
