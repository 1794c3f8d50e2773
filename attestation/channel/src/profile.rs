//! Every value of the profile that a standard has not settled yet, in one constant.

/// The names and code points that both sides of an attested channel must agree on.
///
/// The channel is RFC 9261 (exported authenticators) as draft-fossati-seat-expat profiles it. That draft still leaves
/// the extension code point and the exporter label open: when it settles them, [`PROFILE`] changes and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// Names the profile inside an `AUTH_REQUEST`, so that a request of a later profile is refused by name.
    pub id: &'static str,
    /// The only ALPN value offered or accepted (RFC 7301). There is no unattested protocol to fall back to.
    pub alpn: &'static [u8],
    /// Exporter label whose output evidence is bound to: `TLS-Exporter(label, context, 32)`.
    pub exporter_label: &'static [u8],
    /// Exporter label of a client authenticator's Handshake Context (RFC 9261 section 5.1).
    pub handshake_context_label: &'static [u8],
    /// Exporter label of a client authenticator's Finished MAC Key (RFC 9261 section 5.1).
    pub finished_key_label: &'static [u8],
    /// Context string of a `CertificateVerify` inside an authenticator (RFC 9261 section 5.2.2).
    pub signature_context: &'static [u8],
    /// Extension of the `CertificateEntry` that carries the CMW collection (`cmw_attestation`, private use).
    pub evidence_extension: u16,
    /// Media type of the CMW collection (RFC 9999) that the extension carries.
    pub media_type_evidence: &'static str,
    /// Media type of both bodies of the control stream.
    pub media_type_control: &'static str,
    /// Path of the control stream, opened with `POST`.
    pub control_path: &'static str,
}

/// The profile this build speaks.
pub const PROFILE: Profile = Profile {
    id: "cocoon-attest/1",
    alpn: b"cocoon-attest/1",
    exporter_label: b"Attestation",
    handshake_context_label: b"EXPORTER-client authenticator handshake context",
    finished_key_label: b"EXPORTER-client authenticator finished key",
    signature_context: b"Exported Authenticator",
    evidence_extension: 0xff00,
    media_type_evidence: "application/cmw+cbor",
    media_type_control: "application/vnd.cocoon.control",
    control_path: "/v1/control",
};
