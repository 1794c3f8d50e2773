//! One live connection as attestation sees it: who is at its ends, and what it exports.

use std::sync::Arc;

use attestation::{Binding, Role, SuiteHash};
use rustls::{SupportedCipherSuite, crypto::hash::HashAlgorithm, pki_types::CertificateDer};

use crate::{
    authenticator::{AuthenticatorError, AuthenticatorKeys, Context},
    profile::PROFILE,
    tls::{ChannelError, LiveTls},
};

/// What the handshake established.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) hash: SuiteHash,
    pub(crate) worker_leaf: CertificateDer<'static>,
    pub(crate) worker_spki: Vec<u8>,
    pub(crate) gateway_spki: Vec<u8>,
}

impl Ends {
    /// The hash of the negotiated suite; every TLS 1.3 suite has one of the two.
    pub(crate) fn suite_hash(
        suite: Option<SupportedCipherSuite>,
    ) -> Result<SuiteHash, ChannelError> {
        let suite = suite
            .and_then(|suite| suite.tls13())
            .ok_or(ChannelError::Unfinished)?;
        match suite.common.hash_provider.algorithm() {
            HashAlgorithm::SHA256 => Ok(SuiteHash::Sha256),
            HashAlgorithm::SHA384 => Ok(SuiteHash::Sha384),
            _ => Err(ChannelError::Unfinished),
        }
    }
}

/// The exporter of a live connection and the facts about it. Shared by the gate and every later re-attestation.
#[derive(Debug)]
pub(crate) struct Connection {
    live: LiveTls,
    ends: Ends,
    keys: AuthenticatorKeys,
}

impl Connection {
    pub(crate) fn new(live: LiveTls, ends: Ends) -> Result<Arc<Self>, ChannelError> {
        let keys = AuthenticatorKeys::derive(ends.hash, |label, output| {
            live.export(label, None, output)
                .map_err(AuthenticatorError::Exporter)
        });
        match keys {
            Ok(keys) => Ok(Arc::new(Self { live, ends, keys })),
            Err(_) => Err(ChannelError::Unfinished),
        }
    }

    /// This side's own view of what evidence under `context` must be bound to. The worker attests, so the role is the TLS
    /// client's whichever side asks.
    pub(crate) fn binding(&self, context: &Context) -> Result<Binding, AuthenticatorError> {
        let mut exported = [0; 32];
        self.live
            .export(PROFILE.exporter_label, Some(context), &mut exported)
            .map_err(AuthenticatorError::Exporter)?;
        Ok(Binding {
            role: Role::Client,
            hash: self.ends.hash,
            exported,
            attester_spki: self.ends.worker_spki.clone(),
            peer_spki: self.ends.gateway_spki.clone(),
        })
    }

    pub(crate) fn keys(&self) -> &AuthenticatorKeys {
        &self.keys
    }

    pub(crate) fn worker_leaf(&self) -> &CertificateDer<'static> {
        &self.ends.worker_leaf
    }

    pub(crate) fn worker_spki(&self) -> &[u8] {
        &self.ends.worker_spki
    }
}
