//! Evidence as the channel carries it, opaque, and the two parties that make and judge it.

use std::error::Error;

use attestation::{
    Binding, ErrorCode, Evidence, EvidenceError,
    evidence::{DEVICE_EVIDENCE_BYTES_MAX, EVIDENCE_WITHOUT_DEVICES_BYTES_MAX},
};
use bytes::Bytes;

use crate::{authenticator::EVIDENCE_BYTES_MAX, frame::FRAME_BODY_BYTES_MAX};

// Whatever attests can be sent: with the device evidence beside it, every collection fits an authenticator.
const _: () = assert!(EVIDENCE_WITHOUT_DEVICES_BYTES_MAX <= EVIDENCE_BYTES_MAX);
const _: () = assert!(DEVICE_EVIDENCE_BYTES_MAX <= FRAME_BODY_BYTES_MAX);

/// Evidence on its way: the channel carries it and looks at nothing but its length.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpaqueEvidence {
    /// The CMW collection, at most [`EVIDENCE_BYTES_MAX`] bytes: it rides inside the authenticator.
    pub cmw: Bytes,
    /// Device evidence that would have made the collection too long: it rides beside the authenticator, and only the hash
    /// in the quote's report data binds it.
    pub device_evidence: Option<Bytes>,
}

/// Why evidence cannot be packed or unpacked.
#[derive(Debug, thiserror::Error)]
pub enum OpaqueEvidenceError {
    /// The collection is not one, or a member of it is outside its limits.
    #[error("the evidence collection is malformed")]
    Collection(#[source] EvidenceError),
    /// Device evidence came both inside the collection and beside it.
    #[error("device evidence came inside the collection and beside it")]
    DeviceEvidenceTwice,
}

impl OpaqueEvidence {
    /// Encodes `evidence`, with the device evidence beside the collection where the whole does not fit an authenticator.
    pub fn pack(mut evidence: Evidence) -> Result<Self, OpaqueEvidenceError> {
        let cmw = evidence.encode().map_err(OpaqueEvidenceError::Collection)?;
        if cmw.len() <= EVIDENCE_BYTES_MAX {
            return Ok(Self {
                cmw: cmw.into(),
                device_evidence: None,
            });
        }
        let device_evidence = evidence.device_evidence.take();
        let cmw = evidence.encode().map_err(OpaqueEvidenceError::Collection)?;
        Ok(Self {
            cmw: cmw.into(),
            device_evidence: device_evidence.map(Bytes::from),
        })
    }

    /// The evidence in one piece again, for its appraisal.
    pub fn unpack(&self) -> Result<Evidence, OpaqueEvidenceError> {
        let evidence = Evidence::decode(&self.cmw).map_err(OpaqueEvidenceError::Collection)?;
        match &self.device_evidence {
            None => Ok(evidence),
            Some(_) if evidence.device_evidence.is_some() => {
                Err(OpaqueEvidenceError::DeviceEvidenceTwice)
            }
            Some(beside) => evidence
                .with_device_evidence(beside.to_vec())
                .map_err(OpaqueEvidenceError::Collection),
        }
    }
}

impl OpaqueEvidenceError {
    /// The stable code of this refusal.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        ErrorCode::EvidenceMalformed
    }
}

/// Makes evidence for one connection: the worker's agent, through its quote broker.
pub trait Attester: Send + Sync {
    /// Evidence bound to `binding`, device evidence first, since the quote covers it.
    fn evidence(
        &self,
        binding: Binding,
    ) -> impl Future<Output = Result<OpaqueEvidence, AttesterError>> + Send;
}

/// Evidence could not be made; the source says why.
#[derive(Debug, thiserror::Error)]
#[error("evidence could not be made")]
pub struct AttesterError(#[source] Box<dyn Error + Send + Sync>);

impl AttesterError {
    /// Wraps the attester's own error.
    pub fn new(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(source.into())
    }
}

/// What a worker presented, with the gateway's own view of the connection it came over.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Presented {
    /// What the evidence must be bound to; nothing in it was read from the worker's messages.
    pub binding: Binding,
    /// The evidence, not looked at yet.
    pub evidence: OpaqueEvidence,
}

/// Judges what workers present: the gateway's admission.
pub trait Admission: Send + Sync {
    /// What an admitted connection becomes.
    type Session: Send;

    /// Appraises `presented` and opens a session, or refuses.
    fn admit(
        &self,
        presented: Presented,
    ) -> impl Future<Output = Result<Admitted<Self::Session>, Refusal>> + Send;
}

/// A session and what its worker is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted<S> {
    /// The gateway's own record of the session.
    pub session: S,
    /// What the worker learns.
    pub verdict: Verdict,
}

/// What an admitted worker learns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The session's identifier: 1 to 64 visible ASCII characters.
    pub session_id: String,
    /// Seconds from now within which the connection must be attested again.
    pub reattest_by_s: u32,
    /// Seconds from now after which the session ends, attested again or not.
    pub max_age_s: u32,
}

/// Admission was refused. The code is all that the worker learns; the transcript stays with the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("admission was refused with {code}")]
pub struct Refusal {
    /// The stable code.
    pub code: ErrorCode,
}
