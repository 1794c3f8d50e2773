//! One TLS connection in two halves: one moves bytes and ends up inside hyper, the other keeps the exporter in reach.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsStream;

/// Anything that moves bytes: a TCP stream in production, an in-memory pipe in tests.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Transport for T {}

/// One virtual call per read or write of a record; in exchange no public type is generic over the transport.
pub(crate) type BoxedTransport = Box<dyn Transport>;

/// Locked only inside one poll, never across an await. `None` once the I/O half is gone: its drop closes the socket, even
/// where somebody still holds the other half.
type Shared = Arc<Mutex<Option<TlsStream<BoxedTransport>>>>;

/// The half that moves bytes.
pub(crate) struct TlsIo {
    shared: Shared,
}

/// The half that exports keying material from the live connection.
#[derive(Clone)]
pub(crate) struct LiveTls {
    shared: Shared,
}

/// Splits an established connection.
pub(super) fn split(stream: TlsStream<BoxedTransport>) -> (TlsIo, LiveTls) {
    let shared = Arc::new(Mutex::new(Some(stream)));
    (
        TlsIo {
            shared: Arc::clone(&shared),
        },
        LiveTls { shared },
    )
}

impl LiveTls {
    /// Fills `output` with `TLS-Exporter(label, context, output length)` (RFC 8446 section 7.5). The error is empty where
    /// the connection is closed.
    pub(crate) fn export(
        &self,
        label: &[u8],
        context: Option<&[u8]>,
        output: &mut [u8],
    ) -> Result<(), Option<rustls::Error>> {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let exported = match shared.as_ref().ok_or(None)? {
            TlsStream::Client(stream) => stream
                .get_ref()
                .1
                .export_keying_material(output, label, context),
            TlsStream::Server(stream) => stream
                .get_ref()
                .1
                .export_keying_material(output, label, context),
        };
        exported.map(drop).map_err(Some)
    }
}

impl TlsIo {
    fn poll_with<T>(
        &self,
        poll: impl FnOnce(Pin<&mut TlsStream<BoxedTransport>>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        // Nothing that runs under this lock leaves the stream half changed, so a panic elsewhere is no reason to stop.
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        match shared.as_mut() {
            Some(stream) => poll(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl AsyncRead for TlsIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_with(|stream| stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for TlsIo {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(|stream| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(|stream| stream.poll_write_vectored(cx, bufs))
    }

    /// TLS records are assembled in memory, so separate slices cost no extra call to the kernel.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_with(|stream| stream.poll_shutdown(cx))
    }
}

impl Drop for TlsIo {
    fn drop(&mut self) {
        let stream = self
            .shared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        drop(stream);
    }
}

impl fmt::Debug for TlsIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsIo").finish_non_exhaustive()
    }
}

impl fmt::Debug for LiveTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveTls").finish_non_exhaustive()
    }
}
