//! What can go wrong with HTTP/2 after the gate.

/// HTTP/2 on an attested connection failed.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The peers do not come to terms about HTTP/2.
    #[error("HTTP/2 could not be started")]
    Start(#[source] hyper::Error),
    /// The connection ended otherwise than by agreement.
    #[error("the HTTP/2 connection failed")]
    Connection(#[source] hyper::Error),
    /// A request got no response.
    #[error("the request failed")]
    Request(#[source] hyper::Error),
    /// The request's target is not a path.
    #[error("the request's target is not a path")]
    Target(#[source] http::Error),
}
