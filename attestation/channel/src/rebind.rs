//! One attestation of a live connection: the gate's, and each re-attestation's. Every context serves once.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use attestation::Binding;
use bytes::Bytes;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::{
    authenticator::{
        AuthRequest, AuthenticatorError, Context, EVIDENCE_BYTES_MAX, Parsed, build, verify,
    },
    connection::Connection,
    cursor::TooLong,
    evidence::{Attester, OpaqueEvidence, Presented},
    gate::GateError,
    tls::Identity,
};

/// Attestations of one connection. A session of 24 hours that re-attests every ten minutes has 144; the rest is for
/// reloads and new policies, and the set of used contexts stays below 64 KiB.
pub const CONTEXTS_COUNT_MAX: usize = 1024;

/// A worker's answer to an [`AuthRequest`]: the authenticator, and the device evidence that did not fit inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub(crate) authenticator: Bytes,
    pub(crate) device_evidence: Option<Bytes>,
}

impl Answer {
    /// What arrived in an `AUTHENTICATOR` frame and in the `DEVICE_EVIDENCE` frame before it, if there was one.
    #[must_use]
    pub fn new(authenticator: Bytes, device_evidence: Option<Bytes>) -> Self {
        Self {
            authenticator,
            device_evidence,
        }
    }

    /// `Certificate ‖ CertificateVerify ‖ Finished`.
    #[must_use]
    pub fn authenticator(&self) -> &Bytes {
        &self.authenticator
    }

    /// The device evidence beside it.
    #[must_use]
    pub fn device_evidence(&self) -> Option<&Bytes> {
        self.device_evidence.as_ref()
    }
}

/// Contexts that have served on this connection.
#[derive(Debug, Default)]
struct UsedContexts(HashSet<Context>);

impl UsedContexts {
    fn add(&mut self, context: &Context) -> Result<(), AuthenticatorError> {
        self.room()?;
        if self.0.insert(*context) {
            Ok(())
        } else {
            Err(AuthenticatorError::ContextUsed)
        }
    }

    fn room(&self) -> Result<(), AuthenticatorError> {
        if self.0.len() < CONTEXTS_COUNT_MAX {
            Ok(())
        } else {
            Err(AuthenticatorError::ContextsExhausted)
        }
    }

    fn contains(&self, context: &[u8]) -> bool {
        self.0.contains(context)
    }
}

/// Answers the gateway's requests on one live connection, as often as it asks.
#[derive(Clone)]
pub struct WorkerRebinder {
    connection: Arc<Connection>,
    identity: Arc<Identity>,
    used: Arc<Mutex<UsedContexts>>,
}

impl fmt::Debug for WorkerRebinder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerRebinder").finish_non_exhaustive()
    }
}

impl WorkerRebinder {
    pub(crate) fn new(connection: Arc<Connection>, identity: Arc<Identity>) -> Self {
        Self {
            connection,
            identity,
            used: Arc::default(),
        }
    }

    /// Has `attester` make evidence for `request` on this connection and wraps it in an authenticator. A context that was
    /// answered before is refused, so that nobody collects two quotes for one nonce.
    pub async fn answer(
        &self,
        request: &AuthRequest,
        attester: &impl Attester,
    ) -> Result<Answer, GateError> {
        self.used
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .add(request.context())
            .map_err(GateError::Authenticator)?;
        let evidence = attester
            .evidence(self.binding(request)?)
            .await
            .map_err(GateError::Attester)?;
        self.wrap(request, evidence)
            .map_err(GateError::Authenticator)
    }

    /// The worker's own view of what evidence for `request` is bound to.
    pub(crate) fn binding(&self, request: &AuthRequest) -> Result<Binding, GateError> {
        self.connection
            .binding(request.context())
            .map_err(GateError::Authenticator)
    }

    fn wrap(
        &self,
        request: &AuthRequest,
        evidence: OpaqueEvidence,
    ) -> Result<Answer, AuthenticatorError> {
        if evidence.cmw.len() > EVIDENCE_BYTES_MAX {
            let too_long = TooLong {
                bytes: evidence.cmw.len(),
                prefix_bytes: 2,
            };
            return Err(AuthenticatorError::EvidenceTooLong(too_long));
        }
        let signer = self.identity.signer().ok_or(AuthenticatorError::Provider)?;
        let leaf = self.identity.certificate();
        let authenticator = build(
            self.connection.keys(),
            request,
            leaf,
            &evidence.cmw,
            signer.as_ref(),
        )?;
        Ok(Answer {
            authenticator: authenticator.into(),
            device_evidence: evidence.device_evidence,
        })
    }
}

/// Asks for authenticators on one live connection and verifies the answers. One request is open at a time.
pub struct GatewayRebinder {
    connection: Arc<Connection>,
    outstanding: Option<AuthRequest>,
    used: UsedContexts,
    random: SystemRandom,
}

impl fmt::Debug for GatewayRebinder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayRebinder")
            .field("outstanding", &self.outstanding.is_some())
            .finish_non_exhaustive()
    }
}

impl GatewayRebinder {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self {
            connection,
            outstanding: None,
            used: UsedContexts::default(),
            random: SystemRandom::new(),
        }
    }

    /// The DER of the worker's `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn worker_spki(&self) -> &[u8] {
        self.connection.worker_spki()
    }

    /// A request under a fresh context. One that was still unanswered is void.
    pub fn request(&mut self) -> Result<AuthRequest, GateError> {
        let request = self.fresh_request().map_err(GateError::Authenticator)?;
        self.outstanding = Some(request.clone());
        Ok(request)
    }

    /// Verifies the answer to the outstanding request and uses its context up, whatever came as the answer. How long an
    /// answer may take is the caller's to decide.
    ///
    /// Nothing here looks into the evidence: a verified answer says who presents it and for which connection, and is to be
    /// appraised like the first one.
    pub fn verify(&mut self, answer: Answer) -> Result<Presented, GateError> {
        let request = self.outstanding.take();
        let verified = self.verify_answer(request.as_ref(), answer);
        let used = request.map_or(Ok(()), |request| self.used.add(request.context()));
        used.and(verified).map_err(GateError::Authenticator)
    }

    fn fresh_request(&self) -> Result<AuthRequest, AuthenticatorError> {
        self.used.room()?;
        let mut context = Context::default();
        self.random
            .fill(&mut context)
            .map_err(|_| AuthenticatorError::Provider)?;
        AuthRequest::new(context)
    }

    fn verify_answer(
        &self,
        request: Option<&AuthRequest>,
        answer: Answer,
    ) -> Result<Presented, AuthenticatorError> {
        let parsed = Parsed::parse(&answer.authenticator)?;
        if self.used.contains(parsed.context()) {
            return Err(AuthenticatorError::ContextUsed);
        }
        let request = request.ok_or(AuthenticatorError::NotRequested)?;
        let cmw = verify(
            self.connection.keys(),
            request,
            self.connection.worker_leaf(),
            &parsed,
        )?;
        let cmw = answer.authenticator.slice_ref(cmw);
        let binding = self.connection.binding(request.context())?;
        let evidence = OpaqueEvidence {
            cmw,
            device_evidence: answer.device_evidence,
        };
        Ok(Presented { binding, evidence })
    }
}
