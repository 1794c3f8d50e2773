//! Arguments of `verify`, and what it shares with `bundle create`.

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueHint};

/// What names evidence that `--gpu` is not. Options of `--gpu` conflict with these instead of requiring it: clap forgives what
/// is required and missing where it conflicts with something that is there.
const OF_QUOTES: [&str; 4] = ["quote", "evidence", "record", "bundle"];

/// Verify evidence and appraise it by a policy; print the transcript.
///
/// Every step is shown with what was seen and what was wanted. A record or a bundle brings collateral, policy and time; each
/// can be overridden.
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("evidenced").required(true).args(["quote", "evidence", "record", "bundle", "gpu"]),
    group = ArgGroup::new("complete").args(["record", "bundle", "gpu"]),
    after_help = help!(
        yes: "every required step passed",
        findings: "the evidence was refused; the transcript names step, code and remedy",
        undecided: "undecided: GPU evidence is signed, and its nonce or its measurements were not looked at",
        examples:
            "cocoon-attest verify --quote q.bin --collateral c.json --policy p.toml --time now",
            "cocoon-attest verify --evidence e.cbor --collateral c.json --policy p.toml --time now",
            "cocoon-attest verify --record record.json --policy mine.toml",
            "cocoon-attest verify --bundle bundle.json --json",
            "cocoon-attest verify --gpu evidence.json --rim NV_GPU_DRIVER_GH100_590.12.xml --time now",
    )
)]
pub(crate) struct Verify {
    /// An offline bundle: appraises it, whole.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) bundle: Option<PathBuf>,

    /// GPU evidence alone: a worker's (CBOR), JSON of NVIDIA's SDK, or a report with --gpu-chain. Wants --time.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["collateral", "policy"], value_hint = ValueHint::FilePath)]
    pub(crate) gpu: Option<PathBuf>,

    /// The certificates (PEM) of a bare report, which brings none.
    #[arg(long, value_name = "FILE", conflicts_with_all = OF_QUOTES, value_hint = ValueHint::FilePath)]
    pub(crate) gpu_chain: Option<PathBuf>,

    /// The nonce that GPU evidence must answer, 64 hexadecimal digits. Without it, its freshness is not judged, and the exit
    /// code is 5.
    #[arg(long, value_name = "HEX", conflicts_with_all = OF_QUOTES)]
    pub(crate) nonce: Option<String>,

    #[command(flatten)]
    pub(crate) given: Given,
}

/// Evidence, and what a verdict on it is reached from. The group `complete` names what brings all of that.
#[derive(Debug, Args)]
pub(crate) struct Given {
    /// A quote: raw, hexadecimal or base64. `-` reads standard input.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) quote: Option<PathBuf>,

    /// The CMW collection that a worker sent: raw, hexadecimal or base64.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) evidence: Option<PathBuf>,

    /// An attestation record of the gateway, which brings everything.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) record: Option<PathBuf>,

    /// The report data that the quote must carry, 128 hexadecimal digits. Without it, its freshness is not judged.
    #[arg(long, value_name = "HEX", conflicts_with_all = ["evidence", "complete"])]
    pub(crate) report_data: Option<String>,

    /// The facts of the connection that the collection was sent over, as JSON (see `report-data`). Without them neither its
    /// freshness nor anything but its quote is judged.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["quote", "complete"], value_hint = ValueHint::FilePath)]
    pub(crate) binding: Option<PathBuf>,

    /// Intel's collateral for the quote's platform, as JSON. A record or bundle brings its own.
    #[arg(long, value_name = "FILE", required_unless_present = "complete", value_hint = ValueHint::FilePath)]
    pub(crate) collateral: Option<PathBuf>,

    /// The appraisal policy, as TOML. A record or bundle brings its own.
    #[arg(long, value_name = "FILE", required_unless_present = "complete", value_hint = ValueHint::FilePath)]
    pub(crate) policy: Option<PathBuf>,

    /// NVIDIA's reference manifest (RIM) of a GPU's driver or VBIOS, for evidence that has GPUs; may be repeated. Named by its identifier, such as
    /// `NV_GPU_DRIVER_GH100_550.90.07`, or by the file's name where that is the identifier.
    #[arg(long = "rim", value_name = "[ID=]FILE", value_parser = Manifest::parse, conflicts_with = "quote", value_hint = ValueHint::FilePath)]
    pub(crate) manifests: Vec<Manifest>,

    /// The time to verify at: RFC 3339, a date, seconds since the epoch, or `now`. A record or bundle brings its own.
    #[arg(long, value_name = "TIME", required_unless_present = "complete")]
    pub(crate) time: Option<String>,
}

/// How the names of manifests' files end.
const EXTENSIONS: [&str; 3] = [".xml", ".swidtag", ".rim"];

/// A reference manifest as it is named on the command line.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) id: String,
    pub(crate) path: PathBuf,
}

impl Manifest {
    fn parse(text: &str) -> Result<Self, String> {
        if let Some((id, path)) = text.split_once('=') {
            if path.is_empty() {
                return Err("names no file; write ID=FILE".to_owned());
            }
            return Ok(Self {
                id: id.to_owned(),
                path: PathBuf::from(path),
            });
        }
        let path = PathBuf::from(text);
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or("the file's name is no identifier; write ID=FILE")?;
        // An identifier ends with a version, whose dots are no extension.
        let mut extensions = EXTENSIONS.iter();
        let id = extensions
            .find_map(|extension| name.strip_suffix(extension))
            .unwrap_or(name);
        Ok(Self {
            id: id.to_owned(),
            path,
        })
    }
}

#[cfg(test)]
mod tests {
    //! Tests of naming manifests.

    use super::*;

    #[test]
    fn a_manifest_is_named_by_its_identifier_or_its_file() {
        for (text, id, path) in [
            ("rims/NV_A_1.02.xml", "NV_A_1.02", "rims/NV_A_1.02.xml"),
            ("NV_A_1.02", "NV_A_1.02", "NV_A_1.02"),
            ("NV_A_1.02=x/y.swidtag", "NV_A_1.02", "x/y.swidtag"),
        ] {
            let manifest = Manifest::parse(text).unwrap();
            assert_eq!((&*manifest.id, manifest.path.to_str().unwrap()), (id, path));
        }
        for wrong in ["..", "NV_A_1.02=", ""] {
            assert!(Manifest::parse(wrong).is_err(), "{wrong}");
        }
    }
}
