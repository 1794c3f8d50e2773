//! The gateway's HTTP/2 server.

use std::{error::Error, io};

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    server::conn::http2::Builder,
    service::Service,
};
use hyper_util::rt::TokioIo;

use super::{
    HttpError,
    driver::{Driver, Remaining, Tasks},
    limits::limit_server,
};
use crate::tls::TlsIo;

/// Serves requests on one attested connection.
#[derive(Debug)]
pub struct GatewayHttp {
    io: TlsIo,
}

impl GatewayHttp {
    pub(crate) fn new(io: TlsIo) -> Self {
        Self { io }
    }

    /// Serves `service` (an axum router: `hyper_util::service::TowerToHyperService`) until the worker closes the
    /// connection. When `shutdown` resolves, no further request is taken and those in flight are finished; a control stream
    /// is in flight for as long as its sender lives.
    ///
    /// Handlers run inside this future: dropping it closes the connection and cancels them, as does the connection's end. They share one task, so a
    /// handler that computes for long belongs on another thread.
    pub async fn serve<S, B>(
        self,
        service: S,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<(), HttpError>
    where
        S: Service<Request<Incoming>, Response = Response<B>>,
        S::Future: Send + 'static,
        S::Error: Into<Box<dyn Error + Send + Sync>>,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let tasks = Tasks::default();
        let mut builder = Builder::new(tasks.clone());
        limit_server(&mut builder);
        let driver = Driver::new(
            builder.serve_connection(TokioIo::new(self.io), service),
            tasks,
            Remaining::Drop,
        );
        match select(driver, std::pin::pin!(shutdown)).await {
            Either::Left((ended, _)) => ended.map_err(HttpError::Connection),
            Either::Right(((), mut driver)) => {
                if let Some(connection) = driver.connection() {
                    connection.graceful_shutdown();
                }
                driver.await.or_else(forgive_close)
            }
        }
    }
}

/// A worker that has been told goodbye may close before our own close reaches it: nothing was lost.
fn forgive_close(error: hyper::Error) -> Result<(), HttpError> {
    let transport = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    match transport.map(io::Error::kind) {
        Some(
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NotConnected
            | io::ErrorKind::UnexpectedEof,
        ) => Ok(()),
        _ => Err(HttpError::Connection(error)),
    }
}
