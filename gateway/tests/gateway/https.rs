//! A small HTTP/1.1 client over TLS, so that a test can also say what no well-behaved client would.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::document::expect_described;

#[derive(Clone)]
pub(crate) struct Https {
    address: SocketAddr,
    tls: Option<TlsConnector>,
    token: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Asserts that this is a problem of that status. An answer to HEAD has no body.
    #[track_caller]
    pub(crate) fn refuses_as(&self, method: &Method, status: u16) {
        assert_eq!(self.status, status, "{self:?}");
        let media_type = self.header("content-type");
        assert_eq!(media_type, "application/problem+json", "{self:?}");
        assert_eq!(self.body.is_empty(), method == Method::HEAD, "{self:?}");
    }

    /// Asserts that this is the problem of that status and code.
    #[track_caller]
    pub(crate) fn refuses(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["code"], code, "{self:?}");
        assert_eq!(problem["status"], status, "{self:?}");
        problem
    }
}

impl Https {
    pub(crate) fn new(address: SocketAddr, ca: &[u8], token: Option<&str>) -> Self {
        Self {
            address,
            tls: Some(TlsConnector::from(Arc::new(client_config(ca, b"http/1.1")))),
            token: token.map(str::to_owned),
        }
    }

    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self {
            address,
            tls: None,
            token: None,
        }
    }

    pub(crate) fn without_token(&self) -> Self {
        Self {
            token: None,
            ..self.clone()
        }
    }

    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self {
            token: Some(token.to_owned()),
            ..self.clone()
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.send(Method::POST, path, &headers, Bytes::from(body.to_string()))
            .await
    }

    pub(crate) async fn put(&self, path: &str, body: &[u8]) -> Answer {
        self.send(Method::PUT, path, &[], Bytes::copy_from_slice(body))
            .await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let mut request = Request::builder()
            .method(method.clone())
            .uri(path)
            .header("host", "localhost");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).unwrap();
        match &self.tls {
            Some(tls) => {
                let name = ServerName::try_from("localhost").unwrap();
                let answer = exchange(tls.connect(name, stream).await.unwrap(), request).await;
                expect_described(&method, path, &answer);
                answer
            }
            None => exchange(stream, request).await,
        }
    }

    /// A raw TLS connection, for what is no HTTP.
    pub(crate) async fn raw(&self) -> TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        self.tls
            .as_ref()
            .unwrap()
            .connect(name, stream)
            .await
            .unwrap()
    }
}

pub(crate) fn client_config(ca: &[u8], alpn: &[u8]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    config
}

async fn exchange<T>(transport: T, request: Request<Full<Bytes>>) -> Answer
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(transport))
        .await
        .unwrap();
    let mut driver = JoinSet::new();
    driver.spawn(async move {
        let _ = connection.await;
    });
    let response = sender.send_request(request).await.unwrap();
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: body.collect().await.unwrap().to_bytes(),
    }
}
