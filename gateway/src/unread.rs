//! What is left of a request's body where it was answered early, refused before anything was read, say. Over HTTP/1.1 the
//! connection is closed then, and a client that still writes finds it broken and never reads why. So the rest is read away
//! before the answer goes out, if it is small and comes soon.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use bytes::Bytes;
use futures_util::StreamExt;
use http::Version;
use http::header::EXPECT;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::oneshot;

use crate::limits::{UNREAD_BYTES_MAX, UNREAD_WAIT};

/// A body that comes back when its handler is done with it.
struct Lent {
    /// Nothing once it was read to its end.
    body: Option<Body>,
    back: Option<oneshot::Sender<Body>>,
}

/// Where it comes back to; nothing where no rest is waited for.
pub(crate) struct Unread(Option<oneshot::Receiver<Body>>);

/// Lends a request its own body.
pub(crate) fn lend(request: Request) -> (Request, Unread) {
    // HTTP/2 ends a stream in order; whoever expects to be told to go on has sent nothing.
    let is_closed_early = request.version() <= Version::HTTP_11
        && !request.headers().contains_key(EXPECT)
        && request.body().size_hint().lower() <= UNREAD_BYTES_MAX;
    if !is_closed_early || request.body().is_end_stream() {
        return (request, Unread(None));
    }
    let (back, unread) = oneshot::channel();
    let lend = |body| {
        Body::new(Lent {
            body: Some(body),
            back: Some(back),
        })
    };
    (request.map(lend), Unread(Some(unread)))
}

impl Unread {
    /// Reads the rest away.
    pub(crate) async fn read_away(self) {
        let Some(body) = self.0.and_then(|mut unread| unread.try_recv().ok()) else {
            return;
        };
        let mut pieces = body.into_data_stream();
        let read = async {
            let mut left = UNREAD_BYTES_MAX;
            while let Some(Ok(piece)) = pieces.next().await {
                let bytes = u64::try_from(piece.len()).unwrap_or(u64::MAX);
                match left.checked_sub(bytes) {
                    Some(rest) => left = rest,
                    None => return,
                }
            }
        };
        // Whoever takes longer finds the connection closed.
        let _ = tokio::time::timeout(UNREAD_WAIT, read).await;
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.body = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let body = self.body.as_ref();
        body.map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take()) {
            // Nobody waits for it any more where the client went away.
            let _ = back.send(body);
        }
    }
}
