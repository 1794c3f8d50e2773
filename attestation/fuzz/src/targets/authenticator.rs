//! An authenticator on a live connection: nothing but the very answer that the worker gave verifies.

use std::{any::Any, cell::RefCell};

use attestation::Binding;
use bytes::Bytes;
use channel::{
    Admission, Admitted, Answer, Attester, AttesterError, CONTEXTS_COUNT_MAX, GatewayIdentity,
    GatewayRebinder, GatewayTls, Identity, OpaqueEvidence, Presented, Refusal, Verdict,
    WorkerRebinder, WorkerTls,
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::runtime::Runtime;

use crate::{Seeds, Target, edited};

pub(crate) const TARGET: Target = Target {
    name: "authenticator",
    run,
    seeds,
    dictionary: &[
        b"\x0b\x00\x01",
        b"\x0f\x00\x00",
        b"\x14\x00\x00\x20",
        b"\x04\x03",
    ],
};

const GATEWAY_NAME: &str = "gateway.fuzz.test";
const EVIDENCE: &[u8] = b"evidence";

thread_local! {
    static LIVE: RefCell<Live> = RefCell::new(Live::new());
}

/// An odd first byte: the rest is the authenticator. An even one: the rest says how to edit the true authenticator.
fn run(input: &[u8]) {
    let Some((first, rest)) = input.split_first() else {
        return;
    };
    LIVE.with_borrow_mut(|live| {
        let (answer, gateway) = live.answer();
        let authenticator = if first % 2 == 1 {
            rest.to_vec()
        } else {
            edited(answer.authenticator(), rest)
        };
        let is_the_answer = authenticator == *answer.authenticator();
        let verified = gateway.verify(Answer::new(authenticator.clone().into(), None));
        assert_eq!(verified.is_ok(), is_the_answer);
        if let Ok(presented) = verified {
            assert_eq!(presented.evidence.cmw, EVIDENCE);
        }
        let again = gateway.verify(Answer::new(authenticator.into(), None));
        assert!(again.is_err(), "a context served twice");
    });
}

/// The body of an `AUTH_REQUEST`.
pub(super) fn request_body() -> Bytes {
    let request = LIVE.with_borrow_mut(|live| live.gateway.request().expect("a fresh request"));
    request.encode().expect("a request encodes")
}

fn seeds(seeds: &mut Seeds) {
    seeds.add(*b"\x00");
    seeds.add(*b"\x00\x00\x00\x10\x01\x01\x00\x20\xff");
    let answer = LIVE.with_borrow_mut(|live| live.answer().0);
    seeds.add([&[1], answer.authenticator().as_ref()].concat());
}

/// One connection past its gate, with the rebinders of both ends.
struct Live {
    runtime: Runtime,
    worker: WorkerRebinder,
    gateway: GatewayRebinder,
    requests_count: usize,
    _alive: Box<dyn Any>,
}

impl Live {
    fn new() -> Self {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().expect("a runtime");
        let (worker, gateway, alive) = runtime.block_on(connect());
        Self {
            runtime,
            worker,
            gateway,
            requests_count: 0,
            _alive: alive,
        }
    }

    /// The true answer to a fresh request, and who verifies it.
    fn answer(&mut self) -> (Answer, &mut GatewayRebinder) {
        self.requests_count += 1;
        // Some are kept back, since seeds ask for requests too.
        if self.requests_count > CONTEXTS_COUNT_MAX / 2 {
            *self = Self::new();
        }
        let request = self.gateway.request().expect("a fresh request");
        let answer = self.runtime.block_on(self.worker.answer(&request, &Honest));
        (answer.expect("the worker answers"), &mut self.gateway)
    }
}

async fn connect() -> (WorkerRebinder, GatewayRebinder, Box<dyn Any>) {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (worker, gateway) = tls();
    let worker = async {
        let connection = worker.connect(near).await.expect("the worker connects");
        connection
            .attest(&Honest)
            .await
            .expect("the worker is admitted")
    };
    let gateway = async {
        let connection = gateway.accept(far).await.expect("the gateway accepts");
        connection
            .attest(&Everyone)
            .await
            .expect("the gateway admits")
    };
    let (worker, gateway) = tokio::join!(worker, gateway);
    let ((), gateway_http, gateway) = gateway.into_parts();
    let (http, driver) = worker.into_http2().await.expect("HTTP/2 on the connection");
    (
        http.rebinder(),
        gateway,
        Box::new((http, driver, gateway_http)),
    )
}

fn tls() -> (WorkerTls, GatewayTls) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = || KeyPair::generate().expect("a key");
    let ca = CertifiedIssuer::self_signed(params, key()).expect("a CA");
    let params = CertificateParams::new([GATEWAY_NAME.to_owned()]).expect("a name");
    let key = key();
    let chain = params.signed_by(&key, &ca).expect("a certificate").pem();
    let identity = GatewayIdentity::from_pem(chain.as_bytes(), key.serialize_pem().as_bytes());
    let worker = Identity::generate().expect("an identity");
    (
        WorkerTls::new(worker, &[ca.der().clone()], GATEWAY_NAME).expect("a TLS client"),
        GatewayTls::new(identity.expect("an identity")).expect("a TLS server"),
    )
}

struct Honest;

impl Attester for Honest {
    async fn evidence(&self, _: Binding) -> Result<OpaqueEvidence, AttesterError> {
        Ok(OpaqueEvidence {
            cmw: Bytes::from_static(EVIDENCE),
            device_evidence: None,
        })
    }
}

struct Everyone;

impl Admission for Everyone {
    type Session = ();

    async fn admit(&self, _: Presented) -> Result<Admitted<()>, Refusal> {
        let verdict = Verdict {
            session_id: "fuzz".to_owned(),
            reattest_by_s: 600,
            max_age_s: 86_400,
        };
        Ok(Admitted {
            session: (),
            verdict,
        })
    }
}
