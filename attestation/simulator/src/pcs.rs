//! A stand-in for Intel's Provisioning Certification Service or a PCCS: serves collateral's parts over plain HTTP on
//! loopback, and misbehaves on request. What it serves is signed under the simulator's root, or Intel's own recorded parts.

use std::{
    collections::VecDeque,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A longer request head is none of a client of this service.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// What [`Fault::Huge`] sends: more than any client should read.
const HUGE_BYTES: usize = 4 * 1024 * 1024;

/// The four answers that make one family's collateral.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PcsParts {
    /// The FMSPC that the TCB info is served for, in lower-case hexadecimal.
    pub fmspc: String,
    /// The CA that the PCK CRL is served for.
    pub ca: String,
    /// Body of the TCB info's answer, and its issuer chain.
    pub tcb_info: (String, String),
    /// Body of the QE identity's answer, and its issuer chain.
    pub qe_identity: (String, String),
    /// The PCK CRL in DER, and its issuer chain.
    pub pck_crl: (Vec<u8>, String),
    /// The root CRL in DER; served in hexadecimal, as a PCCS does.
    pub root_crl: Vec<u8>,
}

impl PcsParts {
    /// Splits the JSON of a `QuoteCollateralV3`; `None` if it is not one.
    #[must_use]
    pub fn of_json(collateral: &str) -> Option<Self> {
        let json: Value = serde_json::from_str(collateral).ok()?;
        let text = |member: &str| json.get(member)?.as_str().map(str::to_owned);
        let bytes = |member: &str| hex::decode(text(member)?).ok();
        let signed = |name: &str, member: &str| {
            let (statement, signature) = (text(member)?, text(&format!("{member}_signature"))?);
            Some(format!(
                r#"{{"{name}":{statement},"signature":"{signature}"}}"#
            ))
        };
        let parsed = attestation::Collateral::from_json(collateral.as_bytes()).ok()?;
        let family = parsed.family()?;
        Some(Self {
            fmspc: hex::encode(family.fmspc),
            ca: family.ca.to_string(),
            tcb_info: (
                signed("tcbInfo", "tcb_info")?,
                text("tcb_info_issuer_chain")?,
            ),
            qe_identity: (
                signed("enclaveIdentity", "qe_identity")?,
                text("qe_identity_issuer_chain")?,
            ),
            pck_crl: (bytes("pck_crl")?, text("pck_crl_issuer_chain")?),
            root_crl: bytes("root_ca_crl")?,
        })
    }

    /// What is served at a request's target.
    fn answer(&self, target: &str) -> Option<Answer> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let has = |parameter: String| query.split('&').any(|given| given == parameter);
        let (body, chain) = match path {
            "/tdx/certification/v4/tcb" if has(format!("fmspc={}", self.fmspc)) => (
                self.tcb_info.0.clone().into_bytes(),
                Some(("TCB-Info-Issuer-Chain", &self.tcb_info.1)),
            ),
            "/tdx/certification/v4/qe/identity" => (
                self.qe_identity.0.clone().into_bytes(),
                Some(("SGX-Enclave-Identity-Issuer-Chain", &self.qe_identity.1)),
            ),
            "/sgx/certification/v4/pckcrl" if has(format!("ca={}", self.ca)) => (
                self.pck_crl.0.clone(),
                Some(("SGX-PCK-CRL-Issuer-Chain", &self.pck_crl.1)),
            ),
            "/sgx/certification/v4/rootcacrl" => (hex::encode(&self.root_crl).into_bytes(), None),
            _ => return None,
        };
        Some(Answer {
            chain: chain.map(|(name, pem)| format!("{name}: {}\r\n", url_encoded(pem))),
            body,
        })
    }
}

struct Answer {
    chain: Option<String>,
    body: Vec<u8>,
}

/// How an answer goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Another status.
    Status(u16),
    /// 429 with this `Retry-After`.
    Busy(u64),
    /// The connection ends in the middle of the body.
    Cut,
    /// A body without an end.
    Huge,
    /// The answer comes late.
    Slow(Duration),
    /// Another body, under the right headers.
    Body(Vec<u8>),
}

#[derive(Debug, Default)]
struct Shared {
    served: Vec<PcsParts>,
    faults: VecDeque<(String, Fault)>,
    requests: Vec<String>,
}

/// A running service; ends when it is dropped.
#[derive(Debug)]
pub struct PcsServer {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
    /// Dropped with the server, and every connection with it.
    _running: JoinSet<()>,
}

impl PcsServer {
    /// Serves on a free port of loopback. It has nothing until it is given something.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let shared = Arc::<Mutex<Shared>>::default();
        let mut running = JoinSet::new();
        running.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            _running: running,
        })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves these parts from now on, before what it had.
    pub fn serve(&self, parts: PcsParts) {
        self.shared().served.insert(0, parts);
    }

    /// The next request whose target contains `target` goes wrong.
    pub fn fail_next(&self, target: &str, fault: Fault) {
        self.shared().faults.push_back((target.to_owned(), fault));
    }

    /// The targets of all requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.shared().requests.clone()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        locked(&self.shared)
    }
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Mutex<Shared>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve_one(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

/// One request a connection: simple, and a client must not rely on more.
async fn serve_one(mut stream: TcpStream, shared: Arc<Mutex<Shared>>) {
    let Some(target) = read_target(&mut stream).await else {
        return;
    };
    let (answer, fault) = {
        let mut shared = locked(&shared);
        shared.requests.push(target.clone());
        let position = shared
            .faults
            .iter()
            .position(|(wanted, _)| target.contains(wanted));
        let fault = position.and_then(|position| shared.faults.remove(position));
        let answer = shared.served.iter().find_map(|parts| parts.answer(&target));
        (answer, fault.map(|(_, fault)| fault))
    };
    let _ = stream.write_all(&respond(answer, fault).await).await;
    let _ = stream.shutdown().await;
}

async fn read_target(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|window| window == b"\r\n\r\n") {
        if head.len() > HEAD_BYTES_MAX || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let head = String::from_utf8(head).ok()?;
    head.split(' ').nth(1).map(str::to_owned)
}

/// The bytes of the answer, right or wrong.
async fn respond(answer: Option<Answer>, fault: Option<Fault>) -> Vec<u8> {
    let (mut chain, mut body) = match answer {
        Some(answer) => (answer.chain.unwrap_or_default(), answer.body),
        None => return response(404, "", b"", 0),
    };
    let mut length = body.len();
    match fault {
        Some(Fault::Status(status)) => return response(status, "", b"", 0),
        Some(Fault::Busy(seconds)) => {
            return response(429, &format!("Retry-After: {seconds}\r\n"), b"", 0);
        }
        Some(Fault::Cut) => body.truncate(body.len() / 2),
        Some(Fault::Huge) => {
            body = vec![b' '; HUGE_BYTES];
            length = body.len();
        }
        Some(Fault::Slow(wait)) => tokio::time::sleep(wait).await,
        Some(Fault::Body(other)) => {
            length = other.len();
            body = other;
        }
        None => {}
    }
    response(200, &std::mem::take(&mut chain), &body, length)
}

fn response(status: u16, headers: &str, body: &[u8], length: usize) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} Simulated\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

/// As Intel encodes chains for a header: everything but letters, digits and `-_.~`.
fn url_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
