//! `verify --gpu`: GPU evidence alone, from the report's signature to NVIDIA's root, and against its manifests.

use std::fmt::Write as _;

use anyhow::Context;
use attestation::{
    Outcome,
    gpu::{DeviceReport, GpuError, MeasurementsMatched, VerifiedGpu, VerifiedReferences},
    one_line,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    Exit, World,
    answer::{Answer, Findings},
    arguments::Verify,
    checks::chain,
    devices, input,
    output::Paint,
    verifiers::Verifiers,
    verify::read_references,
};

const STALE_NOTE: &str =
    "no nonce was given, so for whom and when the reports were made was not judged";
const NOT_COMPARED_NOTE: &str = "no --rim was given, so the measurements were compared with nothing: whether the firmware is one that NVIDIA \
     released was not judged";
/// Where manifests are: JSON whose member `rim` is the file in base64.
const RIM_SERVICE: &str = "https://rim.attestation.nvidia.com/v1/rim/ID";
const ALONE_NOTE: &str = "no policy was held against it: floors, confidential mode and OCSP are for `verify` of a worker's whole evidence";

/// With what devices are verified.
struct Examiner {
    verifiers: Verifiers,
    /// Absent where no manifest was named.
    references: Option<VerifiedReferences>,
    nonce: Option<[u8; 32]>,
    time_s: u64,
}

/// How it ended, for one device or for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Conclusion {
    /// Signed, made for this nonce, and measured as NVIDIA describes.
    Accepted,
    /// Signed; its nonce, or its measurements, were not looked at.
    Signed,
    Refused,
}

/// What came of one device.
struct Finding {
    uuid: String,
    kind: String,
    verified: Option<VerifiedGpu>,
    matched: Option<MeasurementsMatched>,
    error: Option<GpuError>,
    conclusion: Conclusion,
}

pub(crate) fn run(arguments: &Verify, world: &mut World<'_>) -> anyhow::Result<Answer> {
    let path = arguments
        .gpu
        .as_deref()
        .context("--gpu names the evidence")?;
    let chain = match &arguments.gpu_chain {
        Some(path) => Some(input::read(path, world.input)?),
        None => None,
    };
    let name = path.display();
    let devices = devices::parse(input::read(path, world.input)?)
        .with_context(|| format!("{name} is no GPU evidence"))?
        .certified(chain.as_deref())
        .with_context(|| format!("{name} cannot be verified"))?;
    let time = arguments
        .given
        .time
        .as_deref()
        .context("--gpu needs --time")?;
    let verifiers = Verifiers::of(world);
    let references = read_references(&arguments.given.manifests, world)?;
    let examiner = Examiner {
        references: (!references.is_empty()).then(|| verifiers.references(&references)),
        verifiers,
        nonce: match &arguments.nonce {
            Some(text) => Some(input::decode_hex_array("--nonce", text)?),
            None => None,
        },
        time_s: input::parse_time(time, world.now_s)?,
    };
    let findings: Vec<_> = devices
        .reports
        .iter()
        .map(|device| examiner.examine(device))
        .collect();
    let notes = examiner.notes();
    let worst = findings.iter().map(|finding| finding.conclusion).max();
    let conclusion = worst.unwrap_or(Conclusion::Refused);
    Ok(Answer::Findings(Findings {
        json: json!({
            "schema": "cocoon-attest/verify-gpu/1",
            "verdict": conclusion,
            "trust_anchor": world.gpu_anchor.label(),
            "time_s": examiner.time_s,
            "devices": findings.iter().map(Finding::to_json).collect::<Vec<_>>(),
            "notes": notes,
        }),
        text: shown(&findings, &examiner, world),
        exit: match conclusion {
            Conclusion::Accepted => Exit::Success,
            Conclusion::Signed => Exit::Undecided,
            Conclusion::Refused => Exit::Findings,
        },
    }))
}

impl Examiner {
    fn examine(&self, device: &DeviceReport) -> Finding {
        let mut finding = Finding {
            uuid: device.uuid.clone(),
            kind: device.kind.to_string(),
            verified: None,
            matched: None,
            error: None,
            conclusion: Conclusion::Refused,
        };
        let verified = match self
            .verifiers
            .gpus
            .verify(device, self.nonce.as_ref(), self.time_s)
        {
            Ok(verified) => verified,
            Err(error) => {
                finding.error = Some(error);
                return finding;
            }
        };
        let matched = self
            .references
            .as_ref()
            .map(|references| verified.match_references(references, self.time_s));
        finding.verified = Some(verified);
        match matched {
            Some(Ok(matched)) => finding.matched = Some(matched),
            Some(Err(error)) => {
                finding.error = Some(error);
                return finding;
            }
            None => {}
        }
        finding.conclusion = match self.left_out() {
            None => Conclusion::Accepted,
            Some(_) => Conclusion::Signed,
        };
        finding
    }

