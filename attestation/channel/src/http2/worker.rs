//! The worker's HTTP/2 client.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::TryFutureExt as _;
use http::{Request, Response, Uri, uri::Scheme};
use http_body_util::BodyExt as _;
use hyper::{
    body::{Body, Incoming},
    client::conn::http2::{Builder, SendRequest},
};
use hyper_util::rt::TokioIo;

use super::{
    BoxedBody, HttpError,
    driver::{Driver, Remaining, Tasks},
    limits::limit_client,
};
use crate::{
    control::{
        ControlError, ControlReceiver, ControlSender, GatewayMessage, WorkerMessage, open_control,
    },
    gate::AttestedWorker,
    rebind::WorkerRebinder,
};

/// Sends requests over an attested connection. Clones share the connection, which closes when the last one is dropped and
/// the last response read.
#[derive(Clone)]
pub struct WorkerHttp {
    sender: SendRequest<BoxedBody>,
    authority: Arc<str>,
    rebinder: WorkerRebinder,
}

impl fmt::Debug for WorkerHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerHttp")
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

/// Runs the connection; poll it beside everything else, and drop it to close the connection.
#[must_use = "nothing moves unless the driver is polled"]
pub struct WorkerDriver(Pin<Box<dyn Future<Output = Result<(), HttpError>> + Send>>);

impl fmt::Debug for WorkerDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerDriver").finish_non_exhaustive()
    }
}

impl Future for WorkerDriver {
    type Output = Result<(), HttpError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl AttestedWorker {
    /// Starts HTTP/2. Open the control stream first: without it the gateway cannot ask for anything.
    pub async fn into_http2(self) -> Result<(WorkerHttp, WorkerDriver), HttpError> {
        let tasks = Tasks::default();
        let mut builder = Builder::new(tasks.clone());
        limit_client(&mut builder);
        let (sender, connection) = builder
            .handshake(TokioIo::new(self.io))
            .await
            .map_err(HttpError::Start)?;
        let driver = Driver::new(connection, tasks, Remaining::Finish);
        let driver = WorkerDriver(Box::pin(driver.map_err(HttpError::Connection)));
        Ok((
            WorkerHttp {
                sender,
                authority: self.authority,
                rebinder: self.rebinder,
            },
            driver,
        ))
    }
}

impl WorkerHttp {
    /// Sends a request whose target is a path and waits for the head of the response.
    pub async fn request<B>(&self, request: Request<B>) -> Result<Response<Incoming>, HttpError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let (mut head, body) = request.into_parts();
        head.uri = self.absolute(&head.uri).map_err(HttpError::Target)?;
        let body = body.map_err(Into::into).boxed_unsync();
        let mut sender = self.sender.clone();
        sender.ready().await.map_err(HttpError::Request)?;
        sender
            .send_request(Request::from_parts(head, body))
            .await
            .map_err(HttpError::Request)
    }

    /// Opens the control stream. There is one for the life of the connection.
    pub async fn open_control(
        &self,
    ) -> Result<
        (
            ControlSender<WorkerMessage>,
            ControlReceiver<GatewayMessage>,
        ),
        ControlError,
    > {
        open_control(self).await
    }

    /// What answers the gateway's later requests for attestation.
    #[must_use]
    pub fn rebinder(&self) -> WorkerRebinder {
        self.rebinder.clone()
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// HTTP/2 wants scheme and authority beside the path; the authority is the name that the certificate proved.
    fn absolute(&self, target: &Uri) -> Result<Uri, http::Error> {
        let path = target
            .path_and_query()
            .map_or("/", http::uri::PathAndQuery::as_str);
        Uri::builder()
            .scheme(Scheme::HTTPS)
            .authority(&*self.authority)
            .path_and_query(path)
            .build()
    }
}
