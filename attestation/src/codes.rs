//! The stable error codes: one per refusal, the same in transcripts, logs, metrics and on the wire.
//!
//! `E1xx` transport · `E2xx` binding · `E3xx` quote · `E4xx` TCB · `E5xx` measurement · `E6xx` platform and worker ·
//! `E7xx` GPU · `E8xx` policy · `E9xx` collateral and internal. A code is never reused for another meaning.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

macro_rules! error_codes {
    ($($variant:ident = $code:literal, $title:literal, $remedy:literal;)*) => {
        /// A refusal's stable code. `Display`, `FromStr` and serde speak the short form, such as `E301`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ErrorCode {
            $(#[doc = concat!("`", $code, "` ", $title, ".")] $variant,)*
        }

        impl ErrorCode {
            /// Every code, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The short form: `E` and three digits.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// What is wrong, in a few words.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }

            /// What to do about it, in one sentence.
            #[must_use]
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => $remedy,)* }
            }
        }
    };
}

error_codes! {
    // E1xx: the transport, and the frames of the gate.
    FrameTooLarge = "E101", "a frame exceeds its limit", "Update both sides to the same release; nothing legitimate is that large.";
    FrameUnexpected = "E102", "a frame of another kind was due", "Update both sides to the same release.";
    FrameMalformed = "E103", "a frame is cut short or malformed", "Look for a middlebox between worker and gateway, then update both sides.";
    FramesTooMany = "E104", "more frames than the gate has", "Update both sides to the same release.";
    GateTimeout = "E105", "the gate was not passed in time", "Look at the quote broker's latency on the worker, then at the network.";
    ProfileUnsupported = "E106", "the other side speaks another profile of the gate", "Update both sides to the same release.";
    AlpnMismatch = "E107", "the connection did not agree on the attested protocol", "Connect to the gateway's worker listener, without a TLS-terminating proxy in between.";
    TlsNotSpoken = "E108", "the other side does not speak TLS", "Look at what dials this port; nothing but a worker should.";
    TlsIncompatible = "E109", "the other side offers no TLS 1.3 that the profile allows", "Update both sides to the same release, and take a TLS-terminating proxy out of the way.";
    WorkerCertificateMissing = "E110", "the worker presented no certificate", "Look for a TLS-terminating middlebox, then update the worker.";
    WorkerCertificateInvalid = "E111", "the client certificate is not a worker's", "Update the worker; a worker presents one small certificate with a P-256 key.";
    GatewayCertificateUntrusted = "E112", "the gateway's certificate is not from the pinned CA", "Compare the worker's pool CA with the gateway's certificate and its dates; if they agree, somebody stands in between.";
    GatewayNameMismatch = "E113", "the gateway's certificate is for another name", "Compare the gateway's server name in the worker's configuration with the gateway's certificate.";
    TlsFailed = "E114", "the TLS handshake failed", "Read both sides' logs; if it repeats, look for a middlebox.";
    ConnectionLost = "E115", "the connection failed or was closed", "Look at the network and at the other side's log; workers retry with jitter by themselves.";
    // E2xx: what binds evidence to the connection.
    AuthenticatorMalformed = "E201", "the authenticator is malformed", "Update both sides to the same release.";
    ContextMismatch = "E202", "the authenticator answers another request, or one already used", "Connect again; if it repeats, someone replays evidence.";
    LeafMismatch = "E203", "the authenticator's certificate is not that of the connection", "Look for a TLS-terminating middlebox; if there is none, someone relays evidence.";
    CertificateVerifyInvalid = "E204", "the authenticator's signature does not verify", "Connect again; if it repeats, someone tampers with the connection.";
    FinishedInvalid = "E205", "the authenticator belongs to another connection", "Look for a TLS-terminating middlebox; if there is none, someone relays evidence.";
    ReportDataMismatch = "E206", "the quote was made for another connection, key or claims", "Look for a TLS-terminating middlebox; if there is none, someone replays a quote.";
    EvidenceMalformed = "E207", "the evidence is not a CMW collection of this profile", "Update the worker to a release that this gateway knows.";
    ClaimsMalformed = "E208", "the claims are not deterministic CBOR of this profile", "Update the worker to a release that this gateway knows.";
    // E3xx: the quote and its signatures.
    QuoteMalformed = "E301", "the quote does not parse", "Look at the quote generation service on the worker's machine; only TDX quotes of version 4 and 5 are read.";
    QuoteNotTd = "E302", "the quote is not a TD's", "Run the worker inside a TDX trust domain; an SGX quote admits nobody.";
    QuotingEnclaveUnknown = "E303", "the quote was not made by Intel's quoting enclave", "Install Intel's quote generation service on the worker's machine.";
    QuoteKeyUnsupported = "E304", "the quote's attestation key is not ECDSA P-256", "Install Intel's current quote generation service on the worker's machine.";
    CertificationDataUnsupported = "E305", "the quote does not carry its PCK certificate chain", "Configure the machine's quote generation service with a PCCS, so that quotes carry the chain.";
    PckCertificateMalformed = "E306", "the PCK certificate or its SGX extension is malformed", "Register the platform again with Intel's service, and refresh the machine's PCK cache.";
    PckChainInvalid = "E307", "the PCK certificate does not lead to the trust anchor", "Refresh the machine's PCK cache; a chain under another root is never accepted.";
    PckChainExpired = "E308", "the PCK certificate chain is not valid at this time", "Compare the gateway's clock, then refresh the machine's PCK cache.";
    PckRevoked = "E309", "Intel revoked the PCK certificate", "Take the platform out of service: its keys count as compromised.";
    QeReportSignatureInvalid = "E310", "the PCK does not verify the quoting enclave's report", "Reinstall the quote generation service; if it repeats, the quote is forged.";
    AttestationKeyUnbound = "E311", "the quoting enclave did not vouch for the attestation key", "Reinstall the quote generation service; if it repeats, the quote is forged.";
    QeIdentityMismatch = "E312", "the quoting enclave is not the one that Intel describes", "Install Intel's current quote generation service on the worker's machine.";
    QuoteSignatureInvalid = "E313", "the quote's own signature does not verify", "Retry once; if it repeats, the quote was altered or forged.";
    // E4xx: the platform's TCB.
    TcbStatusNotAllowed = "E401", "the platform's TCB status is not allowed", "Update BIOS, microcode and TDX module, or allow the status in the appraisal policy.";
    TcbRevoked = "E402", "the platform's TCB is revoked", "Update BIOS, microcode and TDX module; a revoked TCB is never accepted.";
    TcbLevelNotFound = "E403", "no TCB level fits the platform", "Update BIOS, microcode and TDX module; the platform is older than every level that Intel lists.";
    TcbInfoMismatch = "E404", "the TCB info is for another platform", "Fetch the TCB info for the FMSPC and PCE id of the quote.";
    PceIdMismatch = "E405", "the TCB info is for another provisioning enclave", "Fetch the TCB info for the FMSPC and PCE id of the quote.";
    TdxModuleUnknown = "E406", "the TDX module is not one that Intel describes", "Install Intel's released TDX module.";
    QeTcbLevelNotFound = "E407", "the quoting enclave is older than every level that Intel lists", "Install Intel's current quote generation service on the worker's machine.";
    EvaluationNumberTooLow = "E408", "the collateral predates the TCB evaluation number that the policy demands", "Fetch collateral of a newer TCB recovery event, or lower the floor in the appraisal policy.";
    AdvisoryDenied = "E409", "an advisory that the policy denies applies to the platform", "Install the update that the advisory names.";
    TcbGraceEnded = "E410", "the policy's grace for an outdated TCB has run out", "Update BIOS, microcode and TDX module; the transcript says since when.";
    // E5xx: what was measured, and the TD's mode.
    TdDebuggable = "E501", "the TD is debuggable", "Start the TD without the DEBUG attribute; whoever runs the machine reads a debug TD's memory.";
    TdProfilable = "E502", "the TD is under profiling", "Start the TD without the profiling attributes (bits 4 to 6).";
    TdMigratable = "E503", "the TD is migratable", "Start the TD without the MIGRATABLE attribute.";
    TdAttributesReserved = "E504", "a reserved TD attribute is set", "Install Intel's released TDX module; nothing legitimate sets these bits.";
    SeptVeDisableClear = "E505", "the TD can be surprised by EPT violations", "Start the TD with the SEPT_VE_DISABLE attribute.";
    ServiceTdPresent = "E506", "a service TD is bound to the TD", "Start the TD without a service TD.";
    TdAttributesMismatch = "E507", "the TD attributes are not those that the policy demands", "Compare the VMM's TD configuration with the appraisal policy.";
    XfamMismatch = "E508", "the TD's CPU features (XFAM) are not those that the policy demands", "Compare the VMM's TD configuration with the appraisal policy.";
    MrConfigIdUnknown = "E509", "MRCONFIGID has no allowed value", "Compare the VMM's TD configuration with the appraisal policy.";
    MrOwnerUnknown = "E510", "MROWNER has no allowed value", "Compare the VMM's TD configuration with the appraisal policy.";
    MrOwnerConfigUnknown = "E511", "MROWNERCONFIG has no allowed value", "Compare the VMM's TD configuration with the appraisal policy.";
    SeamSignerUnknown = "E512", "the TDX module has an unknown signer", "Install Intel's released TDX module.";
    SeamMeasurementUnknown = "E513", "the TDX module has an unknown measurement", "Install a TDX module that the appraisal policy lists, or list the new one.";
    PlatformProfileUnknown = "E514", "MRTD and RTMR0 fit no known platform profile", "Start the released firmware on a known VM shape, or add the profile to the appraisal policy.";
    ReleaseUnknown = "E515", "RTMR1 and RTMR2 fit no known release", "Boot a released image, or add the release to the appraisal policy.";
    Rtmr3Unknown = "E516", "RTMR3 has no allowed value", "Boot a released image, or add the value to the appraisal policy.";
    EventLogMissing = "E517", "there is no event log, and the policy demands one", "Give the agent the log: it reads CCEL and the run-time event log where its configuration says.";
    EventLogMalformed = "E518", "the event log does not parse", "Read it with `cocoon-attest explain`; it names the offset.";
    EventLogMismatch = "E519", "the event log does not replay to the quote's registers", "Run `cocoon-attest explain` on log and quote; it names the register.";
    ClosingEventInvalid = "E520", "the run-time event log is not closed exactly once, as its last event", "Boot a released image; somebody extended RTMR3 after the boot had ended, or before it had.";
    // E6xx: platform and worker.
    PlatformNotEnrolled = "E601", "the platform is not enrolled", "Enrol the platform's PPID, then connect again.";
    PlatformRevoked = "E602", "the platform was taken out of the pool", "Ask the pool's operator.";
    WorkerUnknown = "E603", "no worker of that name is enrolled", "Create the worker, and give it its enrolment secret.";
    EnrolmentMacInvalid = "E604", "the worker does not hold that name's enrolment secret", "Compare the worker's enrolment secret with the one it was created with.";
    ReceiptKeyShared = "E605", "the receipt key is a key of the connection", "Update the worker; receipts are signed with a key of their own, so that a leaked TLS key forges none.";
    SessionWorkerChanged = "E606", "the worker changed or restarted within a session", "Connect anew; a session is one worker's, from one start of its agent in one boot of its TD.";
    // E7xx: GPUs.
    GpuClaimInconsistent = "E701", "the claimed executor, GPUs and driver do not fit together, or not with the GPU evidence", "A CUDA worker names at least one GPU, each once; a CPU worker names none; the driver it names is the one in the GPUs' reports.";
    GpuEvidenceMissing = "E702", "there is no GPU evidence, and the policy demands it", "Run the worker on a GPU in confidential mode, with the driver's attestation calls at hand.";
    GpuEvidenceMalformed = "E703", "the GPU evidence does not parse", "Update the worker and the GPU's driver; the transcript names the field.";
    GpuCountMismatch = "E704", "not every claimed GPU shows evidence, or others do", "Compare the GPUs that the worker claims with those that NVML lists.";
    GpuUuidMismatch = "E705", "a GPU's evidence is for another UUID than the worker claims", "Restart the worker: a GPU was exchanged under it.";
    GpuCertificateRepeated = "E706", "two GPUs show the same certificate", "Take the worker out of service: one GPU answers for two.";
    GpuChainInvalid = "E707", "a GPU's certificate chain does not lead to the trust anchor", "Update the GPU's firmware; a chain under another root is never accepted.";
    GpuCertificateRevoked = "E708", "NVIDIA revoked a certificate of a GPU", "Take the GPU out of service: its keys count as compromised.";
    GpuOcspMissing = "E709", "a GPU's certificate has no good stapled OCSP response, and the policy demands one", "Give the worker's machine access to the OCSP responder, or to a mirror of it.";
    GpuOcspInvalid = "E710", "a stapled OCSP response is malformed or not signed by the certificate's issuer", "Look at what stands between the worker's machine and the OCSP responder.";
    GpuOcspExpired = "E711", "a stapled OCSP response is not in date", "Compare the clocks; look at why the worker does not refresh its OCSP responses.";
    GpuReportSignatureInvalid = "E712", "a GPU's report is not signed by its certificate's key", "Reset the GPU; if it repeats, the report is forged.";
    GpuNonceMismatch = "E713", "a GPU's report was made for another connection", "Look for a TLS-terminating middlebox; if there is none, someone replays a report.";
    GpuFirmwareIdMismatch = "E714", "a GPU's report names other firmware than its certificate", "Reset the GPU, so that its certificate is made for the firmware that runs.";
    GpuConfidentialModeOff = "E715", "a GPU is not in confidential mode", "Switch the GPU's confidential mode on from the VMM's side, then restart the TD.";
    GpuDebugEnabled = "E716", "a GPU is in debug or developer mode", "Switch the GPU to production confidential mode; in the other ones its memory can be read.";
    GpuDriverTooOld = "E717", "a GPU's driver is older than the policy's floor, or denied", "Update the driver in the boot image.";
    GpuVbiosTooOld = "E718", "a GPU's VBIOS is older than the policy's floor", "Update the GPU's VBIOS.";
    GpuArchitectureNotAllowed = "E719", "a GPU's architecture is not in the policy", "Use a GPU of an architecture that the appraisal policy names, or add a VBIOS floor for it.";
    GpuReferenceMissing = "E720", "there are no reference measurements for a GPU's driver or VBIOS", "Give the gateway NVIDIA's reference integrity manifest (RIM) with the identifier that the transcript names.";
    GpuReferenceInvalid = "E721", "reference measurements do not verify", "Fetch the reference integrity manifest again; the transcript says what is wrong with it.";
    GpuMeasurementMismatch = "E722", "a GPU's measurements are not those that NVIDIA describes", "Reinstall the released driver and VBIOS; the transcript names the indices.";
    GpuNotEnrolled = "E723", "a GPU is not enrolled, or was taken out of the pool", "Enrol the GPU's certificate serial in the appraisal policy, or ask the pool's operator.";
    GpuLinkUnattested = "E724", "a GPU in Protected PCIe mode is linked to a device that is not attested", "Show evidence of every NVSwitch and GPU on the machine's NVLink, or use another multi-GPU mode.";
    // E8xx: the policy and the relying party's rules.
    RequiredStepSkipped = "E801", "a required step was not carried out", "Report it: this is an error in the verifier, and it fails closed.";
    SessionExpired = "E803", "the session's attestation is too old", "Connect and attest again.";
    // E9xx: collateral, and what is nobody's fault but ours.
    Internal = "E901", "internal error", "Look at the gateway's log.";
    CollateralMissing = "E902", "there is no collateral for the platform", "Provision collateral for the platform's FMSPC, or wait for the background fetch.";
    CollateralMalformed = "E903", "the collateral does not parse", "Fetch the collateral again.";
    CollateralExpired = "E904", "the collateral is past its nextUpdate", "Refresh the collateral; look at why the background refresh failed.";
    CollateralNotYetValid = "E905", "the collateral is issued in the future", "Compare the gateway's clock.";
    CollateralSignatureInvalid = "E906", "the collateral's signature does not verify", "Fetch the collateral again from Intel or a PCCS that mirrors it.";
    CollateralChainInvalid = "E907", "the collateral's signing chain does not lead to the trust anchor", "Fetch the collateral again from Intel or a PCCS that mirrors it.";
    CollateralWrongKind = "E908", "the collateral is for another kind of TEE", "Fetch TDX collateral (TCB info and TD_QE identity) for a TD quote.";
    CrlInvalid = "E909", "a certificate revocation list is malformed or not signed by its issuer", "Fetch the collateral again from Intel or a PCCS that mirrors it.";
    CrlExpired = "E910", "a certificate revocation list is past its nextUpdate", "Refresh the collateral; look at why the background refresh failed.";
    TrustAnchorInvalid = "E911", "the trust anchor is unusable or revoked", "Install a release with a current root.";
    VerifierUnclassified = "E912", "verification failed for a reason that this release cannot name", "Report it with the transcript; it is refused all the same.";
    EvidenceUnavailable = "E913", "the worker could not make its evidence", "Look at the worker's log: it names what failed, the quote broker, a GPU or the executor child.";
    Overloaded = "E914", "the gateway takes no more attestations now", "Wait; workers retry with jitter by themselves.";
}

