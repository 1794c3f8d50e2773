//! Verdicts reached again over recorded evidence, and records as such a verdict makes them.

use protocol::WorkerId;
use serde_json::value::{Map, Value};

use super::database::{Connection, WriteScope, values};
use super::{Document, NewReappraisal, StoreError, StoredAttestation, attestations};

/// Keeps a verdict beside the attestation's record, which stays as it is.
pub(super) fn record(
    scope: &WriteScope<'_>,
    reappraisal: &NewReappraisal,
) -> Result<(), StoreError> {
    let connection = scope.connection;
    let unknown = StoreError::Unreadable {
        what: "the attestation that was appraised again",
    };
    let attestation = attestations::number(connection, &reappraisal.attestation)?.ok_or(unknown)?;
    let policy = document(connection, &reappraisal.policy)?;
    let collateral = document(connection, &reappraisal.collateral)?;
    let references = reappraisal.references.as_ref();
    let references = references.map(|references| document(connection, references));
    connection.execute(
        "INSERT INTO reappraisals (attestation, appraised_ms, code, policy, collateral, gpu_references, transcript)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        &values![
            attestation,
            reappraisal.appraised_ms,
            reappraisal.code.as_ref(),
            policy,
            collateral,
            references.transpose()?,
            &reappraisal.transcript
        ],
    )?;
    Ok(())
}

/// Key of a document that many verdicts share.
fn document(connection: &Connection, document: &Document) -> Result<i64, StoreError> {
    let find = "SELECT number FROM documents WHERE sha256 = ?1";
    let known = connection.first(find, &values![&document.sha256], |row| row.get(0))?;
    match known {
        Some(number) => Ok(number),
        None => connection.insert(
            "INSERT INTO documents (sha256, text) VALUES (?1, ?2)",
            &values![&document.sha256, &*document.text],
        ),
    }
}

/// A worker's latest attestation with the latest verdict on it, be it a refusal.
pub(super) fn latest(
    connection: &Connection,
    worker: &WorkerId,
) -> Result<Option<StoredAttestation>, StoreError> {
    let Some(number) = attestations::latest(connection, worker)? else {
        return Ok(None);
    };
    with_verdict(connection, number, "", u64::MAX).map(Some)
}

/// An attestation with the verdict on it that was in force at `at_ms`.
pub(super) fn in_force_at(
    connection: &Connection,
    attestation: i64,
    at_ms: u64,
) -> Result<StoredAttestation, StoreError> {
    with_verdict(connection, attestation, "AND code IS NULL", at_ms)
}

/// The last verdict until `at_ms`, of those that `chosen` says, takes the place of the one in the record, with the policy,
/// the collateral and the manifests that it was reached with; evidence and binding are the record's own.
fn with_verdict(
    connection: &Connection,
    attestation: i64,
    chosen: &str,
    at_ms: u64,
) -> Result<StoredAttestation, StoreError> {
    let mut stored = attestations::by_number(connection, attestation)?;
    let sql = format!(
        "SELECT policies.text, collaterals.text, manifests.text, transcript FROM reappraisals
         JOIN documents AS policies ON policies.number = reappraisals.policy
         JOIN documents AS collaterals ON collaterals.number = reappraisals.collateral
         LEFT JOIN documents AS manifests ON manifests.number = reappraisals.gpu_references
         WHERE attestation = ?1 AND appraised_ms <= ?2 {chosen} ORDER BY reappraisals.number DESC LIMIT 1"
    );
    let verdict = connection.first(&sql, &values![attestation, at_ms], |row| {
        Ok(Verdict {
            policy: row.get(0)?,
            collateral: row.get(1)?,
            references: row.get(2)?,
            transcript: row.get(3)?,
        })
    })?;
    if let Some(verdict) = verdict {
        let unreadable = |_| StoreError::Unreadable {
            what: "an attestation's record",
        };
        stored.record = merged(&stored.record, verdict).map_err(unreadable)?;
    }
    Ok(stored)
}

struct Verdict {
    policy: String,
    collateral: String,
    references: Option<String>,
    transcript: Vec<u8>,
}

fn merged(record: &[u8], verdict: Verdict) -> serde_json::Result<Vec<u8>> {
    let mut record: Map<String, Value> = serde_json::from_slice(record)?;
    let collateral = serde_json::from_str(&verdict.collateral)?;
    let transcript = serde_json::from_slice(&verdict.transcript)?;
    record.insert("policy".to_owned(), Value::String(verdict.policy));
    record.insert("collateral".to_owned(), collateral);
    record.insert("transcript".to_owned(), transcript);
    match verdict.references {
        Some(references) => {
            let references = serde_json::from_str(&references)?;
            record.insert("references".to_owned(), references);
        }
        None => {
            record.remove("references");
        }
    }
    serde_json::to_vec(&record)
}
