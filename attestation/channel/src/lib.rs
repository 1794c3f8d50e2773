//! Attested mutual TLS between worker and gateway: a stock TLS 1.3 connection that proves *what* speaks before it carries
//! anything, and HTTP/2 on it afterwards.
//!
//! ```text
//! WorkerTls::connect / GatewayTls::accept ─▶ Unattested ── attest ─▶ AttestedWorker / AttestedGateway ─▶ HTTP/2
//! ```
//!
//! 1. TLS establishes which keys speak ([`WorkerTls`], [`GatewayTls`]): TLS 1.3 only, one ALPN value, no resumption. The
//!    worker pins the pool's CA; the gateway asks for one small P-256 certificate and believes nothing of it but the key.
//! 2. The gate establishes what speaks: [`Unattested::attest`](Unattested) exchanges an RFC 9261 exported authenticator
//!    that carries the worker's evidence. An [`Attester`] makes evidence, an [`Admission`] judges it; to this crate it is
//!    opaque.
//! 3. Then HTTP/2 on the same connection, the worker its client ([`WorkerHttp`]), the gateway its server
//!    ([`GatewayHttp`]). The control stream ([`ControlSender`], [`ControlReceiver`]) lets the gateway ask, above all for
//!    another attestation of the live connection ([`GatewayRebinder`], [`WorkerRebinder`]).
//!
//! Evidence is bound to the connection by [`attestation::Binding`]: the exporter's output under a context that the gateway
//! chose, the worker's key, the gateway's key and the role. Each side fills the binding from its own view.
//!
//! Formats: RFC 8446 (TLS 1.3), RFC 9261 (exported authenticators), RFC 9999 (CMW), draft-fossati-seat-expat (the profile);
//! frames in [`Frame`], the outcome in [`Outcome`]. Every refusal has an error variant and a stable
//! [`attestation::ErrorCode`].

#![forbid(unsafe_code)]

mod authenticator;
mod connection;
mod control;
mod cursor;
mod evidence;
mod frame;
mod gate;
mod http2;
mod profile;
mod rebind;
mod tls;

pub use rustls::pki_types::CertificateDer;

pub use crate::{
    authenticator::{AuthRequest, AuthenticatorError, Context, EVIDENCE_BYTES_MAX},
    control::{
        ControlBody, ControlError, ControlReceiver, ControlSender, GatewayMessage, Message,
        WorkerMessage, accept_control,
    },
    cursor::{TooLong, Truncated},
    evidence::{
        Admission, Admitted, Attester, AttesterError, OpaqueEvidence, OpaqueEvidenceError,
        Presented, Refusal, Verdict,
    },
    frame::{
        FRAME_BODY_BYTES_MAX, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Frame, FrameDecoder, FrameError,
        FrameKind, read_frame, write_frame,
    },
    gate::{
        AttestedGateway, AttestedWorker, GateError, GatewaySide, Outcome, OutcomeError, Unattested,
        WorkerSide,
    },
    http2::{GatewayHttp, HttpError, WorkerDriver, WorkerHttp},
    profile::{PROFILE, Profile},
    rebind::{Answer, CONTEXTS_COUNT_MAX, GatewayRebinder, WorkerRebinder},
    tls::{
        ChannelError, GatewayIdentity, GatewayTls, Identity, IdentityError, Limits, TlsConfigError,
        Transport, WorkerCertificateError, WorkerTls, pool_ca_from_pem,
    },
};