    /// What nothing was given to judge by.
    const fn left_out(&self) -> Option<&'static str> {
        match (self.nonce, &self.references) {
            (Some(_), Some(_)) => None,
            (None, Some(_)) => Some("the nonce was"),
            (Some(_), None) => Some("the measurements were"),
            (None, None) => Some("nonce and measurements were"),
        }
    }

    fn notes(&self) -> Vec<&'static str> {
        let stale = self.nonce.is_none().then_some(STALE_NOTE);
        let not_compared = self.references.is_none().then_some(NOT_COMPARED_NOTE);
        [stale, not_compared, Some(ALONE_NOTE)]
            .into_iter()
            .flatten()
            .collect()
    }
}

impl Finding {
    fn to_json(&self) -> Value {
        let code = self.error.as_ref().map(GpuError::code);
        let says = self.verified.as_ref().map(|gpu| {
            json!({
                "architecture": gpu.architecture(),
                "chip": gpu.chip(),
                "device_serial": gpu.device_serial(),
                "certificate_serial": gpu.certificate_serial(),
                "nonce": hex::encode(gpu.nonce()),
                "vbios_version": gpu.vbios_version(),
                "driver_version": gpu.driver_version(),
                "details": gpu.details(),
                "ocsp": gpu.ocsp(),
                "references": gpu.reference_ids(),
            })
        });
        json!({
            "uuid": self.uuid,
            "kind": self.kind,
            "verdict": self.conclusion,
            "code": code,
            "reason": self.error.as_ref().map(|error| chain(error)),
            "remedy": self.error.as_ref().map(remedy),
            "verified": says,
            "measurements_compared": self.matched.as_ref().map(|matched| matched.indices().len()),
        })
    }

    fn write(&self, text: &mut String, paint: Paint) -> std::fmt::Result {
        let signed = match &self.verified {
            Some(gpu) => format!(
                "{} {}, device {}, VBIOS {}, driver {}",
                gpu.architecture(),
                gpu.chip(),
                gpu.device_serial(),
                gpu.vbios_version(),
                gpu.driver_version()
                    .map_or_else(|| "none".to_owned(), ToString::to_string)
            ),
            None => String::new(),
        };
        let line = |outcome, name, seen: &str| {
            let seen = one_line(seen);
            format!(
                "{}  {name:12}  {}: {seen}",
                paint.outcome(outcome),
                self.uuid
            )
        };
        match (&self.verified, &self.error) {
            (None, error) => {
                let reason = error.as_ref().map(|error| chain(error)).unwrap_or_default();
                writeln!(text, "{}", line(Outcome::Fail, "report", &reason))?;
            }
            (Some(_), None) => {
                writeln!(text, "{}", line(Outcome::Pass, "report", &signed))?;
                let (outcome, seen) = match &self.matched {
                    Some(matched) => (
                        Outcome::Pass,
                        format!("{} are NVIDIA's", matched.indices().len()),
                    ),
                    None => (Outcome::Skip, "compared with nothing".to_owned()),
                };
                writeln!(text, "{}", line(outcome, "measurements", &seen))?;
            }
            (Some(_), Some(error)) => {
                writeln!(text, "{}", line(Outcome::Pass, "report", &signed))?;
                writeln!(
                    text,
                    "{}",
                    line(Outcome::Fail, "measurements", &chain(error))
                )?;
            }
        }
        Ok(())
    }
}

/// What to do, for a reader who has files and no gateway.
fn remedy(error: &GpuError) -> String {
    match error {
        GpuError::ReferencesMissing(ids) => {
            let options: Vec<_> = ids.iter().map(|id| format!("--rim {id}=FILE")).collect();
            format!(
                "Name NVIDIA's manifests: {}. {RIM_SERVICE} has them.",
                options.join(" ")
            )
        }
        GpuError::Nonce { .. } => {
            "Name the nonce that the reports were asked for with; each answers one.".to_owned()
        }
        error => error.code().remedy().to_owned(),
    }
}

fn shown(findings: &[Finding], examiner: &Examiner, world: &World<'_>) -> String {
    let paint = Paint(world.machine.colour);
    let mut text = String::new();
    if world.gpu_anchor != attestation::gpu::GpuTrustAnchor::nvidia() {
        text.push_str("SIMULATED: the root of this verdict is not NVIDIA's. It proves nothing about real hardware.\n\n");
    }
    // Writing to a string cannot fail.
    for finding in findings {
        let _ = finding.write(&mut text, paint);
    }
    text.push('\n');
    for note in examiner.notes() {
        let _ = writeln!(text, "note    {note}");
    }
    let refused = findings.iter().find_map(|finding| finding.error.as_ref());
    let label = world.gpu_anchor.label();
    let _ = match (refused, examiner.left_out()) {
        (None, None) => writeln!(
            text,
            "\n{} under {label}",
            paint.word(Outcome::Pass, "ACCEPTED"),
        ),
        (None, Some(left_out)) => writeln!(
            text,
            "\n{} under {label}; {left_out} not looked at",
            paint.warning("SIGNED"),
        ),
        (Some(error), _) => writeln!(
            text,
            "\n{} {}: {}\nWhat to do: {}",
            paint.word(Outcome::Fail, "REFUSED"),
            error.code(),
            one_line(&chain(error)),
            remedy(error)
        ),
    };
    text
}