impl ErrorCode {
    /// Whether the worker must wait a minute at least before it tries again (E3xx to E6xx: nothing changes sooner).
    #[must_use]
    pub fn wants_slow_retry(self) -> bool {
        matches!(self.as_str().as_bytes().get(1), Some(b'3'..=b'6'))
    }
}

impl ErrorCode {
    /// Whether there was no verdict for want of something that is the verifier's own: usable collateral, a free core, its
    /// store. The code then says nothing of the evidence, and the same evidence may be accepted in a moment.
    #[must_use]
    pub const fn is_verifiers_own(self) -> bool {
        matches!(
            self,
            Self::Internal
                | Self::Overloaded
                | Self::CollateralMissing
                | Self::CollateralMalformed
                | Self::CollateralExpired
                | Self::CollateralNotYetValid
                | Self::CollateralSignatureInvalid
                | Self::CollateralChainInvalid
                | Self::CollateralWrongKind
                | Self::CrlInvalid
                | Self::CrlExpired
        )
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A text that is none of the codes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown error code")]
pub struct UnknownErrorCode;

impl FromStr for ErrorCode {
    type Err = UnknownErrorCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|code| code.as_str() == text)
            .ok_or(UnknownErrorCode)
    }
}

impl Serialize for ErrorCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ErrorCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_ordered_and_readable() {
        let codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "unique and in order");
        for code in ErrorCode::ALL {
            let digits = code.as_str().strip_prefix('E').unwrap();
            assert!(digits.len() == 3 && digits.parse::<u16>().is_ok(), "{code}");
            assert!(
                !code.title().is_empty() && code.remedy().ends_with('.'),
                "{code}"
            );
            assert_eq!(code.as_str().parse(), Ok(*code));
            let json = serde_json::to_string(code).unwrap();
            assert_eq!(serde_json::from_str::<ErrorCode>(&json).unwrap(), *code);
        }
        assert_eq!("E999".parse::<ErrorCode>(), Err(UnknownErrorCode));
    }

    #[test]
    fn what_is_wrong_with_evidence_is_never_the_verifiers_own() {
        let own = |code: &ErrorCode| code.is_verifiers_own();
        let others = ErrorCode::ALL.iter().filter(|code| !own(code));
        let late: Vec<_> = others.filter(|code| code.as_str() >= "E9").collect();
        assert_eq!(
            late,
            [
                &ErrorCode::TrustAnchorInvalid,
                &ErrorCode::VerifierUnclassified,
                &ErrorCode::EvidenceUnavailable
            ]
        );
        assert!(
            ErrorCode::ALL
                .iter()
                .filter(|code| own(code))
                .all(|code| code.as_str() >= "E9")
        );
    }

    #[test]
    fn only_what_cannot_change_soon_wants_a_slow_retry() {
        assert!(!ErrorCode::GateTimeout.wants_slow_retry());
        assert!(!ErrorCode::ReportDataMismatch.wants_slow_retry());
        assert!(ErrorCode::QuoteMalformed.wants_slow_retry());
        assert!(ErrorCode::EnrolmentMacInvalid.wants_slow_retry());
        assert!(!ErrorCode::CollateralExpired.wants_slow_retry());
    }
}
