//! `schema`: what each JSON output looks like, as JSON Schema (draft 2020-12).

use anyhow::bail;
use serde_json::json;

use crate::{
    answer::Answer,
    arguments::Schema,
    output::{Document, Section},
};

/// Every output by its name: `verify` describes `cocoon-attest/verify/1`.
const SCHEMAS: &[(&str, &str)] = &[
    ("bundle", include_str!("../schemas/bundle.json")),
    (
        "bundle-create",
        include_str!("../schemas/bundle-create.json"),
    ),
    ("collateral", include_str!("../schemas/collateral.json")),
    ("doctor", include_str!("../schemas/doctor.json")),
    ("error", include_str!("../schemas/error.json")),
    ("explain", include_str!("../schemas/explain.json")),
    ("inspect", include_str!("../schemas/inspect.json")),
    ("man", include_str!("../schemas/man.json")),
    ("policy-diff", include_str!("../schemas/policy-diff.json")),
    ("policy-lint", include_str!("../schemas/policy-lint.json")),
    (
        "policy-simulate",
        include_str!("../schemas/policy-simulate.json"),
    ),
    (
        "receipt-verify",
        include_str!("../schemas/receipt-verify.json"),
    ),
    ("report-data", include_str!("../schemas/report-data.json")),
    ("schemas", include_str!("../schemas/schemas.json")),
    ("verify", include_str!("../schemas/verify.json")),
    ("verify-gpu", include_str!("../schemas/verify-gpu.json")),
];

pub(crate) fn run(arguments: &Schema) -> anyhow::Result<Answer> {
    let names = SCHEMAS.iter().map(|(name, _)| *name);
    let Some(wanted) = &arguments.name else {
        let section = Section::new("schemas").field("names", json!(names.collect::<Vec<_>>()));
        return Ok(Answer::Information(Document::new(
            "cocoon-attest/schemas/1",
            vec![section],
        )));
    };
    match SCHEMAS.iter().find(|(name, _)| name == wanted) {
        Some((_, schema)) => Ok(Answer::Script((*schema).to_owned())),
        None => bail!(
            "there is no schema {wanted:?}; there are {}",
            names.collect::<Vec<_>>().join(", ")
        ),
    }
}
