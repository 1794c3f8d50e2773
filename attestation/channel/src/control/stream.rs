//! The two ends of a control stream, over the bodies of one HTTP/2 request.

use std::{
    convert::Infallible,
    error::Error,
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame as BodyFrame};
use tokio::sync::mpsc;

use super::{ControlError, GatewayMessage, Message, WorkerMessage};
use crate::{
    frame::{FrameDecoder, FrameError},
    http2::{BoxedBody, WorkerHttp},
    profile::PROFILE,
};

/// Messages waiting for the peer: renewals of a full batch and a heartbeat. A peer that reads nothing makes the sender
/// wait, and misses its heartbeats.
const QUEUE_MESSAGES_MAX: usize = 32;

/// The sending end. Clones share the stream, which ends when the last one is dropped.
pub struct ControlSender<M> {
    queue: mpsc::Sender<Bytes>,
    messages: PhantomData<fn(M)>,
}

/// The receiving end.
pub struct ControlReceiver<M> {
    body: BoxedBody,
    decoder: FrameDecoder,
    device_evidence: Option<Bytes>,
    messages: PhantomData<fn() -> M>,
}

/// The body that carries what a [`ControlSender`] sends.
#[derive(Debug)]
pub struct ControlBody {
    queue: mpsc::Receiver<Bytes>,
}

/// Opens a control stream: the worker's part.
pub(crate) async fn open_control(
    http: &WorkerHttp,
) -> Result<
    (
        ControlSender<WorkerMessage>,
        ControlReceiver<GatewayMessage>,
    ),
    ControlError,
> {
    let (sender, body) = channel();
    let mut request = Request::post(PROFILE.control_path)
        .body(body)
        .map_err(|error| ControlError::Body(error.into()))?;
    request.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static(PROFILE.media_type_control),
    );
    let response = http.request(request).await.map_err(ControlError::Open)?;
    if response.status() != StatusCode::OK {
        return Err(ControlError::Refused(response.status()));
    }
    require_media_type(response.headers())?;
    Ok((sender, ControlReceiver::new(response.into_body())))
}

/// Accepts a control stream in the handler of `POST /v1/control`: the gateway's part. Return the response at once; it lasts
/// as long as the sender.
#[expect(
    clippy::type_complexity,
    reason = "three plain values; a struct would be taken apart at once"
)]
pub fn accept_control<B>(
    request: Request<B>,
) -> Result<
    (
        ControlSender<GatewayMessage>,
        ControlReceiver<WorkerMessage>,
        Response<ControlBody>,
    ),
    ControlError,
>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    require_media_type(request.headers())?;
    let (sender, body) = channel();
    let mut response = Response::new(body);
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static(PROFILE.media_type_control),
    );
    Ok((sender, ControlReceiver::new(request.into_body()), response))
}

fn require_media_type(headers: &HeaderMap) -> Result<(), ControlError> {
    if headers
        .get(CONTENT_TYPE)
        .is_some_and(|value| value == PROFILE.media_type_control)
    {
        Ok(())
    } else {
        Err(ControlError::MediaType)
    }
}

fn channel<M>() -> (ControlSender<M>, ControlBody) {
    let (sender, receiver) = mpsc::channel(QUEUE_MESSAGES_MAX);
    (
        ControlSender {
            queue: sender,
            messages: PhantomData,
        },
        ControlBody { queue: receiver },
    )
}

impl<M: Message> ControlSender<M> {
    /// Queues a message; waits while the queue is full.
    pub async fn send(&self, message: M) -> Result<(), ControlError> {
        self.queue
            .send(encode(message)?)
            .await
            .map_err(|_| ControlError::Closed)
    }

    /// Queues a message, or says that the queue is full.
    pub fn try_send(&self, message: M) -> Result<(), ControlError> {
        self.queue
            .try_send(encode(message)?)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => ControlError::Full,
                mpsc::error::TrySendError::Closed(_) => ControlError::Closed,
            })
    }

    /// Resolves when nothing that is sent can arrive any more: the peer has let go of both directions of the stream, or
    /// the connection has ended.
    pub async fn closed(&self) {
        self.queue.closed().await;
    }
}

/// The frames of one message go into one piece, so that those of another cannot come between them.
fn encode<M: Message>(message: M) -> Result<Bytes, ControlError> {
    let mut piece = BytesMut::new();
    for frame in message.into_frames()? {
        piece.extend_from_slice(&frame.encode());
    }
    Ok(piece.freeze())
}

impl<M: Message> ControlReceiver<M> {
    fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        Self {
            body: body.map_err(Into::into).boxed_unsync(),
            decoder: FrameDecoder::default(),
            device_evidence: None,
            messages: PhantomData,
        }
    }

    /// The next message, or nothing when the peer has ended the stream. May be dropped and called again without loss.
    /// After an error the stream is of no further use.
    pub async fn recv(&mut self) -> Result<Option<M>, ControlError> {
        loop {
            while let Some(frame) = self.decoder.next_frame().map_err(ControlError::Frame)? {
                if let Some(message) = M::complete(&mut self.device_evidence, frame)? {
                    return Ok(Some(message));
                }
            }
            match self.body.frame().await {
                Some(Ok(piece)) => self.decoder.push(&piece.into_data().unwrap_or_default()),
                Some(Err(error)) => return Err(ControlError::Body(error)),
                None => {
                    self.decoder.finish().map_err(ControlError::Frame)?;
                    // Device evidence without its authenticator is half a message.
                    return match self.device_evidence {
                        None => Ok(None),
                        Some(_) => Err(ControlError::Frame(FrameError::Truncated)),
                    };
                }
            }
        }
    }
}

impl Body for ControlBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, Infallible>>> {
        self.queue
            .poll_recv(cx)
            .map(|piece| piece.map(|piece| Ok(BodyFrame::data(piece))))
    }
}

impl<M> Clone for ControlSender<M> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            messages: PhantomData,
        }
    }
}

impl<M> fmt::Debug for ControlSender<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlSender").finish_non_exhaustive()
    }
}

impl<M> fmt::Debug for ControlReceiver<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlReceiver").finish_non_exhaustive()
    }
}
